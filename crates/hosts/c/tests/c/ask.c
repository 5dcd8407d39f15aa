/* Asks the finger server at argv[1] for moshez and prints what came of it: the loop of tress.h. */
#include "tress.h"

#include <poll.h>
#include <stdio.h>

static void answered(void *data, int ok, const char *text, size_t length)
{
    printf("%d ", ok);
    fwrite(text, 1, length, stdout);
    *(int *)data = 1;
}

int main(int argc, char **argv)
{
    int done = 0;
    tress_reactor *reactor = tress_new();
    struct pollfd watched = { tress_descriptor(reactor), POLLIN, 0 };

    if (argc != 2 || tress_finger(reactor, argv[1], "moshez", answered, &done) < 0)
        return 1;
    while (!done) {
        poll(&watched, 1, (int)tress_deadline(reactor));
        if (tress_turn(reactor) < 0)
            return 1;
    }
    tress_free(reactor);
    return 0;
}
