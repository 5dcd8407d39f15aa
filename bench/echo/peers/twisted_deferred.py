"""Twisted's Deferreds: for every line, a number of milliseconds, makes steps for so long and answers how many.
`steps`: chains of four callbacks; `awaited`: a hundred tasks that wait for four Deferreds each."""
import sys
from time import perf_counter_ns
from twisted.internet.defer import Deferred, inlineCallbacks

LINKS = 4
CHAINS = 100
TASKS = 100


def chains():
    for value in range(CHAINS):
        captured = 3
        deferred = Deferred()
        deferred.addCallback(lambda value: value + captured)
        deferred.addCallback(lambda value: value ^ captured)
        deferred.addErrback(lambda failure: captured)
        deferred.addCallback(lambda value: value * captured)
        deferred.callback(value)
        result = deferred.result
    if result != ((value + 3) ^ 3) * 3:
        raise AssertionError("the chain has not run")
    return CHAINS * LINKS


@inlineCallbacks
def total(waiting):
    result = 0
    for deferred in waiting:
        result += yield deferred
    return result


def tasks():
    waves = [[] for _ in range(LINKS)]
    ends = []
    for _ in range(TASKS):
        waiting = [Deferred() for _ in range(LINKS)]
        for wave, deferred in zip(waves, waiting):
            wave.append(deferred)
        ends.append(total(waiting))
    for wave in waves:
        for deferred in wave:
            deferred.callback(3)
    if any(end.result != 12 for end in ends):
        raise AssertionError("a task has not ended")
    return TASKS * LINKS


batch = {"steps": chains, "awaited": tasks}[sys.argv[1]]
print("ready", flush=True)
for line in sys.stdin:
    length = int(line) * 1_000_000
    began = perf_counter_ns()
    steps = 0
    while perf_counter_ns() - began < length:
        steps += batch()
    print(steps, flush=True)
