"""Twisted as the other end of PB. `client PORT` plays what the test expects of a client of ours; `login PORT` logs in;
`interop PORT` calls each method of `pbinterop.py`, whoever serves it; `serve` prints its ports and serves until its input
ends."""

import sys

from twisted.cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.portal import IRealm, Portal
from twisted.internet import defer, protocol, reactor, stdio, task
from twisted.spread import flavors, pb
from zope.interface import implementer


def say(*words):
    print(*words, flush=True)


def told(what, deferred, *caught):
    """Prints how a call ended, and as which of these names its failure is caught."""

    def bad(failure):
        names = [name for name in caught if failure.check(name)]
        kind = failure.type if isinstance(failure.type, bytes) else failure.type.__name__
        say(what, "failed", kind, "|", failure.getErrorMessage(), "|", *names)

    return deferred.addCallbacks(lambda result: say(what, "=", repr(result)), bad)


class Caller(pb.Referenceable):
    def remote_hello(self):
        return "hello, world"


@defer.inlineCallbacks
def client(port):
    factory = pb.PBClientFactory()
    reactor.connectTCP("127.0.0.1", port, factory)
    root = yield factory.getRootObject()
    call = root.callRemote
    yield told("quote", call("quote"))
    yield told("quotes", call("quotes", 2))
    yield told("by name", call(b"quotes", count=2))
    yield told("sum", call("sum", 2**40, -1))
    yield told("both ways", call("sum", 1, b=2))
    yield told("python 2", call("find", b"moshez"))
    yield told("find", call("find", "moshez"))
    yield told("nobody", call("find", name="nobody"))
    yield told("keep", call("keep", b"message \x00\xff"))
    yield told("a word", call("keep", b"cache"))
    yield told("move", call("moved", {"x": 1, "y": 2.5}))
    yield told("a list", call("moved", (1, 2.5)))
    shared = ["a"]
    yield told("echo", call("echo", [shared, shared, (), (), {}, None, True, 1.5, 2**100]))
    yield told("cycle", call("echo", cycle()), TypeError)
    yield told("fault", call("fail", "no-such-user"), "no-such-user", pb.Error, "other", "builtins.Exception")
    yield told("internal", call("crash"), "internal", pb.Error, "builtins.Exception")
    yield told("unknown", call("gone"), "unknown-method", pb.NoSuchMethod, pb.Error, AttributeError)
    yield told("arguments", call("quotes", "many"), "bad-arguments", TypeError, pb.Error)
    yield told("limit", call("quotes", 4294967295), TypeError)
    yield told("large", call("large"), "too-large")
    yield told("never", call("never"), "deadline", defer.TimeoutError)
    # An object is given back at once, and the connection goes on.
    caller = Caller()
    yield told("object", call("echo", [caller]), TypeError)
    yield told("ourselves", call("echo", root), TypeError)
    say("held", len(root.broker.localObjects))
    yield told("huge", call("echo", 2**200), TypeError)
    yield told("no answer", defer.maybeDeferred(call, "quote", pbanswer=False))
    results = yield defer.gatherResults([call("sum", n, n) for n in range(500)])
    say("many", sum(results))
    factory.disconnect()


class Hello(pb.Referenceable):
    def remote_hello(self):
        say("hello was called")
        return "hello, world"


class Copied(pb.RemoteCopy):
    pass


@defer.inlineCallbacks
def interop(port):
    pb.setUnjellyableForClass(flavors.Copyable, Copied)
    factory = pb.PBClientFactory()
    reactor.connectTCP("127.0.0.1", port, factory)
    root = yield factory.getRootObject()
    call = root.callRemote

    def caught(what, deferred, *names):
        bad = lambda failure: say(what, "failed as", *(name for name in names if failure.check(name)))
        return deferred.addCallbacks(lambda result: say(what, "=", repr(result)), bad)

    for name in ["int", "string", "unicode", "float", "list", "dict"]:
        yield told(name, call(name))
    recursive = yield call("recursive")
    say("recursive", len(recursive), recursive[0] is recursive)
    one, two = yield defer.gatherResults([call("reference"), call("reference")])
    say("reference", type(one).__name__, one.luid == two.luid)
    yield caught("its method", one.callRemote("gone"), pb.NoSuchMethod)
    yield told("local", call("local", Hello()))
    yield told("receive", call("receive", [1, 1.5, "hi", "hi", {1: 2}]))
    yield caught("other numbers", call("receive", [1, 1.5, "hi", "hi", {1: 3}]), ValueError, TypeError)
    yield caught("a text for a number", call("receive", [1, 1.5, "hi", "hi", {"1": 2}]), ValueError, TypeError)
    yield caught("bytes for a text", call("receive", [1, 1.5, "hi", b"hi", {1: 2}]), ValueError, TypeError)
    yield told("self", call("self", root))
    yield caught("another", call("self", Hello()), "builtins.Exception")
    for x in [5, "five", {1: (2, b"3"), "4": {5}}]:
        copy = yield call("copy", x)
        say("copy", type(copy).__name__, sorted(copy.__dict__), repr(copy.x))
    yield caught("unknown", call("gone"), pb.NoSuchMethod)
    del one, two, recursive
    factory.disconnect()


def cycle():
    it = []
    it.append(it)
    return it


@defer.inlineCallbacks
def login(port):
    def attempt(credentials):
        factory = pb.PBClientFactory()
        reactor.connectTCP("127.0.0.1", port, factory)
        return factory, factory.login(credentials, Caller())

    for name, credentials in [
        ("guest", UsernamePassword(b"guest", b"guest")),
        ("bad", UsernamePassword(b"guest", b"other")),
        ("nobody", UsernamePassword(b"nobody", b"guest")),
        ("anonymous", Anonymous()),
    ]:
        factory, perspective = attempt(credentials)
        try:
            perspective = yield perspective
        except Exception as error:
            say(name, "refused", error.remoteType)
        else:
            yield told(name, perspective.callRemote("who"))
            yield told(name, perspective.callRemote("echo", "hello world"))
            yield told(name, perspective.callRemote("fail", "pbecho.DefinedError"), "pbecho.DefinedError")
        root = yield factory.getRootObject()
        yield told(name, root.callRemote("who"), pb.NoSuchMethod)
        factory.disconnect()


class Interop(pb.Root):
    """A root object with one method for each sort of value and object."""

    def __init__(self):
        self.other = Caller()

    remote_quote = lambda self: "An apple a day keeps the doctor away."
    remote_quotes = lambda self, count: ["An apple a day keeps the doctor away."] * count
    remote_sum = lambda self, a, b: a + b
    remote_find = lambda self, name: {"moshez": "Happy and well"}.get(name)
    remote_keep = lambda self, data: data
    remote_moved = lambda self, by: {"x": by["x"] + 1, "y": by["y"]}
    remote_echo = lambda self, value: value
    remote_never = lambda self: defer.Deferred()
    remote_large = lambda self: "x" * 600_000 + "y" * 40_000
    remote_int = lambda self: 1
    remote_float = lambda self: 1.5
    remote_bytes = lambda self: b"string"
    remote_list = lambda self: [1, (2, 3), {4}]
    remote_recursive = lambda self: cycle()
    remote_dict = lambda self: {1: 2}
    remote_reference = lambda self: self.other
    remote_references = lambda self: [self.other]
    remote_self = lambda self, it: it is self

    def remote_crash(self):
        raise ValueError("the key is under the mat")

    def remote_fail(self, code):
        raise pb.Error(code)

    def remote_local(self, it):
        return it.callRemote("sum", 1, 2).addCallback(lambda three: f"{three} from you")

    def remote_copy(self, x):
        it = flavors.Copyable()
        it.x = x
        return it

    def remote_held(self):
        return len(self.broker.localObjects)

    def rootObject(self, broker):
        self.broker = broker
        return self


class Perspective(pb.Avatar):
    def __init__(self, name):
        self.name = name

    def perspective_find(self, name):
        return f"{self.name!r} asks for {name!r}"


@implementer(IRealm)
class Realm:
    def requestAvatar(self, avatarId, mind, *interfaces):
        return pb.IPerspective, Perspective(avatarId), lambda: None


class UntilTheEnd(protocol.Protocol):
    def connectionLost(self, reason):
        reactor.stop()


def serve():
    portal = Portal(Realm())
    checker = InMemoryUsernamePasswordDatabaseDontUse()
    checker.addUser(b"guest", b"guest")
    portal.registerChecker(checker)
    portal.registerChecker(AllowAnonymousAccess())
    ports = [
        reactor.listenTCP(0, pb.PBServerFactory(root), interface="127.0.0.1").getHost().port
        for root in (Interop(), portal)
    ]
    say(*ports)
    stdio.StandardIO(UntilTheEnd())
    reactor.run()


if sys.argv[1] == "serve":
    serve()
else:
    what = {"client": client, "login": login, "interop": interop}[sys.argv[1]]
    task.react(lambda _: what(int(sys.argv[2])))
