"""Twisted's own receivers as clients of tress-testee: twisted_peer.py lines|netstrings|int32 PORT

Each case is one connection: what is sent, byte by byte or whole, comes back as it was, or the server closes without a
word. Prints one line a case and "all as expected" at the end.
"""

import sys

from twisted.internet import defer, endpoints, error, protocol, task
from twisted.protocols import basic

LINE_MAX = 16_384
STRING_MAX = 99_999


class Collector:
    """Keeps what it receives until `wanted` have come, then closes; `done` has what came when the connection ended."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.received = []
        self.done = defer.Deferred()

    def got(self, item):
        self.received.append(item)
        if len(self.received) == self.wanted:
            self.transport.loseConnection()

    def connectionLost(self, reason=protocol.connectionDone):
        reason.trap(error.ConnectionDone, error.ConnectionLost)
        self.done.callback(self.received)


class Lines(Collector, basic.LineReceiver):
    lineReceived = Collector.got

    def encode(self, item):
        return item + self.delimiter


class Netstrings(Collector, basic.NetstringReceiver):
    MAX_LENGTH = STRING_MAX
    stringReceived = Collector.got

    def encode(self, item):
        return b"%d:%s," % (len(item), item)


class Int32(Collector, basic.Int32StringReceiver):
    MAX_LENGTH = STRING_MAX
    stringReceived = Collector.got

    def encode(self, item):
        return len(item).to_bytes(4, "big") + item


KINDS = {"lines": (Lines, LINE_MAX), "netstrings": (Netstrings, STRING_MAX), "int32": (Int32, STRING_MAX)}


def send_whole(peer, items):
    send = peer.sendLine if isinstance(peer, Lines) else peer.sendString
    for item in items:
        send(item)


async def send_bytes(reactor, peer, items):
    """One segment a byte; a transport would join them."""
    for byte in b"".join(peer.encode(item) for item in items):
        peer.transport.write(bytes([byte]))
        await task.deferLater(reactor, 0)


async def check(reactor, port, kind, name, items, answered, by_bytes=False):
    peer = kind(len(items))
    point = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    await endpoints.connectProtocol(point, peer)
    peer.transport.setTcpNoDelay(True)
    peer.done.addTimeout(8, reactor)
    if by_bytes:
        await send_bytes(reactor, peer, items)
    else:
        send_whole(peer, items)
    received = await peer.done
    expected = items if answered else []
    if received != expected:
        sizes = [len(item) for item in received]
        sys.exit(f"{name}: {len(received)} came back, of {sizes} bytes; expected {len(expected)}")
    print(name)


async def main(reactor, which, port):
    kind, longest = KINDS[which]
    case = lambda *rest, **options: check(reactor, int(port), kind, *rest, **options)
    await case("a few", [b"hello", b"", b"x" * 1000, b"\x00\xff,:9"], True)
    await case("byte by byte", [b"hello", b"", b"x" * 1000, b"\x00\xff,:9"], True, by_bytes=True)
    await case("longest - 1", [b"a" * (longest - 1)], True)
    await case("longest", [b"a" * longest, b"b" * longest], True)
    await case("longest + 1", [b"a" * (longest + 1)], False)
    await case("a hundred at once", [b"%d" % number for number in range(100)], True)
    print("all as expected")


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
