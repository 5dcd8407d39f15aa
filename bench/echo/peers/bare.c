/* The floor that every other echo server is compared with: one level-triggered epoll loop, one shared
 * read buffer, one write per read. What a slow reader does not take is kept in a buffer of its
 * own, and the connection is not read again until that is gone. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct rest {
    char *bytes; /* NULL: nothing waits to be written */
    size_t from, len;
};

static char buffer[64 * 1024];
static struct rest *rests; /* by descriptor */
static size_t rests_len;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void drop(int fd) {
    free(rests[fd].bytes);
    rests[fd].bytes = NULL;
    close(fd);
}

static void interest(int ep, int fd, uint32_t events) {
    struct epoll_event e = {.events = events, .data.fd = fd};
    if (epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) < 0) die("epoll_ctl");
}

static void accept_all(int ep, int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            return; /* EAGAIN: that was all of them */
        }
        int one = 1;
        if ((size_t)fd >= rests_len || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0) {
            close(fd);
            continue;
        }
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0) die("epoll_ctl");
    }
}

static void readable(int ep, int fd) {
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        drop(fd);
        return;
    }
    ssize_t put = write(fd, buffer, (size_t)got);
    if (put == got) return;
    if (put < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            drop(fd);
            return;
        }
        put = 0;
    }
    struct rest *r = &rests[fd];
    r->from = 0;
    r->len = (size_t)(got - put);
    r->bytes = malloc(r->len);
    if (!r->bytes) die("malloc");
    memcpy(r->bytes, buffer + put, r->len);
    interest(ep, fd, EPOLLOUT);
}

static void writable(int ep, int fd) {
    struct rest *r = &rests[fd];
    ssize_t put = write(fd, r->bytes + r->from, r->len - r->from);
    if (put < 0) {
        if (errno != EAGAIN && errno != EINTR) drop(fd);
        return;
    }
    r->from += (size_t)put;
    if (r->from < r->len) return;
    free(r->bytes);
    r->bytes = NULL;
    interest(ep, fd, EPOLLIN);
}

static int listen_at(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
    if (listen(fd, 4096) < 0) die("listen");
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: bare PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) die("getrlimit");
    rests_len = limit.rlim_cur < (1u << 20) ? limit.rlim_cur : (1u << 20);
    rests = calloc(rests_len, sizeof *rests);
    int listener = listen_at(atoi(argv[1])), ep = epoll_create1(EPOLL_CLOEXEC);
    if (!rests || ep < 0) die("start");
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[1024];
    if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) < 0) die("epoll_ctl");
    for (;;) {
        int n = epoll_wait(ep, events, 1024, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_all(ep, listener);
            else if (rests[fd].bytes) writable(ep, fd);
            else readable(ep, fd);
        }
    }
}
