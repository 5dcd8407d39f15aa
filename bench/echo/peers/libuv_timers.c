/* The timers of libuv, asked by lines: add, cancel, fire, let go are done; the answer to fired is how many have.
The numbers are those of the plan in deferred/timers/mod.rs. Each handle is an allocation, as in the object that owns
it. To cancel is uv_timer_stop alone: an owner that lives on keeps its handle. Closing the handles, without which their
memory cannot be freed, is part of letting go. The clock is set by hand: libuv calls clock_gettime, which is ours. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#define SPREAD_MS 600000
#define JUMPS 100

static uint64_t manual_ms = 1000000;
static uint64_t seed = 0x9e3779b97f4a7c15;
static size_t fired;

int clock_gettime(clockid_t clock, struct timespec *now) {
    (void)clock;
    now->tv_sec = (time_t)(manual_ms / 1000);
    now->tv_nsec = (long)(manual_ms % 1000 * 1000000);
    return 0;
}

static uint32_t below(uint64_t bound) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed % bound);
}

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (!memory) abort();
    return memory;
}

static void count(uv_timer_t *timer) {
    (void)timer;
    fired++;
}

static void closed(uv_handle_t *handle) {
    free(handle);
}

static uint32_t *delays, *order;
static uv_timer_t **timers;
static size_t all, cancelled;

static void plan(void) {
    delays = allocate(all * sizeof *delays);
    order = allocate(all * sizeof *order);
    for (size_t at = 0; at < all; at++) delays[at] = 1 + below(SPREAD_MS);
    for (size_t at = 0; at < all; at++) order[at] = (uint32_t)at;
    for (size_t last = all - 1; last > 0; last--) {
        uint32_t other = below(last + 1), kept = order[last];
        order[last] = order[other];
        order[other] = kept;
    }
    cancelled = all / 10 * 9;
}

static void add(uv_loop_t *loop) {
    timers = allocate(all * sizeof *timers);
    for (size_t at = 0; at < all; at++) {
        timers[at] = allocate(sizeof **timers);
        if (uv_timer_init(loop, timers[at]) < 0) abort();
        if (uv_timer_start(timers[at], count, delays[at], 0) < 0) abort();
    }
}

static void cancel(void) {
    for (size_t at = 0; at < cancelled; at++) uv_timer_stop(timers[order[at]]);
}

static void fire(uv_loop_t *loop) {
    for (int jump = 0; jump < JUMPS; jump++) {
        manual_ms += SPREAD_MS / JUMPS;
        uv_run(loop, UV_RUN_NOWAIT);
    }
}

static void let_go(uv_loop_t *loop) {
    for (size_t at = 0; at < all; at++) uv_close((uv_handle_t *)timers[at], closed);
    uv_run(loop, UV_RUN_NOWAIT);
    free(timers);
}

int main(int argc, char **argv) {
    char line[32];
    uv_loop_t *loop = uv_default_loop();
    all = argc == 2 ? (size_t)atol(argv[1]) : 0;
    if (!all) {
        fprintf(stderr, "usage: libuv_timers COUNT\n");
        return 2;
    }
    plan();
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        const char *answer = "done";
        if (!strcmp(line, "add\n")) add(loop);
        else if (!strcmp(line, "cancel\n")) cancel();
        else if (!strcmp(line, "fire\n")) fire(loop);
        else if (!strcmp(line, "let go\n")) let_go(loop);
        else if (!strcmp(line, "fired\n")) answer = NULL;
        else return 2;
        if (answer) printf("%s\n", answer);
        else printf("%zu\n", fired);
        fflush(stdout);
    }
    return 0;
}
