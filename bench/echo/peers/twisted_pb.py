"""An object through Twisted's Perspective Broker, as its own documentation writes it."""
import sys
from twisted.internet import reactor
from twisted.spread import pb

QUOTE = "An apple a day keeps the doctor away."


class Quoter(pb.Root):
    def remote_quote(self):
        return QUOTE


reactor.listenTCP(int(sys.argv[1]), pb.PBServerFactory(Quoter()), interface="127.0.0.1")
reactor.run()
