"""Runs `herd serve` for the end-to-end tests and talks to it. Standard library only.

A server listens on a free port of 127.0.0.1, keeps its resume key in a folder of the test's, and must end with exit
code 0 after SIGTERM.
"""
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import struct
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

DEMO_MODEL = Path(__file__).resolve().parents[2] / "config" / "demo_model"
START_S, STOP_S, ANSWER_S = 60, 60, 120
CRASH_WORDS = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:", "terminate called",
               "HERD_CHECK", "std::bad_alloc", "Assertion")


class Checks:
    """One line a check, and the tally."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, condition, detail=""):
        if condition:
            self.passed += 1
            print(f"PASSED {name}", flush=True)
        else:
            self.failed += 1
            shown = str(detail)
            print(f"FAILED {name}: {shown if len(shown) < 900 else shown[:900] + '…'}", flush=True)
        return bool(condition)

    def equal(self, name, actual, expected):
        return self.check(name, actual == expected, f"{actual!r}, wanted {expected!r}")

    def skip(self, name, reason):
        print(f"SKIPPED: {name}: {reason}", flush=True)

    def finish(self):
        """The exit code."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return int(self.failed > 0 or self.passed == 0)


@dataclass
class Answer:
    status: int
    headers: dict  # lower-case names
    body: bytes

    def json(self):
        return json.loads(self.body)

    def error(self):
        """The OpenAI error object; {} when the body is none."""
        try:
            found = self.json()["error"]
        except (ValueError, KeyError, TypeError):
            return {}
        return found if isinstance(found, dict) else {}


@dataclass
class Event:
    """One event of a stream: its bytes as sent, without the blank line."""
    raw: bytes
    id: str = ""
    data: bytes = b""

    @property
    def done(self):
        return self.data == b"[DONE]"

    def json(self):
        return json.loads(self.data)


def parse_event(raw):
    event = Event(raw)
    for line in raw.split(b"\n"):
        name, _, value = line.partition(b": ")
        if name == b"id":
            event.id = value.decode()
        elif name == b"data":
            event.data = value
    return event


@dataclass
class StreamEnd:
    """What a stream came to."""
    events: list = field(default_factory=list)
    comments: int = 0
    whole: bool = False  # the body's end was announced, not just the connection's


class Endpoint:
    """Where an HTTP server of herd listens."""

    def __init__(self, host="127.0.0.1", port=None):
        self.host, self.port = host, port
        self.tls = None  # an ssl.SSLContext for request()
        self.key = None  # sent as bearer when set

    def metrics(self):
        return metrics(self.get("/metrics").body.decode())

    def open_requests(self):
        """Sequences that run, in the metrics of this moment, and whatever waits for its turn."""
        names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "herd_gateway_waiting_requests")
        return sum(value for (name, _), value in self.metrics().items() if name in names)

    def connect(self, timeout_s=ANSWER_S):
        if self.tls:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout_s, context=self.tls)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)

    def _begin(self, connection, method, path, body, headers):
        headers = dict(headers or {})
        if self.key and not any(name.lower() == "authorization" for name in headers):
            headers["Authorization"] = f"Bearer {self.key}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if body is not None and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            if connection.sock is None:
                raise  # there was no connection
            # Refused before the body was read: the answer is there.
        return connection.getresponse()

    def request(self, method, path, body=None, headers=None, connection=None):
        """One request; on a connection of its own unless one is given."""
        own = connection is None
        connection = connection or self.connect()
        try:
            answer = self._begin(connection, method, path, body, headers)
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            if own:
                connection.close()

    def get(self, path, headers=None):
        return self.request("GET", path, None, headers)

    def post(self, path, body, headers=None, connection=None):
        return self.request("POST", path, body, headers, connection)

    def stream(self, path, body, headers=None, on_event=None, timeout_s=ANSWER_S):
        """All events of a streamed answer, as StreamEnd; an Answer when it is refused. Comments are only counted.
        on_event sees each event as it comes; TimeoutError when nothing comes for timeout_s."""
        connection = self.connect(timeout_s)
        try:
            answer = self._begin(connection, "POST", path, body, headers)
            if answer.status != 200:
                return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
            end, waiting = StreamEnd(), b""
            try:
                while piece := answer.read1(65536):
                    waiting += piece
                    *whole, waiting = waiting.split(b"\n\n")
                    for raw in whole:
                        while raw.startswith(b":"):  # a comment is one line in front of the next event
                            end.comments += 1
                            raw = raw.partition(b"\n")[2]
                        if not raw:
                            raise RuntimeError("a blank line behind a comment: to many clients an event without data")
                        end.events.append(parse_event(raw))
                        if on_event:
                            on_event(end.events[-1])
                end.whole = waiting == b""
            except (http.client.IncompleteRead, ConnectionError):
                pass
            return end
        finally:
            connection.close()


class Server(Endpoint):
    """`herd serve`, ready to answer. As a context manager it stops the server and checks how it ended."""

    def __init__(self, herd, *flags, folder, model=(DEMO_MODEL,), resume_key="resume.key", checks=None, command=None,
                 port_flags=("--host", "127.0.0.1", "--port", "0"), env=None, pass_fds=()):
        super().__init__()
        self.checks = checks
        self.shown = " ".join(map(str, flags))[:80] or "without flags"
        words = [str(herd), "serve", *map(str, model), *port_flags, "--resume-key-file", str(Path(folder) / resume_key),
                 *map(str, flags)]
        self.command = (command or (lambda plain: plain))(words)
        self.lines = []
        self.url = self.metrics_url = None
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env={**os.environ, **(env or {})}, pass_fds=pass_fds)
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self._read_stderr, daemon=True)
        self.reader.start()
        deadline = time.monotonic() + START_S
        while not self.ready.wait(0.05):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                said = self.stderr()[-2000:]
                raise RuntimeError(f"herd serve did not start (exit {self.process.returncode}): {said}")

    def _read_stderr(self):
        for raw in self.process.stderr:
            line = raw.decode(errors="replace").rstrip("\n")
            self.lines.append(line)
            if found := re.search(r"herd: metrics on (http://\S+)", line):
                self.metrics_url = found[1]
            if found := re.search(r"herd: serving on (https?://[^:]+:(\d+))", line):
                self.url, self.port = found[1], int(found[2])
                self.ready.set()

    def await_event_ids(self):
        """Streams that begin from here on can be resumed after each of their events."""
        if not wait_until(lambda: "streams can be resumed from here on" in self.stderr()):
            raise RuntimeError(f"herd serve does not say that streams can be resumed: {self.stderr()[-2000:]}")
        return self

    def stderr(self):
        return "\n".join(self.lines)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.kill()
            return
        code = self.stop()
        name = f"herd serve {self.shown} ends with 0 after SIGTERM"
        if self.checks:
            self.checks.check(name, code == 0, f"exit code {code}: {self.stderr()[-1500:]}")
        elif code != 0:
            raise RuntimeError(f"{name}: exit code {code}: {self.stderr()[-1500:]}")
        words = [word for word in CRASH_WORDS if word in self.stderr()]
        if words:
            raise RuntimeError(f"stderr has {words}: {self.stderr()[-1500:]}")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout_s=STOP_S):
        """The exit code; None when there is none in time."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self.reader.join(5)
        return self.process.returncode

    def stop(self):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait()
        if code is None:
            self.kill()
        return code

    def kill(self):
        self.process.kill()
        self.wait()

    def rss_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class TestFolder:
    """A folder that goes away with the test."""

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="herd-serve-test-"))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def key_file(path, *lines):
    """A file of API keys that only its owner reads."""
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
    return path


def certificate(folder):
    """A self-made certificate of 127.0.0.1: its PEM file and its key's."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


def trusting(cert):
    return ssl.create_default_context(cafile=str(cert))


def float32(number):
    """The float of 32 bits that a JSON number stands for, as bytes: equality is equality of bits."""
    return struct.pack("<f", number)


def metrics(text):
    """Prometheus' text format: {(name, ((label, value), …)): number}. ValueError on a line that breaks it."""
    sample = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})?'
                        r' (\S+)(?: -?\d+)?')
    label = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
    found = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        parts = sample.fullmatch(line)
        if not parts:
            raise ValueError(f"not a sample: {line!r}")
        found[parts[1], tuple(label.findall(parts[2] or ""))] = float(parts[3])
    return found


def wait_until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
