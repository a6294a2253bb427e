"""A headless Chromium, driven by its DevTools protocol (PyPI websocket-client). What its pages complain of and ask for is kept.

Debian: apt-get install chromium; pip install websocket-client.
"""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import websocket

START_S, ANSWER_S = 30, 30  # bounds, no measures
WATCH = "window.violations = []; addEventListener('securitypolicyviolation', (e) => violations.push(e.violatedDirective + ' ' + e.blockedURI));"
KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, "")}
SHIFT = 8


class Page:
    """A tab. `urls`: what it asked for; `complaints`: errors and warnings of its console, exceptions, what the browser logged."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, timeout=ANSWER_S, suppress_origin=True)
        self.number, self.urls, self.complaints = 0, [], []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def call(self, method, **arguments):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": arguments}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self._hear(message.get("method"), message.get("params", {}))

    def _hear(self, method, said):
        if method == "Network.requestWillBeSent":
            self.urls.append(said["request"]["url"])
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.complaints.append("console: " + str([part.get("value") or part.get("description") for part in said["args"]]))
        elif method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.complaints.append("exception: " + str(details.get("exception", {}).get("description") or details.get("text")))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{said['entry']['source']}: {said['entry']['text']} {said['entry'].get('url', '')}")

    def value(self, expression):
        """Of a JavaScript expression; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression, timeout_s=ANSWER_S):
        """Whether it becomes true."""
        over = time.monotonic() + timeout_s
        while time.monotonic() < over:
            if self.value(f"Boolean({expression})"):
                return True
            time.sleep(0.02)
        return False

    def open(self, url):
        self.call("Page.navigate", url=url)
        if not self.wait("document.readyState === 'complete'"):
            raise RuntimeError(f"{url} does not load")

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def look(self, scheme, motion="no-preference"):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme},
                                                          {"name": "prefers-reduced-motion", "value": motion}])

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, key, modifiers=0):
        code, text = KEYS[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, modifiers=modifiers,
                      **({"text": text} if text and kind == "keyDown" else {}))

    def shot(self, path):
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        self.socket.close()


class Browser:
    """As a context manager it ends with its folder."""

    def __enter__(self):
        program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
        if not program:
            raise RuntimeError("no chromium: apt-get install chromium, or name one in $CHROMIUM")
        self.folder = tempfile.mkdtemp(prefix="herd-pages-")
        sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
        self.process = subprocess.Popen(
            [program, "--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
             "--disable-component-update", "--remote-debugging-port=0", f"--user-data-dir={self.folder}", *sandbox, "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        told, over = Path(self.folder) / "DevToolsActivePort", time.monotonic() + START_S
        while not (told.exists() and told.read_text().count("\n") >= 1):
            if self.process.poll() is not None or time.monotonic() > over:
                self.__exit__()
                raise RuntimeError(f"{program} does not start")
            time.sleep(0.05)
        self.port = int(told.read_text().splitlines()[0])
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def page(self):
        made = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(made, timeout=ANSWER_S) as answer:
            return Page(json.load(answer)["webSocketDebuggerUrl"])
