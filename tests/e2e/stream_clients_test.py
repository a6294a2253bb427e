#!/usr/bin/env python3
"""Client libraries read streams across long pauses, error events and large frames: none is cut, none crashes, and each
puts together the text that the whole answer has.

    stream_clients_test.py HERD [--pause SECONDS] [--frame-bytes N] [--python PYTHON:CLIENT,CLIENT…]… [--benchy PYTHON]

Without --python: the clients that the Python which runs this holds, and Debian's node-eventsource where it is installed.
stream_clients.sh makes environments with all of them. Every client reads at the same time, so one pause serves all:
- a stream that has begun when another client's prompt makes a step as long as the pause: silence after the first frame;
- a stream that is opened behind that prompt: silence before the first frame;
- a stream that has begun and meets its time limit: an error event;
- a stream with a frame of --frame-bytes (on a second server, whose model has room for such a prompt).
"""
import argparse
import contextlib
import http.client
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from llama_benchy_run import run_llama_benchy
from serve_process import DEMO_MODEL, Checks, Server, TestFolder

CHAT = "/v1/chat/completions"
HERE = Path(__file__).resolve().parent
EVENTSOURCE = Path("/usr/share/nodejs/eventsource")
PAUSED, LATE, LIMITED, LARGE = "begun before the pause", "opened in the pause", "meets its time limit", "large frame"
MODULES = {"openai": ("openai", "openai-async"), "httpx_sse": ("httpx-sse", "httpx-sse-async"),
           "sseclient": ("sseclient-py",), "aiohttp_sse_client": ("aiohttp-sse-client",)}
END_S = 900  # for the slowest machine, with everything at once


class Client:
    """A process that holds one client library (stream_client.py or .cjs)."""

    def __init__(self, label, command, url, model):
        self.label, self.version = label, None
        self.process = subprocess.Popen([*command, url, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.begun, self.ends, self.over, self.changed = set(), {}, False, threading.Condition()
        self.stderr = ""
        for read in (self._read_lines, self._read_stderr):
            threading.Thread(target=read, daemon=True).start()

    def _read_lines(self):
        for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:  # a library's own chatter
                continue
            with self.changed:
                if "version" in said:
                    self.version = said["version"]
                elif said.get("first"):
                    self.begun.add(said["name"])
                else:
                    self.ends[said["name"]] = said
                self.changed.notify_all()
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def _read_stderr(self):
        for line in self.process.stderr:
            self.stderr = (self.stderr + line)[-2000:]

    def open(self, name, body, headers=None):
        with contextlib.suppress(BrokenPipeError):  # it crashed: its streams have no ends
            self.process.stdin.write(json.dumps({"name": name, "body": {**body, "stream": True},
                                                 "headers": headers or {}}) + "\n")
            self.process.stdin.flush()

    def wait(self, condition):
        with self.changed:
            self.changed.wait_for(lambda: self.over or condition(), END_S)
            return condition()

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()


class RawReader(threading.Thread):
    """Reads a stream's bytes itself: what the server sent into a silence, and how large its frames were."""

    def __init__(self, server, body):
        super().__init__(daemon=True)
        self.server, self.body, self.bytes = server, {**body, "stream": True}, b""
        self.silence_s = 0.0  # the longest without a frame
        self.start()

    def run(self):
        connection = self.server.connect(timeout_s=END_S)
        try:
            connection.request("POST", CHAT, json.dumps(self.body), {"Content-Type": "application/json"})
            answer, last_frame = connection.getresponse(), time.monotonic()
            while piece := answer.read1(65536):
                self.bytes += piece
                if piece != b": ping\n":
                    self.silence_s, last_frame = max(self.silence_s, time.monotonic() - last_frame), time.monotonic()
        except (http.client.HTTPException, OSError):
            pass
        finally:
            connection.close()

    def pings(self):
        return self.bytes.count(b": ping\n")

    def frames(self):
        return self.bytes.split(b"\n\n")


def variant(folder, **config):
    """A folder for --load-format random: the demo model's tokenizer and chat format in another shape."""
    shutil.copytree(DEMO_MODEL, folder, ignore=shutil.ignore_patterns("model.safetensors"))
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**written, **config}))
    return folder


def chat(text, tokens, **more):
    return {"messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 1, "seed": 1,
            "ignore_eos": True, **more}


def whole_text(server, body):
    return server.post(CHAT, body).json()["choices"][0]["message"]["content"]


def compute_prompt(server, rows):
    """Seconds that a prompt of so many new tokens took."""
    begin = time.monotonic()
    ids = [5 + (rows + 37 * i) % 4000 for i in range(rows)]
    connection = server.connect(timeout_s=END_S)
    server.post("/v1/completions", {"prompt": ids, "max_tokens": 1, "ignore_eos": True}, connection=connection)
    connection.close()
    return time.monotonic() - begin


def start_clients(checks, commands, url, model):
    clients = [Client(label, command, url, model) for label, command in commands]
    for client in clients:
        checks.check(f"{client.label} starts", client.wait(lambda: client.version is not None), client.stderr)
    print("; ".join(f"{client.label}: {client.version}" for client in clients), flush=True)
    return clients


def check_stream(checks, client, name, text):
    if not checks.check(f"{client.label}: {name}: ends", client.wait(lambda: name in client.ends), client.stderr):
        return
    end = client.ends[name]
    checks.equal(f"{client.label}: {name}: no error", end["error"], "")
    checks.equal(f"{client.label}: {name}: the text of the whole answer", end["text"], text)
    checks.equal(f"{client.label}: {name}: finish reason", end["finish"], "length")


def check_error(checks, client, name):
    if not checks.check(f"{client.label}: {name}: ends", client.wait(lambda: name in client.ends), client.stderr):
        return
    end = client.ends[name]
    checks.check(f"{client.label}: {name}: the server's own words are told", "time" in end["error"].lower() and
                 end["text"] and "JSON" not in end["error"], end)


def across_a_pause(checks, herd, commands, options, folder):
    pause_s = options.pause
    keep_alive_s = 10 if pause_s >= 25 else pause_s / 5  # the default where it fits
    model = variant(folder / "slow", num_hidden_layers=16 if pause_s >= 25 else 4)
    with Server(herd, "--load-format", "random", "--cpu-isa", "reference", "--threads", "1", "--max-num-batched-tokens",
                "2048", "--max-step-ms", "0", "--max-num-seqs", "256", "--kv-cache-memory", "512MiB", "--keep-alive-interval",
                str(keep_alive_s), folder=folder, model=(model,), checks=checks) as server:
        # The fastest of three: a slower machine makes a longer pause, never a shorter one.
        rows_per_s = max(rows / compute_prompt(server, rows) for rows in (63, 64, 65))
        begun, late = chat("Count from one to six.", 24, stream_options={"include_usage": True}), chat("Name it.", 6)
        texts = {PAUSED: whole_text(server, {**begun, "stream_options": None}), LATE: whole_text(server, late)}
        clients = start_clients(checks, commands, server.url, model.name)
        raw = [RawReader(server, begun)]
        for client in clients:
            client.open(PAUSED, begun)
            client.open(LIMITED, chat("Count.", 1000), {"X-Request-Timeout": str(pause_s + 5)})
        for client in clients:
            client.wait(lambda: {PAUSED, LIMITED} <= client.begun | client.ends.keys())
        rows = int(min(1900, max(64, 1.5 * pause_s * rows_per_s)))
        print(f"a step of {rows} rows, at {rows_per_s:.0f} rows/s of one short prompt", flush=True)
        hog = threading.Thread(target=compute_prompt, args=(server, rows))
        hog.start()
        time.sleep(min(1.0, pause_s / 4))  # the step under way ends, the long one begins
        raw.append(RawReader(server, late))
        for client in clients:
            client.open(LATE, late)
        if options.benchy:
            run = run_llama_benchy(options.benchy, server.url, model.name, folder, "--pp", 16, "--tg", 8, "--depth", 0,
                                   "--concurrency", 1, "--runs", 1, timeout_s=END_S)
            checks.check("llama-benchy measures across the pause", run.returncode == 0, (run.stdout + run.stderr)[-900:])
        hog.join()
        for client in clients:
            check_stream(checks, client, PAUSED, texts[PAUSED])
            check_stream(checks, client, LATE, texts[LATE])
            check_error(checks, client, LIMITED)
            client.close()
        for reader, when in zip(raw, ("after", "before"), strict=True):
            reader.join(END_S)
            print(f"silence {when} the first frame: {reader.silence_s:.1f} s", flush=True)
            checks.check(f"the silence {when} the first frame was long enough for two comments", reader.pings() >= 2,
                         reader.pings())
            checks.check("no comment ends in a blank line", b": ping\n\n" not in reader.bytes, reader.bytes[:300])


def with_a_large_frame(checks, herd, commands, options, folder):
    model = variant(folder / "roomy", num_hidden_layers=1, hidden_size=32, intermediate_size=32, num_attention_heads=1,
                    num_key_value_heads=1, max_position_embeddings=262144)
    with Server(herd, "--load-format", "random", "--max-model-len", "131072", "--kv-cache-memory", "512MiB", folder=folder,
                model=(model,), checks=checks) as server:
        # Ids of four digits and a comma; a word is a token or two.
        words = " ".join(f"{'fox red sum one two cat'.split()[i % 6]} {i % 7}" for i in range(options.frame_bytes // 10))
        body = chat(words, 6)
        text = whole_text(server, body)
        large = {**body, "return_token_ids": True}
        raw = RawReader(server, large)
        clients = start_clients(checks, commands, server.url, model.name)
        for client in clients:
            client.open(LARGE, large)
        for client in clients:
            check_stream(checks, client, LARGE, text)
            client.close()
        raw.join(END_S)
        largest = max(map(len, raw.frames()))
        checks.check(f"a frame of at least {options.frame_bytes} bytes", largest >= options.frame_bytes, largest)
        print(f"largest frame: {largest} bytes", flush=True)


def commands_of(options):
    """[(label, command without URL and model)]"""
    groups = [(sys.executable, [client for module, clients in MODULES.items() if importlib.util.find_spec(module)
                                for client in clients])]
    if options.python:
        groups = [(python, clients.split(",")) for python, clients in (group.split(":") for group in options.python)]
    commands = []
    for python, clients in groups:
        prefix = f"{Path(python).parents[1].name}: " if options.python else ""
        commands += [(prefix + client, [python, str(HERE / "stream_client.py"), client]) for client in clients]
    if shutil.which("node") and EVENTSOURCE.exists():
        commands.append(("node-eventsource", ["node", str(HERE / "stream_client.cjs"), "node-eventsource"]))
    return commands


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("herd")
    parser.add_argument("--pause", type=float, default=2.0)
    parser.add_argument("--frame-bytes", type=int, default=300_000)
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--benchy", help="the Python that holds llama-benchy")
    options = parser.parse_args()
    checks = Checks()
    commands = commands_of(options)
    if not any(label == "node-eventsource" for label, _ in commands):
        checks.skip("node-eventsource", "node or Debian's node-eventsource is not installed")
    with TestFolder() as folder:
        across_a_pause(checks, options.herd, commands, options, folder)
        with_a_large_frame(checks, options.herd, commands, options, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
