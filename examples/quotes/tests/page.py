"""The page for people in a real browser: `page.py BROWSER URL` tries two methods of a quoter and prints what it saw as JSON.

Speaks Chromium's debugging protocol through two pipes, which needs no library.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile

browser, url = sys.argv[1:]
signal.alarm(60)
to_browser, requests = os.pipe()
answers, from_browser = os.pipe()


def as_three_and_four():
    ends = [os.dup(to_browser), os.dup(from_browser)]
    high = [os.dup2(end, 100 + number) for number, end in enumerate(ends)]
    os.dup2(high[0], 3)
    os.dup2(high[1], 4)


class Browser:
    def __init__(self):
        self.answers = os.fdopen(answers, "rb")
        self.buffered = b""
        self.number = 0
        self.errors = []

    def message(self):
        while b"\0" not in self.buffered:
            more = os.read(self.answers.fileno(), 65536)
            if not more:
                raise SystemExit("the browser has ended")
            self.buffered += more
        message, self.buffered = self.buffered.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(requests, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']}")
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(answer["params"])


class Page:
    def __init__(self, browser):
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.browser, self.session = browser, attached["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self.ask(domain + ".enable")
        self.ask("Page.navigate", url=url)

    def ask(self, method, **params):
        return self.browser.ask(method, self.session, **params)

    def once(self, condition, value):
        """The value of an expression, as soon as a condition holds."""
        waits = f"new Promise((done) => {{ const look = () => ({condition}) ? done({value}) : setTimeout(look, 5); look(); }})"
        found = self.ask("Runtime.evaluate", expression=waits, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise SystemExit(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def call(self, name, typed, key):
        """Opens a method, types into its first field, and calls it by a click or by the key Enter."""
        method = f"[...document.querySelectorAll('details')].find((d) => d.querySelector('code').textContent.startsWith('{name}('))"
        self.once("true", f"({method}.open || {method}.querySelector('summary').click(), {method}.querySelector('pre').hidden = true)")
        if typed is not None:
            self.once("true", f"({method}.querySelector('input').value = '', {method}.querySelector('input').focus())")
            self.ask("Input.insertText", text=typed)
        if key:
            for kind in ("rawKeyDown", "keyUp"):
                self.ask("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13)
        else:
            self.once("true", f"{method}.querySelector('button').click()")
        shown = f"{method}.querySelector('pre')"
        return self.once(f"!{shown}.hidden", f"[{shown}.className, {shown}.textContent]")


with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    words += ["--no-proxy-server", "--remote-debugging-pipe", "--user-data-dir=" + profile, "about:blank"]
    child = subprocess.Popen(words, preexec_fn=as_three_and_four, pass_fds=(3, 4), stderr=subprocess.DEVNULL)
    try:
        debugged = Browser()
        page = Page(debugged)
        codes = "[...document.querySelectorAll('summary code')].map((code) => code.textContent)"
        seen = {"methods": page.once("document.querySelectorAll('details').length >= 2", codes)}
        seen["title"] = page.once("true", "document.title")
        seen["clicked"] = page.call("quote", None, key=False)
        seen["typed"] = page.call("quotes", "2", key=True)
        seen["errors"] = list(debugged.errors)
        seen["refused"] = page.call("quotes", "1001", key=False)
        print(json.dumps(seen))
    finally:
        child.kill()
        child.wait()
