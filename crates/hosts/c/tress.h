/* A tress reactor inside the loop of a C program, or of anything that can call C (tests/c/window.py does it from Python's
 * tkinter). The program's loop watches one descriptor, and turns the reactor when that is readable or when its deadline
 * is over:
 *
 *     tress_reactor *reactor = tress_new();
 *     struct pollfd watched = { tress_descriptor(reactor), POLLIN, 0 };
 *     for (;;) {
 *         poll(&watched, 1, (int)tress_deadline(reactor));
 *         if (tress_turn(reactor) < 0)
 *             break;
 *     }
 *     tress_free(reactor);
 *
 * A reactor belongs to the thread that made it: on any other, every call fails and does nothing. A null pointer is
 * refused where a pointer is asked for. No call blocks, but for the time that looking up a host's name takes to begin.
 */
#ifndef TRESS_H
#define TRESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tress_reactor tress_reactor;

/* A reactor; null when the system has no room for one. */
tress_reactor *tress_new(void);

/* Closes everything it has open, at once. Whoever waits for an answer is not called any more. Also from inside an
 * answer's callback. The pointer is of no use after this. */
void tress_free(tress_reactor *reactor);

/* The descriptor to watch for reading; the same one all the time, and the reactor's own. -1 on failure. */
int tress_descriptor(const tress_reactor *reactor);

/* How long the loop may wait for the descriptor, in milliseconds: 0 not at all, -1 without end. To be asked after each
 * turn; what is asked of the reactor after that makes the descriptor readable. -2 on failure. */
int64_t tress_deadline(const tress_reactor *reactor);

/* One turn: everything that is ready now, and no waiting. Callbacks are called from in here. 0, or -1 when the reactor can
 * go on no more, or when this is called from inside a callback. */
int tress_turn(const tress_reactor *reactor);

/* Called once with what came of a question. ok is 1 for an answer and 0 for the reason why there is none. The text is
 * UTF-8 (other bytes are replaced), has this many bytes, a zero after them, and is gone when the call returns. */
typedef void (*tress_answered)(void *data, int ok, const char *text, size_t length);

/* Asks a finger server (RFC 1288): to is an endpoint like "tcp:example.org:79", query the line to send, "" for everybody.
 * answered is called from inside a later turn, with data, when the server has closed the connection, or when it failed,
 * said nothing for 3 minutes, or said more than 65,536 bytes. 0, or -1 when the question makes no sense: then nobody is
 * called. */
int tress_finger(const tress_reactor *reactor, const char *to, const char *query,
                 tress_answered answered, void *data);

#ifdef __cplusplus
}
#endif

#endif
