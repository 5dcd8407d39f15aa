"""An object through Twisted's AMP, as its own documentation writes it."""
import sys
from twisted.internet import protocol, reactor
from twisted.protocols import amp

QUOTE = "An apple a day keeps the doctor away."


class Quote(amp.Command):
    commandName = b"quote"
    response = [(b"result", amp.Unicode())]


class Quoter(amp.AMP):
    @Quote.responder
    def quote(self):
        return {"result": QUOTE}


reactor.listenTCP(int(sys.argv[1]), protocol.Factory.forProtocol(Quoter), interface="127.0.0.1")
reactor.run()
