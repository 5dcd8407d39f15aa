"""A finger window: tkinter's loop turns the reactor, and goes on ticking while the answer is awaited.

usage: window.py LIBRARY ENDPOINT QUERY. Says `ticked` on standard output after ten ticks without an answer, then
`answered: TEXT`, and `shown` when it stands in the window; ends when standard input does.
"""

import ctypes
import sys
import tkinter
from ctypes import CFUNCTYPE, c_char_p, c_int, c_int64, c_size_t, c_void_p
from tkinter import ttk

ANSWERED = CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_size_t)


class Reactor:
    """The calls of tress.h, inside tkinter's loop."""

    def __init__(self, window, library):
        self.window = window
        self.calls = ctypes.CDLL(library)
        self.calls.tress_new.restype = c_void_p
        self.calls.tress_deadline.restype = c_int64
        for call in ("free", "descriptor", "deadline", "turn"):
            getattr(self.calls, "tress_" + call).argtypes = [c_void_p]
        self.calls.tress_finger.argtypes = [c_void_p, c_char_p, c_char_p, ANSWERED, c_void_p]
        self.reactor = self.calls.tress_new()
        self.timer = None
        descriptor = self.calls.tress_descriptor(self.reactor)
        window.tk.createfilehandler(descriptor, tkinter.READABLE, lambda *_: self.turn())
        self.turn()

    def turn(self):
        if self.timer is not None:
            self.window.after_cancel(self.timer)
        if self.calls.tress_turn(self.reactor) < 0:
            raise RuntimeError("the reactor can go on no more")
        wait = self.calls.tress_deadline(self.reactor)
        self.timer = self.window.after(min(wait, 2**31 - 1), self.turn) if wait >= 0 else None

    def finger(self, to, query, answered):
        def called(_data, ok, text, _length):
            answered(ok, text.decode())

        # Kept: the library holds no reference to it.
        self.called = ANSWERED(called)
        return self.calls.tress_finger(self.reactor, to.encode(), query.encode(), self.called, None)


class Window:
    def __init__(self, library, to, query):
        self.root = tkinter.Tk()
        self.root.title("finger")
        self.root.geometry("360x150+0+0")
        frame = ttk.Frame(self.root, padding=12)
        frame.pack(fill="both", expand=True)
        self.query = ttk.Entry(frame)
        self.query.insert(0, query)
        self.query.pack(fill="x")
        self.ask = ttk.Button(frame, text="Finger", command=self.asks)
        self.ask.pack(anchor="e", pady=6)
        self.answer = ttk.Label(frame, text="", anchor="nw")
        self.answer.pack(fill="both", expand=True)
        self.status = ttk.Label(frame, foreground="gray40")
        self.status.pack(fill="x")
        self.to = to
        self.ticks = 0
        self.waits = False
        self.reactor = Reactor(self.root, library)
        self.root.tk.createfilehandler(sys.stdin, tkinter.READABLE, lambda *_: self.root.destroy())
        self.root.after(10, self.tick)
        self.ask.invoke()

    def asks(self):
        self.waits = True
        self.ask.state(["disabled"])
        if self.reactor.finger(self.to, self.query.get(), self.answered) < 0:
            raise RuntimeError("no question")

    def tick(self):
        if self.waits:
            self.ticks += 1
            self.status["text"] = f"The window has ticked {self.ticks} times while it waited."
            if self.ticks == 10:
                print("ticked", flush=True)
        self.root.after(10, self.tick)

    def answered(self, ok, text):
        self.waits = False
        self.answer["text"] = text.strip() if ok else f"No answer: {text}"
        self.ask.state(["!disabled"])
        print("answered:", text.strip(), flush=True)
        self.root.after_idle(self.shown)

    def shown(self):
        self.root.update()
        print("shown", flush=True)


window = Window(*sys.argv[1:])
window.root.mainloop()
