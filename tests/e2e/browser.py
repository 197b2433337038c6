"""A headless Chromium that does what tests say: the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/) through
a pipe."""

import base64
import fcntl
import json
import os
import select
import signal
import subprocess
import time

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage"]
PATIENCE = 60  # seconds for an answer


class Browser:
    """One page. `events` are what the browser has told since the page was opened: [{"method", "params"}]."""

    def __init__(self, directory):
        ours_out, theirs_in = self._pipe()
        theirs_out, ours_in = self._pipe()
        # The protocol is spoken on descriptors 3 and 4.
        line = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", line, "bash", "chromium", *FLAGS, f"--user-data-dir={directory}", "--remote-debugging-pipe", "about:blank"],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        self._out, self._in = ours_out, ours_in
        self._received, self._number, self._session = b"", 0, None
        self.events = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(domain + ".enable")

    @staticmethod
    def _pipe():
        """(write end, read end), both above the descriptors that the protocol needs."""
        ends = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
        for end in ends:
            os.close(end)
        return high[1], high[0]

    # ------------------------------------------------------------------------------------------------ protocol

    def _receive(self, deadline):
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._in], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "the browser has ended"
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        message = json.loads(message)
        if "method" in message:
            self.events.append(message)
        return message

    def call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    # ------------------------------------------------------------------------------------------------- what tests do

    def open(self, url):
        """Opens a page and waits until it says that it is ready."""
        self.events.clear()
        answer = self.call("Page.navigate", url=str(url))
        assert "errorText" not in answer, answer
        self.wait("document.documentElement && document.documentElement.dataset.ready === '1'")

    def evaluate(self, expression):
        """The value of a JavaScript expression, a promise's when it is kept."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (expression, answer["exceptionDetails"])
        return answer["result"].get("value")

    def wait(self, condition):
        """Until it is true; it is looked at whenever the browser draws."""
        assert self.evaluate(f"(async () => {{ for (let i = 0; i < 600; i++) {{ if ({condition}) {{ return true; }}"
                             f" await new Promise(requestAnimationFrame); }} return false; }})()"), condition

    def media(self, scheme):
        """light or dark; nothing moves."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme},
                                                          {"name": "prefers-reduced-motion", "value": "reduce"}])

    def window(self, width, height):
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def click(self, selector):
        self.point(selector, "mousePressed", "mouseReleased")

    def point(self, selector, *kinds):
        """The mouse on the middle of the first element of a selector, or of an expression that gives one."""
        found = selector if selector.startswith("(") else f"document.querySelector({json.dumps(selector)})"
        x, y = self.evaluate(f"(element => {{ element.scrollIntoView({{block: 'center'}}); const box = element.getBoundingClientRect();"
                             f" return [box.x + Math.min(box.width, innerWidth) / 2, box.y + box.height / 2]; }})({found})")
        for kind in kinds or ("mouseMoved",):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="none" if kind == "mouseMoved" else "left", clickCount=1)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, *keys):
        for key in keys:
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def picture(self, path, whole=True):
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def problems(self):
        """Exceptions, errors in the console, and whatever was asked of anybody but the disk."""
        found = [event["params"] for event in self.events if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
        requested = [event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return found + [url for url in requested if not url.startswith(("file:", "data:", "about:"))]

    def close(self):
        try:
            self._session = None
            self.call("Browser.close")
            self._process.wait(timeout=20)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            pass
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            os.close(self._out)
            os.close(self._in)
