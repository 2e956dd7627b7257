"""A headless browser, driven over a pipe by the DevTools protocol.

Chromium reads messages from file descriptor 3 and writes them to 4, each JSON
and ended by a NUL: no package, no port, no driver of its own.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess

NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
)
FLAGS = (
    "--headless",
    "--no-sandbox",  # Tests may run as root, which Chromium refuses else.
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)


def find():
    """The path of a browser, or `None`."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page; a context manager that ends its process."""

    def __init__(self, path, folder, timeout=60.0):
        self.timeout = timeout
        self.events = []
        self._number = 0
        self._buffer = b""
        theirs, self._write = map(_high, os.pipe())
        self._read, answers = map(_high, os.pipe())
        command = f'exec "$0" "$@" 3<&{theirs} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, path, *FLAGS, f"--user-data-dir={folder}"],
            pass_fds=(theirs, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(answers)
        self._session = None
        target = self.send("Target.createTarget", url="about:blank")
        self._session = self.send(
            "Target.attachToTarget", flatten=True, **target
        )["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._session = None
        try:
            self.send("Browser.close")
            self._process.wait(timeout=10)
        except (RuntimeError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def send(self, method, **parameters):
        """Sends a command and returns its result; keeps what else comes."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") != self._number:
                self.events.append(answer)
            elif "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            else:
                return answer["result"]

    def _receive(self):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], self.timeout)
            part = os.read(self._read, 1 << 16) if ready else b""
            if not part:
                raise RuntimeError("The browser ended or does not answer")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def evaluate(self, expression):
        """The value of a JavaScript expression; a promise is awaited."""
        answer = self.send(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"], indent=1))
        return answer["result"].get("value")

    def resize(self, width, height, dark=False):
        """Sets the size of the page in pixels, and its colour scheme."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme"}
        scheme["value"] = "dark" if dark else "light"
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.settle()

    def screenshot(self):
        """The page as PNG."""
        answer = self.send("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])

    def click(self, selector):
        """Clicks on the middle of an element with the mouse."""
        x, y = self.evaluate(
            f"(() => {{const e = document.querySelector({selector!r});"
            "e.scrollIntoView({block: 'center'});"
            "const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2];})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button="left",
                clickCount=1,
            )
        self.settle()

    def press(self, selector, key, times=1):
        """Focuses an element and presses a key."""
        self.evaluate(f"document.querySelector({selector!r}).focus()")
        code = {"ArrowLeft": 37, "ArrowRight": 39}[key]
        for _ in range(times):
            for kind in ("rawKeyDown", "keyUp"):
                self.send(
                    "Input.dispatchKeyEvent",
                    type=kind,
                    key=key,
                    windowsVirtualKeyCode=code,
                )
        self.settle()

    def choose(self, selector, value):
        """Sets a control, as its user does, and tells the page."""
        self.evaluate(
            f"(() => {{const e = document.querySelector({selector!r});"
            f"e.value = {value!r};"
            "e.dispatchEvent(new Event('input', {bubbles: true}));"
            "e.dispatchEvent(new Event('change', {bubbles: true}));})()"
        )
        self.settle()

    def open(self, address):
        """Loads a page and waits until it has been drawn."""
        self.send("Page.navigate", url=address)
        while not any(
            e["method"] == "Page.loadEventFired" for e in self.events
        ):
            self.events.append(self._receive())
        self.settle()

    def settle(self):
        """Waits for two frames, and what they have put off."""
        frame = "await new Promise(go => requestAnimationFrame(go));"
        later = "await new Promise(go => setTimeout(go, 1));"
        self.evaluate(f"(async () => {{{2 * (frame + later)}}})()")

    def requests(self):
        """Addresses that the page has asked for so far."""
        self.evaluate("0")
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self):
        """Errors and warnings that the page has caused so far."""
        self.evaluate("0")
        told_in = {
            "Runtime.exceptionThrown": "exceptionDetails",
            "Runtime.consoleAPICalled": "args",
            "Log.entryAdded": "entry",
        }
        return [
            event["params"][told_in[event["method"]]]
            for event in self.events
            if event["method"] in told_in
        ]


def _high(descriptor):
    """The same file under a number that is not 3 or 4."""
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return copy
