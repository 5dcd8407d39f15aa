"""Quotes, and who is here: objects in Python for tress."""
import random

from tress_plugin import Between, Fault, Option, serve


class Quoter:
    "Says something worth remembering."

    kind = "list"
    options = {
        "quotes": Option("strings", "What it says, one of them at a time.", required=True),
    }

    def __init__(self, quotes):
        self.known = [quotes] if isinstance(quotes, str) else list(quotes)

    def quote(self) -> str:
        "One quote."
        return random.choice(self.known)

    def quotes(self, count: Between(int, 1, 100)) -> list[str]:
        "That many quotes."
        return [self.quote() for _ in range(count)]

    def add(self, text: Between(str, 1, 500)) -> int:
        "Learns a quote, and gives how many it knows."
        if text in self.known:
            raise Fault("known-already", "that is one of them")
        self.known.append(text)
        return len(self.known)


class People:
    "Who is here, and how they are."

    kind = "people"
    interface = "Finger"  # one that tress knows: so it is also served by the finger protocol
    options = {"users": Option("table", "Users and their statuses.", required=True)}

    def __init__(self, users):
        self.users = users

    def getUser(self, name: str) -> str | None:
        "One user's status, or nothing when there is no such user."
        return self.users.get(name)

    def getUsers(self) -> list[str]:
        "Everybody who has a status."
        return sorted(self.users)


serve("quotes-in-python", "1.0", [Quoter, People])
