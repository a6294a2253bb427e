#!/usr/bin/env python3
"""The edges of `herd serve`: whatever a client sends gets the right 4xx in OpenAI's shape (serve_edge_rows.py), and the
server lives on; keys, doors, time limits, signals, sockets of a service manager. Standard library only.

    serve_edge_test.py HERD_BINARY [--only PART]
"""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from serve_edge_rows import ANY, BASE, CHAT, COMPLETION, RAW, ROWS
from serve_process import DEMO_MODEL, Answer, Checks, Server, StreamEnd, TestFolder, key_file, metrics, wait_until

HERD = sys.argv[1]
# Runs for seconds: many sequences of nearly the whole context.
LONG = {"prompt": ["Once upon a time"] * 8, "n": 8, "max_tokens": 1900, "ignore_eos": True, "temperature": 1}
TYPES = {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError", 405: "MethodNotAllowedError"}


def problem_of(answer, row):
    """What is wrong with how the server took a row; empty when nothing is."""
    if answer.status != row.status:
        return f"status {answer.status}, wanted {row.status}: {answer.body[:300]}"
    error = answer.error()
    if set(error) != {"message", "type", "param", "code"}:
        return f"not an OpenAI error: {answer.body[:300]}"
    if not isinstance(error["message"], str) or not 0 < len(error["message"]) < 600:
        return f"message {error['message']!r:.300}"
    if not isinstance(error["type"], str) or not error["type"].endswith("Error"):
        return f"type {error['type']!r}"
    if row.param is not ANY and error["param"] != row.param:
        return f"param {error['param']!r}, wanted {row.param!r}: {error['message']}"
    if isinstance(row.param, str) and isinstance(row.body, dict) and row.param not in error["message"]:
        return f"the message does not name {row.param}: {error['message']}"
    if error["code"] != (row.code or row.status):
        return f"code {error['code']!r}, wanted {row.code or row.status!r}"
    if "application/json" not in answer.headers.get("content-type", ""):
        return f"content type {answer.headers.get('content-type')}"
    return ""


def settled_rss(server):
    """Once the KV memory is committed, which goes on for a moment behind the start."""
    looks = [server.rss_bytes()]
    wait_until(lambda: looks.append(server.rss_bytes()) or len(looks) > 25 and looks[-1] - looks[-25] < 1 << 20)
    return looks[-1]


def refused_bodies(checks, server):
    before = settled_rss(server)
    for row in ROWS:
        try:
            answer = server.post(row.path, row.body, {"Content-Type": row.content_type} if row.content_type else
                                 {"Content-Type": ""})
        except (OSError, http.client.HTTPException) as error:
            checks.check(row.name, False, f"no answer: {error!r}")
            continue
        problem = problem_of(answer, row)
        checks.check(row.name, not problem, problem)
    for name, sent, statuses in RAW:
        answer = raw(server, sent)
        status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None
        body = answer.partition(b"\r\n\r\n")[2]
        checks.check(f"raw: {name}", status in statuses and b'"error"' in body, answer[:200])
    checks.check(f"{len(ROWS) + len(RAW)} rows are at least 60", len(ROWS) + len(RAW) >= 60)
    answer = server.post(COMPLETION, BASE[COMPLETION])
    checks.check("after all of it: an answer", answer.status == 200 and answer.json()["choices"][0]["text"], answer)
    found = server.metrics()
    checks.check("after all of it: /metrics parses", len(found) > 50, len(found))
    checks.check("after all of it: nothing runs, nothing waits",
                 wait_until(lambda: server.open_requests() == 0), server.open_requests())
    # A refused body may have been read (2 MiB) and parsed: what it took is given back, or kept once for the next.
    grown = server.rss_bytes() - before
    checks.check("after all of it: memory grew by less than 64 MiB", grown < 64 << 20, f"{grown >> 20} MiB")


def raw(server, sent):
    """What comes back until the server closes or 5 s pass."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        try:
            connection.sendall(sent)
            while piece := connection.recv(65536):
                received += piece
                head, separator, body = received.partition(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if separator and length and len(body) >= int(length[0].split(b":")[1]):
                    break
        except OSError:
            pass
    return received


def accepted(checks, server):
    """Odd, but right."""
    for name, body in (("NUL in a prompt", {"prompt": "a\0b", "max_tokens": 1}),
                       ("a pair of surrogates", b'{"prompt":"\\ud83d\\ude00","max_tokens":1}'),
                       ("nulls everywhere", {"prompt": "x", "max_tokens": 1, "stop": None, "seed": None, "n": None,
                                             "logprobs": None, "suffix": None, "stream": None, "model": None}),
                       ("max_tokens 1.0", b'{"prompt":"x","max_tokens":1.0}'),
                       ("4,094 unknown fields", b"{" + b",".join(b'"f%d":1' % i for i in range(4_094))
                        + b',"prompt":"x","max_tokens":1}'),
                       ("a key of 100 KB", b'{"' + b"k" * 100_000 + b'":1,"prompt":"x","max_tokens":1}'),
                       ("neutral fields", {"prompt": "x", "max_tokens": 1, "user": "me", "suffix": "", "best_of": 1,
                                           "store": False, "service_tier": "auto", "metadata": {"a": "b"}})):
        answer = server.post(COMPLETION, body)
        checks.check(f"accepted: {name}", answer.status == 200 and sum(map(len, answer.headers.values())) < 4096, answer)
    answer = server.post(CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
                                "max_tokens": 1, "tools": [], "tool_choice": "none",
                                "response_format": {"type": "text"}, "parallel_tool_calls": True,
                                "modalities": ["text"]})
    checks.check("accepted: neutral fields of chat", answer.status == 200, answer)
    answer = server.post(COMPLETION, BASE[COMPLETION], {"Content-Type": "Application/JSON ; charset=utf-8"})
    checks.check("accepted: another spelling of the type", answer.status == 200, answer)


def routes(checks, server):
    for path in ("/health", "/live", "/ready", "/ping", "/load", "/version", "/metrics", "/openapi.json", "/v1/models"):
        answer = server.get(path)
        checks.check(f"GET {path}: 200", answer.status == 200, answer)
        head = server.request("HEAD", path)
        checks.check(f"HEAD {path}: 200 without a body", head.status == 200 and head.body == b"", head)
    for path, allowed in ((CHAT, "POST"), ("/v1/models", "GET, HEAD"), ("/ping", "GET, HEAD, POST")):
        answer = server.request("DELETE", path)
        checks.check(f"DELETE {path}: 405", answer.status == 405 and answer.headers.get("allow") == allowed
                     and answer.error().get("type") == TYPES[405], answer)
    for path in ("/", "/v1", "/v1/models/", "/v1/embeddings", "/V1/models", "/../etc/passwd", "/health%00"):
        answer = server.get(path)
        checks.check(f"GET {path}: 404", answer.status == 404 and answer.error().get("type") == TYPES[404], answer)
    checks.check("a query is no part of the path", server.get("/health?x=1").status == 200)
    answer = server.get("/health", {"x-request-id": "mine-1"})
    checks.equal("x-request-id comes back", answer.headers.get("x-request-id"), "mine-1")
    drawn = {server.get("/health", {"x-request-id": given}).headers.get("x-request-id")
             for given in ("", "a b", "x" * 129)}
    checks.check("an unusable x-request-id is replaced", len(drawn) == 3 and {len(one) for one in drawn} == {32}, drawn)


def letter(checks, server):
    """HTTP as RFC 9112 has it, where a stricter parser would be wrong."""
    post = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s\r\n%s"
    body = b'{"prompt":"x","max_tokens":1}'
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    length = b"Content-Length: %d\r\n" % len(body)
    for name, sent, status in (
            ("an absolute target", b"GET http://127.0.0.1:8000/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
            ("… whose host is not Host's", b"GET http://any.example/health?x HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
            ("… of a client that is told a proxy", b"GET HTTP://any.example/health HTTP/1.1\r\nHost: any.example\r\n\r\n", 200),
            ("… without a path", b"GET http://any.example HTTP/1.1\r\nHost: any.example\r\n\r\n", 404),
            ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 204),
            *((f"Transfer-Encoding: {spelling.decode()}", post % (b"Transfer-Encoding: %s\r\n" % spelling, chunks), 200)
              for spelling in (b"chunked", b"Chunked", b"CHUNKED", b"chunked,", b", chunked")),
            ("blanks before a chunk's extension", post % (b"Transfer-Encoding: chunked\r\n", b"%x ;a=b\r\n%s\r\n0\r\n\r\n" % (len(body), body)), 200),
            ("Expect: ,100-Continue", post % (length + b"Expect: ,100-Continue\r\n", body), 200),
            ("an empty Expect", post % (length + b"Expect:\r\n", body), 200),
            ("Content-Encoding: Identity", post % (length + b"Content-Encoding: Identity\r\n", body), 200),
            ("Content-Encoding: gzip", post % (length + b"Content-Encoding: gzip\r\n", body), 415),
            ("a method in lower case", b"get /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 405)):
        answer = raw(server, sent)
        checks.check(f"the letter: {name}: {status}", answer.startswith(b"HTTP/1.1 %d " % status), answer[:200])


def hosts(checks, folder):
    """Without keys on a loopback address only names of this machine are answered; a page's own name is none."""
    def status(server, host, path="/v1/models", method="GET", port=None):
        connection = http.client.HTTPConnection("127.0.0.1", port or server.port, timeout=30)
        connection.request(method, path, headers={"Host": host, "x-request-id": "mine-3"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.getheader("x-request-id")

    with Server(HERD, "--metrics-port", "0", "--allowed-hosts", "herd.example.com,GPU-1", folder=folder,
                checks=checks) as server:
        door = int(server.metrics_url.split(":")[2].split("/")[0])
        for host in ("localhost", f"LOCALHOST:{server.port}", "a.localhost", "127.0.0.1", "127.9.9.9:1", "[::1]:80",
                     "herd.example.com", "gpu-1:8000"):
            checks.equal(f"Host: {host}", status(server, host), (200, "mine-3"))
        for host in ("rebound.example.com", f"rebound.example.com:{server.port}", "localhost.example.com", "10.0.0.1",
                     "", "127.0.0.1.example.com"):
            checks.equal(f"Host: {host}", status(server, host), (421, "mine-3"))
        for path in ("/", "/health", "/live", "/ready", "/ping", "/load", "/metrics", "/openapi.json", "/no/such", CHAT):
            for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE"):
                answer = status(server, "rebound.example.com", path, method)
                checks.check(f"another host's name: {method} {path}: 421", answer[0] == 421, answer)
        checks.equal("the door of metrics, too", status(server, "rebound.example.com", "/metrics", port=door)[0], 421)
        checks.equal("the door of metrics, by its name", status(server, "gpu-1", "/metrics", port=door)[0], 200)
    with Server(HERD, "--allowed-hosts", "*", folder=folder, checks=checks) as server:
        checks.equal("--allowed-hosts '*'", status(server, "rebound.example.com")[0], 200)
    with Server(HERD, "--api-key", "sk-anna-0123456789", folder=folder, checks=checks) as server:
        checks.equal("with keys any name will do", status(server, "rebound.example.com", "/health")[0], 200)
        checks.equal("with keys they decide", status(server, "rebound.example.com")[0], 401)


def early_refusals(checks, folder):
    """What is refused below the routes reaches a page as what it is: CORS and x-request-id wherever the head was read."""
    head = (b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Origin: http://ui.example.com\r\nx-request-id: mine-4\r\n%s\r\n\r\n")
    chunked = head % b"Transfer-Encoding: chunked"
    with Server(HERD, "--allowed-origins", "http://ui.example.com", folder=folder, checks=checks) as server:
        for name, sent, status in (("a body too long", head % b"Content-Length: 3000000", 413),
                                   ("chunks too long", chunked + b"ffffffff\r\n", 413),
                                   ("a broken chunk", chunked + b"zz\r\n", 400),
                                   ("trailers too long", chunked + b"0\r\na: " + b"b" * 10_000, 431),
                                   ("a gzip body", head % b"Content-Encoding: gzip\r\nContent-Length: 3", 415),
                                   ("another host", head.replace(b"localhost", b"a.example") % b"Content-Length: 3", 421)):
            answer = raw(server, sent).partition(b"\r\n\r\n")[0].lower()
            checks.check(f"early refusals: {name}: {status} that a page can read", b" %d " % status in answer and
                         b"\r\nx-request-id: mine-4" in answer and
                         b"\r\naccess-control-allow-origin: http://ui.example.com" in answer, answer)


def long_frames(checks, folder):
    """What a request made long goes out whole, and what its steps add behind it is not the reader's lateness."""
    with Server(HERD, "--max-num-seqs", 512, folder=folder, checks=checks) as server:
        read_long_frames(checks, server)


def read_long_frames(checks, server):
    def cut():
        return sum(value for (name, _), value in server.metrics().items() if name == "herd_streams_cut_total")

    before = cut()
    ids = [5 + 37 * i % 4000 for i in range(1900)]
    long = {"echo": True, "logprobs": 5, "max_tokens": 4, "ignore_eos": True}
    for name, body, events in (
            ("a prompt of 1,900 ids with logprobs", long | {"prompt": ids}, 5),
            ("… eight times", long | {"prompt": ids, "n": 8}, 40),
            ("… with 20 logprobs and the ids", long | {"prompt": ids, "logprobs": 20, "return_token_ids": True}, 5),
            ("eight prompts", long | {"prompt": [ids[i:i + 900] for i in range(8)]}, 40),
            ("256 prompts, eight choices each, echoed alone",
             {"prompt": ["a"] * 256, "n": 8, "echo": True, "max_tokens": 0}, 4096)):
        for _ in range(2):
            end = server.stream(COMPLETION, {**body, "stream": True})
            checks.check(f"long frames: {name}: whole", isinstance(end, StreamEnd) and end.whole
                         and len(end.events) == events + 1 and end.events[-1].done,
                         end if isinstance(end, Answer) else (end.whole, len(end.events)))
    # 512 choices: a step makes 700 KB at one time, for a reader that does nothing but read: it takes no chunk apart.
    many = {"prompt": [[5 + i, 7, 9] for i in range(256)], "n": 2, "logprobs": 20, "max_tokens": 20, "ignore_eos": True}
    connection = server.connect()
    connection.request("POST", COMPLETION, json.dumps({**many, "stream": True}), {"Content-Type": "application/json"})
    answer, received, end = connection.getresponse(), 0, b""
    try:
        while not end.endswith(b"\r\n0\r\n\r\n") and (piece := answer.fp.read1(1 << 20)):
            end = (end + piece)[-50:]
            received += len(piece)
    except OSError as error:
        end = repr(error).encode()
    connection.close()
    checks.check("long frames: 512 choices in one stream: whole", b"data: [DONE]\n\n" in end, (received, end))
    checks.equal("long frames: no stream was cut", cut(), before)


def keys(checks, folder):
    path = key_file(folder / "edge.keys", "# who", "anna key=sk-anna-0123456789")
    with Server(HERD, "--api-key-file", path, "--metrics-port", "0", folder=folder, checks=checks) as server:
        public = ("/health", "/live", "/ready", "/ping")
        for route in (*public, "/load", "/version", "/metrics", "/openapi.json", "/v1/models", "/no/such"):
            for name, headers in (("no key", {}), ("a wrong key", {"Authorization": "Bearer sk-anna-0123456788"}),
                                  ("no scheme", {"Authorization": "sk-anna-0123456789"}),
                                  ("Basic", {"Authorization": "Basic c2stYW5uYQ=="})):
                answer = server.get(route, headers)
                wanted = 200 if route in public else 401
                checks.check(f"GET {route} with {name}: {wanted}", answer.status == wanted and
                             (wanted == 200 or answer.error().get("code") == "invalid_api_key"), answer)
        for spelling in ("Bearer  sk-anna-0123456789", "bearer    sk-anna-0123456789"):
            checks.equal(f"{spelling[:12]!r}…", server.get("/v1/models", {"Authorization": spelling}).status, 200)
        for route, body in BASE.items():
            checks.equal(f"POST {route} without a key", server.post(route, body).status, 401)
            answer = server.post(route, body, {"Authorization": "Bearer sk-anna-0123456789"})
            checks.check(f"POST {route} with a key", answer.status == 200, answer)
        door = http.client.HTTPConnection("127.0.0.1", int(server.metrics_url.split(":")[2].split("/")[0]), timeout=10)
        door.request("GET", "/metrics")
        answer = door.getresponse()
        text = answer.read().decode()
        checks.check("the door of --metrics-port needs no key", answer.status == 200 and metrics(text), text[:200])
        door.request("GET", "/v1/models")
        answer = door.getresponse()
        answer.read()
        checks.equal("behind that door there is nothing else", answer.status, 404)
        door.close()
        reload_keys(checks, server, path)


def reload_keys(checks, server, path):
    def status(key):
        return server.get("/v1/models", {"Authorization": f"Bearer {key}"}).status

    path.write_text("bert key=sk-bert-0123456789\n")
    server.signal(signal.SIGHUP)
    checks.check("SIGHUP: the new key works", wait_until(lambda: status("sk-bert-0123456789") == 200))
    checks.equal("SIGHUP: the old key does not", status("sk-anna-0123456789"), 401)
    path.write_text("a line that is none\n")
    server.signal(signal.SIGHUP)
    said = wait_until(lambda: "key file not taken" in server.stderr())
    checks.check("SIGHUP with a broken file: said", said, server.stderr()[-300:])
    checks.equal("SIGHUP with a broken file: the keys stay", status("sk-bert-0123456789"), 200)
    checks.check("stderr shows no key", "sk-bert" not in server.stderr() and "sk-anna" not in server.stderr())


def not_started(checks, folder, server):
    """Starts that fail, with the reason and the exit code of their kind."""
    open_file = folder / "open.keys"
    open_file.write_text("anna key=sk-anna-0123456789\n")
    open_file.chmod(0o644)
    no_key = folder / "no.pem"
    no_key.write_text("no key\n")
    for name, code, says, flags in (
            ("a port in use", 4, str(server.port), ["--port", str(server.port)]),
            ("no such address", None, "host", ["--host", "not-an-address", "--port", "0"]),
            ("a key file that others read", 3, "open.keys", ["--port", "0", "--api-key-file", str(open_file)]),
            ("no key file", 4, "missing.keys", ["--port", "0", "--api-key-file", str(folder / "missing.keys")]),
            ("a key that is too short", 2, "api-key", ["--port", "0", "--api-key", "x"]),
            ("a certificate without its key", 2, "certificate", ["--port", "0", "--ssl-certfile", str(no_key)]),
            ("a certificate that is none", None, "no.pem",
             ["--port", "0", "--ssl-certfile", str(no_key), "--ssl-keyfile", str(no_key)]),
            ("an unknown policy", 2, "scheduling-policy", ["--port", "0", "--scheduling-policy", "luck"]),
            ("a port too large", None, "port", ["--port", "70000"]),
            ("a broken resume key", 3, "no.pem", ["--port", "0", "--resume-key-file", str(no_key)])):
        words = [HERD, "serve", str(DEMO_MODEL), *flags]
        if "--resume-key-file" not in flags:
            words += ["--resume-key-file", str(folder / "resume.key")]
        if "--host" not in flags:
            words += ["--host", "127.0.0.1"]
        try:
            run = subprocess.run(words, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            checks.check(f"does not start: {name}", False, "it did")
            continue
        said = run.stderr.decode(errors="replace")
        codes = (code,) if code is not None else (2, 3, 4)
        line = [line for line in said.splitlines() if says in line]
        checks.check(f"does not start: {name}", run.returncode in codes and line and "Traceback" not in said,
                     f"exit code {run.returncode}, wanted {codes}, naming {says}: {said[-300:]}")


class Streaming:
    """A stream read by a thread of its own."""

    def __init__(self, server, body):
        self.begun = threading.Event()
        self.end = None
        self.thread = threading.Thread(target=self._read, args=(server, body), daemon=True)
        self.thread.start()

    def _read(self, server, body):
        self.end = server.stream(COMPLETION, {**body, "stream": True}, on_event=lambda _: self.begun.set())

    def wait(self):
        self.thread.join(60)
        return self.end


def error_events(end):
    return [event for event in end.events if event.data.startswith(b'{"error"')]


def signals(checks, folder):
    one = {"prompt": "Once upon a time", "max_tokens": 1000, "ignore_eos": True}
    server = Server(HERD, folder=folder)
    kept = server.connect()  # idle through the drain: must not hold it up
    server.get("/health")
    kept.connect()
    running = Streaming(server, one)
    checks.check("drain: the stream has begun", running.begun.wait(30))
    server.signal(signal.SIGTERM)
    refused = wait_until(lambda: not answers(server), 10)
    end = running.wait()
    checks.check("drain: SIGTERM lets the stream end", isinstance(end, StreamEnd) and end.whole and end.events[-1].done
                 and len(end.events) == 1001, end and (end.whole, len(end.events)))
    checks.check("drain: nobody new is let in", refused)
    checks.equal("drain: exit code", server.wait(), 0)
    kept.close()

    server = Server(HERD, folder=folder)
    running = Streaming(server, LONG)
    checks.check("stop: the stream has begun", running.begun.wait(30))
    server.signal(signal.SIGTERM)
    checks.check("stop: draining is said", wait_until(lambda: "draining" in server.stderr()))
    begin = time.monotonic()
    server.signal(signal.SIGTERM)
    end = running.wait()
    checks.equal("stop: exit code after the second SIGTERM", server.wait(), 0)
    checks.check("stop: within seconds", time.monotonic() - begin < 10, time.monotonic() - begin)
    unfinished(checks, "stop", end, 503)


def queue(checks, folder):
    """One sequence at a time: the others wait, hear that somebody is there, and survive the drain."""
    one = {"prompt": "Once upon a time", "max_tokens": 700, "ignore_eos": True}
    server = Server(HERD, "--max-num-seqs", "1", "--keep-alive-interval", "0.1", "--scheduling-policy", "priority",
                    folder=folder)
    first = Streaming(server, one)
    checks.check("queue: the first stream has begun", first.begun.wait(30))
    others = [Streaming(server, {**one, "priority": priority}) for priority in (5, 3, 1)]
    checks.check("queue: others wait", wait_until(lambda: server.open_requests() > 1), server.open_requests())
    # The last in the queue: four whole streams stand before it, so it cannot be done within its time on any machine.
    late = server.stream(COMPLETION, {**one, "priority": 9, "stream": True}, {"X-Request-Timeout": "0.05"})
    refused = late.status in (504, 503) if isinstance(late, Answer) else error_events(late) and not late.whole
    checks.check("queue: a deadline while waiting", refused, late)
    server.signal(signal.SIGTERM)
    ends = [stream.wait() for stream in (first, *others)]
    checks.check("queue: SIGTERM lets those end that wait", all(
        isinstance(end, StreamEnd) and end.whole and len(end.events) == 701 for end in ends),
                 [end if isinstance(end, Answer) else len(end.events) for end in ends])
    # Whoever runs next may wait for less than the interval; who comes last waits for two whole streams.
    checks.check("queue: comments while waiting", any(end.comments > 0 for end in ends[1:]),
                 [end.comments for end in ends])
    checks.equal("queue: exit code", server.wait(), 0)


def many_sequences(checks, folder):
    """More at one time than the gateway keeps account of by itself: --max-num-seqs says how many."""
    body = {"prompt": [[5 + i % 50, 6] for i in range(256)], "n": 8, "max_tokens": 3, "ignore_eos": True}
    with Server(HERD, "--max-num-seqs", 6200, "--max-num-batched-tokens", 6200, "--max-model-len", 64, folder=folder,
                checks=checks) as server:
        with ThreadPoolExecutor() as pool:
            answers_of_all = list(pool.map(lambda _: server.post(COMPLETION, body), range(3)))
        checks.equal("3 requests of 2,048 sequences run together", [answer.status for answer in answers_of_all],
                     [200] * 3)


def answers(server):
    try:
        return server.get("/health").status == 200
    except OSError:
        return False


def unfinished(checks, name, end, code):
    """An error event, no made-up end, the connection closed inside the body."""
    if not checks.check(f"{name}: it was streaming", isinstance(end, StreamEnd) and len(end.events) > 1, end):
        return
    errors = error_events(end)
    checks.check(f"{name}: one error event, the last", len(errors) == 1 and end.events[-1] is errors[0]
                 and errors[0].json()["error"]["code"] == code, end.events[-2:])
    finished = [event for event in end.events if b'"finish_reason":"' in event.data]
    checks.check(f"{name}: no finish_reason", not finished, finished[:1])
    checks.check(f"{name}: no [DONE]", not any(event.done for event in end.events))
    checks.check(f"{name}: the body has no end", not end.whole)


def time_limits(checks, server):
    answer = server.post(COMPLETION, LONG, {"X-Request-Timeout": "0.2"})
    checks.check("X-Request-Timeout: 504, not to be repeated", answer.status == 504
                 and answer.error().get("code") == 504 and answer.headers.get("x-should-retry") == "false", answer)
    end = server.stream(COMPLETION, {**LONG, "stream": True}, {"X-Request-Timeout": "0.3"})
    unfinished(checks, "X-Request-Timeout of a stream", end, 504)
    freed = wait_until(lambda: server.open_requests() == 0)
    checks.check("X-Request-Timeout: nothing runs on", freed, server.open_requests())
    for value in ("0", "-1", "soon", "nan", "inf", "1e999", "", "1 2"):
        answer = server.post(COMPLETION, BASE[COMPLETION], {"X-Request-Timeout": value})
        checks.check(f"X-Request-Timeout: {value!r}: 400", answer.status == 400
                     and answer.error().get("param") == "X-Request-Timeout", answer)
    answer = server.post(COMPLETION, BASE[COMPLETION], {"X-Request-Timeout": "1e6"})
    checks.check("X-Request-Timeout beyond the limit is the limit", answer.status == 200, answer)


def clients_that_leave(checks, server):
    """Hang up in the middle: blocks come back."""
    before = blocks_in_use(server)
    for _ in range(8):
        connection = server.connect()
        connection.request("POST", COMPLETION, json.dumps({**LONG, "stream": True}),
                           {"Content-Type": "application/json"})
        connection.getresponse().read1(100)
        connection.close()
    gone = wait_until(lambda: server.open_requests() == 0)
    checks.check("clients that leave: nothing runs on", gone, server.open_requests())
    checks.check("clients that leave: no block is held", wait_until(lambda: blocks_in_use(server) == before),
                 blocks_in_use(server))


def blocks_in_use(server):
    found = server.metrics()
    return sum(value for (name, _), value in found.items() if name == "vllm:kv_cache_usage_perc")


def service_manager(checks, folder):
    """Sockets and readiness as systemd does them."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    port = listener.getsockname()[1]
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(folder / "notify"))
    notify.settimeout(30)

    def activated(words):
        return ["sh", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{listener.fileno()}', "sh", *words]

    def early(path, host="localhost"):
        """A request that waits in the socket before the server is there: it is answered before the model is."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path, headers={"Host": host})
        return connection

    def told():
        """What the manager is told next, but for lines for people."""
        while (word := notify.recv(200)).startswith(b"STATUS="):
            pass
        return word

    waiting = {path: early(path) for path in ("/live", "/health", "/ping", "/ready", "/v1/models")}
    stranger = early("/live", "rebound.example.com")
    with Server(HERD, folder=folder, command=activated, env={"NOTIFY_SOCKET": str(folder / "notify")},
                pass_fds=(listener.fileno(),), port_flags=(), checks=checks) as server:
        checks.equal("socket activation: the port is the socket's", server.port, port)
        for path, connection in waiting.items():
            answer = connection.getresponse()
            body = json.loads(answer.read())
            wanted = {"/live": (200, "ok"), "/health": (503, "loading"), "/ping": (503, "loading")}.get(path, (503, None))
            checks.equal(f"while the model is loaded: {path}", (answer.status, body.get("status")), wanted)
            checks.equal(f"… with Retry-After: {path}", answer.getheader("retry-after"),
                         None if path == "/live" else "1")
            connection.request("GET", path)
            again = connection.getresponse()
            again.read()
            checks.equal(f"… and 200 on the same connection when it is there: {path}", again.status, 200)
            connection.close()
        checks.equal("while the model is loaded, another host's name is none of ours", stranger.getresponse().status, 421)
        stranger.close()
        checks.equal("NOTIFY_SOCKET: ready", told(), b"READY=1")
        checks.equal("socket activation: a request", server.post(COMPLETION, BASE[COMPLETION]).status, 200)
    checks.equal("NOTIFY_SOCKET: stopping", told(), b"STOPPING=1")
    notify.close()
    listener.close()


def logs(checks, folder):
    with Server(HERD, "--log-format", "json", "--enable-log-requests", "--stats-interval", "0.5", folder=folder,
                checks=checks) as server:
        server.post(COMPLETION, {"prompt": "a secret text", "max_tokens": 300, "ignore_eos": True})
        server.post(CHAT, BASE[CHAT], {"x-request-id": "mine-2"})
        said = wait_until(lambda: "mine-2" in server.stderr() and "throughput" in server.stderr())
        checks.check("logs: the request's line and the stats line", said, server.stderr()[-500:])
        lines = []
        for line in server.lines:
            if line.startswith("{"):
                lines.append(json.loads(line))
        checks.check("logs: JSON lines", len(lines) >= 3, server.lines[-5:])
        checks.check("logs: no prompt, no answer", "a secret text" not in server.stderr())


def main():
    checks = Checks()
    only = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else ""

    def part(function, *arguments):
        if only in function.__name__:
            function(checks, *arguments)

    with TestFolder() as folder:
        with Server(HERD, folder=folder, checks=checks) as server:
            for function in (routes, refused_bodies, accepted, letter, time_limits, clients_that_leave):
                part(function, server)
            part(not_started, folder, server)
        for function in (keys, hosts, early_refusals, long_frames, signals, queue, many_sequences, service_manager, logs):
            part(function, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
