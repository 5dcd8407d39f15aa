"""Runs one of Twisted's examples as it is in the source distribution. `server DIRECTORY NAME` has it listen at a free port
of this machine, and prints that; `client DIRECTORY NAME PORT` has it connect to that port: the examples have ports of
their own, which may be taken. The word `bytes` behind it turns their user and password into bytes, in their source: Python
3 takes no text there, and the examples with logins were not changed since."""

import gc
import sys
import types
from pathlib import Path

from twisted.internet import reactor, task

part, directory, name, *rest = sys.argv[1:]
sys.dont_write_bytecode = True
sys.path.insert(0, directory)
if part == "server":
    listen = reactor.listenTCP
    reactor.listenTCP = lambda port, factory: print(
        listen(0, factory, interface="127.0.0.1").getHost().port, flush=True
    )
else:
    connect, port = reactor.connectTCP, int(rest[0])
    reactor.connectTCP = lambda host, _, factory: connect("127.0.0.1", port, factory)
    # A failure that nobody takes is told when it is collected.
    task.LoopingCall(gc.collect).start(0.1)


def run(file, module):
    path = Path(directory, file)
    source = path.read_text()
    if "bytes" in rest:
        source = source.replace('"guest"', 'b"guest"')
    exec(compile(source, path, "exec"), module.__dict__)


if "bytes" in rest:
    pbecho = types.ModuleType("pbecho")
    run("pbecho.py", pbecho)
    sys.modules["pbecho"] = pbecho
run(name, types.ModuleType("__main__"))
