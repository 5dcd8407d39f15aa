"""The other ends of `peers.rs`: what Twisted and aiorpcX make of our servers, and a Twisted server for our client."""

import asyncio
import sys

from twisted.internet import defer, endpoints, protocol, reactor, task
from twisted.protocols import amp


class Sum(amp.Command):
    arguments = [(b"a", amp.Integer()), (b"b", amp.Integer())]
    response = [(b"result", amp.Integer())]


class Divide(amp.Command):
    arguments = [(b"numerator", amp.Integer()), (b"denominator", amp.Integer())]
    response = [(b"result", amp.Float())]
    errors = {ZeroDivisionError: b"ZERO_DIVISION"}


class Quotes(amp.Command):
    commandName = b"quotes"
    arguments = [(b"count", amp.Integer())]
    response = [(b"result", amp.ListOf(amp.Unicode()))]


class Find(amp.Command):
    commandName = b"find"
    arguments = [(b"name", amp.Unicode())]
    response = [(b"result", amp.Unicode(optional=True))]


class Keep(amp.Command):
    commandName = b"keep"
    arguments = [(b"data", amp.String())]
    response = [(b"result", amp.String())]


PERSON = [
    (b"name", amp.Unicode()),
    (b"age", amp.Integer(optional=True)),
    (b"nice", amp.Boolean()),
    (b"scores", amp.ListOf(amp.Float())),
]


class Older(amp.Command):
    commandName = b"older"
    arguments = [(b"people", amp.AmpList(PERSON))]
    response = [(b"result", amp.AmpList(PERSON))]


class Forget(amp.Command):
    commandName = b"forget"
    response = []


class Fail(amp.Command):
    commandName = b"fail"
    response = []


class Gone(amp.Command):
    response = []


class Total(amp.Command):
    """As `docs/core/examples/ampserver.py` calls it."""

    commandName = b"Sum"
    arguments = Sum.arguments
    response = [(b"total", amp.Integer())]


async def failure_of(call):
    try:
        await call
    except Exception as error:
        return type(error).__name__
    return "none"


async def amp_client(clock, port):
    """Prints what a Twisted client gets of our server."""
    there = endpoints.TCP4ClientEndpoint(clock, "127.0.0.1", port)
    client = await endpoints.connectProtocol(there, amp.AMP())
    ask = client.callRemote
    print(await ask(Sum, a=13, b=81))
    print(await ask(Divide, numerator=1, denominator=4))
    print(await failure_of(ask(Divide, numerator=1, denominator=0)))
    print(await ask(Quotes, count=2))
    print(await failure_of(ask(Quotes, count=1001)))
    print(await ask(Find, name="\u00e4"), await ask(Find, name="b"))
    print(await ask(Keep, data=b"\x00\xff"))
    infinite = {"name": "Moshe", "age": 41, "nice": True, "scores": [1.5, float("inf")]}
    plain = {"name": "", "age": None, "nice": False, "scores": []}
    print(await ask(Older, people=[infinite, plain]))
    print(await ask(Forget))
    print(await failure_of(ask(Gone)))
    many = await defer.gatherResults([ask(Sum, a=n, b=n) for n in range(500)])
    print(sum(each["result"] for each in many))
    print(await failure_of(ask(Fail)), await failure_of(ask(Sum, a=1, b=1)))


class Server(amp.AMP):
    @Total.responder
    def total(self, a, b):
        return {"total": a + b}

    @Divide.responder
    def divide(self, numerator, denominator):
        return {"result": numerator / denominator}

    @Quotes.responder
    def quotes(self, count):
        return {"result": [f"quote {n}" for n in range(count)]}

    @Find.responder
    def find(self, name):
        return {"result": name if name == "\u00e4" else None}

    @Keep.responder
    def keep(self, data):
        return {"result": data}

    @Older.responder
    def older(self, people):
        return {"result": [dict(p, age=p.get("age") and p["age"] + 1) for p in people]}

    @Forget.responder
    def forget(self):
        return {}

    @Fail.responder
    def fail(self):
        raise RuntimeError("the key is under the mat")


async def amp_server(clock):
    """Serves our client, until its standard input ends."""
    factory = protocol.Factory.forProtocol(Server)
    port = await endpoints.TCP4ServerEndpoint(clock, 0, interface="127.0.0.1").listen(factory)
    print(port.getHost().port, flush=True)
    ended = defer.Deferred()
    ended.addErrback(lambda _: None)

    class Input(protocol.Protocol):
        def connectionLost(self, reason):
            ended.callback(None)

    endpoints.StandardIOEndpoint(clock).listen(protocol.Factory.forProtocol(Input))
    await ended


async def json_client(port):
    """Prints what aiorpcX gets of our server."""
    import aiorpcx

    async with aiorpcx.connect_rs("127.0.0.1", port) as session:
        print(await session.send_request("Sum", [13, 81]))
        print(await session.send_request("Quoter.Sum", {"b": 81, "a": 13}))
        print(await session.send_request("quotes", [2]))
        print(await session.send_request("forget"))
        await session.send_notification("forget")
        for method, arguments in [("gone", []), ("quotes", [1001]), ("Divide", [1, 0]), ("fail", [])]:
            try:
                await session.send_request(method, arguments)
            except aiorpcx.RPCError as error:
                print(error.code, error.message)
        async with session.send_batch() as batch:
            batch.add_request("Sum", [1, 2])
            batch.add_notification("forget")
            batch.add_request("find", ["\u00e4"])
        print(batch.results)


if __name__ == "__main__":
    what, port = sys.argv[1], int(sys.argv[2])
    if what == "amp-client":
        task.react(lambda clock: defer.ensureDeferred(amp_client(clock, port)))
    elif what == "amp-server":
        task.react(lambda clock: defer.ensureDeferred(amp_server(clock)))
    else:
        asyncio.run(json_client(port))
