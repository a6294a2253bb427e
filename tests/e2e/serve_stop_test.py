#!/usr/bin/env python3
"""How `herd serve` ends: told to while it loads, while a thread that computes hangs, told twice; and that no child would keep what
it has open. Threads are stopped from outside (stopped_thread.py), so that the server is the one that users run. Standard library
only.

    serve_stop_test.py HERD_BINARY
"""
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from serve_process import Checks, Server, TestFolder, wait_until
from stopped_thread import NotAllowed, StoppedThread, busiest_thread

HERD = sys.argv[1]
CLOEXEC = 0o2000000
# 300 million values, made up one by one.
SLOW = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 1024, "num_hidden_layers": 24,
        "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 2816, "vocab_size": 512,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "torch_dtype": "bfloat16",
        "tie_word_embeddings": True, "hidden_act": "silu"}
LONG = {"prompt": "Once upon a time", "max_tokens": 600, "ignore_eos": True, "stream": True}
AT_LEISURE = ("--cpu-isa", "reference")  # whose tokens take seconds, so that a thread is stopped while it computes them


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Reader(threading.Thread):
    """A client that reads a long stream to wherever it ends."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.received = b""
        self.start()

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.request("POST", "/v1/completions", json.dumps(LONG), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            while piece := answer.read1(4096):
                self.received += piece
        except (OSError, http.client.HTTPException):
            pass  # the process went away under it

    def await_tokens(self, count):
        return wait_until(lambda: self.received.count(b"data: ") >= count)


def inherited(process):
    """What a child of the process would have beside the three standard descriptors."""
    kept = []
    for info in Path(f"/proc/{process}/fdinfo").iterdir():
        number = int(info.name)
        flags = next(int(line.split()[1], 8) for line in info.read_text().splitlines() if line.startswith("flags:"))
        if number > 2 and not flags & CLOEXEC:
            kept.append((number, str((info.parent.parent / "fd" / info.name).readlink())))
    return kept


def descriptors(checks, folder):
    with Server(HERD, "-tp", "2", "--metrics-port", "0", "--shutdown-timeout", "0", folder=folder, checks=checks) as server:
        reader = Reader(server)
        checks.check("a stream runs", reader.await_tokens(3))
        server.metrics()
        checks.equal("nothing that is open would be a child's", inherited(server.process.pid), [])


def while_loading(checks, folder):
    """A model that takes seconds to make up."""
    model = Path(folder) / "slow"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(SLOW))
    for number in (signal.SIGTERM, signal.SIGINT):
        port = free_port()
        process = subprocess.Popen([HERD, "serve", str(model), "--load-format", "random", "--port", str(port), "--max-model-len",
                                    "256", "--resume-key-file", str(folder / "resume.key")], stderr=subprocess.PIPE, text=True)
        loading = wait_until(lambda: health(port) == (503, {"status": "loading"}))
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        checks.check(f"{signal.Signals(number).name} while it loads: it ends at once, with 0",
                     loading and process.returncode == 0 and "stopped while the model was being loaded" in said,
                     (loading, process.returncode, said[-600:]))


def health(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except OSError:
        return None


def with_a_hung_thread(checks, folder, name, flags, signals, said):
    server = Server(HERD, "-tp", "2", *AT_LEISURE, *flags, folder=folder)
    try:
        reader = Reader(server)
        running = reader.await_tokens(5)
        StoppedThread(busiest_thread(server.process.pid))
        for number in signals:
            server.signal(number)
            time.sleep(0.2)  # two of a kind that wait together are one
        code = server.wait()
        checks.check(f"{name}: it ends, with 1", running and code == 1, (running, code, server.stderr()[-900:]))
        checks.check(f"{name}: and says why", any(words in server.stderr() for words in said), server.stderr()[-900:])
    finally:
        server.kill()


def the_last_replica_hangs(checks, folder):
    """A thread cannot be ended: its process says so and goes, for somebody to start it again."""
    server = Server(HERD, "-tp", "2", *AT_LEISURE, folder=folder)
    try:
        reader = Reader(server)
        running = reader.await_tokens(5)
        StoppedThread(busiest_thread(server.process.pid))
        code = server.wait()
        checks.check("the last replica hangs: the server ends by itself, with 1", running and code == 1, (running, code))
        said = server.stderr()
        checks.check("the last replica hangs: the log says which rank, in what, and what comes of it",
                     all(words in said for words in ("a rank hangs replica=0 rank=", "has made no progress for",
                                                     "no replica is left and none can come back: the server ends")), said[-900:])
        reader.join(30)
        checks.check("the last replica hangs: the open stream ended with an error",
                     b'"error"' in reader.received and b"[DONE]" not in reader.received, reader.received[-300:])
    finally:
        server.kill()


def one_of_two_hangs(checks, folder):
    server = Server(HERD, "-tp", "2", "-dp", "2", *AT_LEISURE, "--shutdown-timeout", "1", folder=folder)
    try:
        reader = Reader(server)
        running = reader.await_tokens(5)
        StoppedThread(busiest_thread(server.process.pid))
        given_up = wait_until(lambda: "a replica is given up" in server.stderr())
        reader.join(60)
        checks.check("one of two replicas hangs: it is given up, and its stream ends whole on the other",
                     running and given_up and b"[DONE]" in reader.received, (running, given_up, reader.received[-300:]))
        checks.equal("one of two replicas hangs: health, readiness, life",
                     [server.get(path).status for path in ("/health", "/ready", "/live")], [200, 200, 200])
        engines = {}
        for (name, labels), value in server.metrics().items():
            if name in ("herd_rank_suspicions_total", "herd_replica_given_up"):
                engines.setdefault(name, []).append(value)
        checks.equal("one of two replicas hangs: the metrics count it",
                     {name: sorted(values) for name, values in engines.items()},
                     {"herd_rank_suspicions_total": [0, 1], "herd_replica_given_up": [0, 1]})
        server.signal(signal.SIGTERM)
        checks.equal("one of two replicas hangs: it can be told to stop, and does not say that all is well",
                     server.wait(), 1)
    finally:
        server.kill()


HANGS = ("something hangs and the time to stop is over", "a thread that computes does not come back")


def main():
    checks = Checks()
    with TestFolder() as folder:
        descriptors(checks, folder)
        while_loading(checks, folder)
        try:
            the_last_replica_hangs(checks, folder)
            one_of_two_hangs(checks, folder)
            with_a_hung_thread(checks, folder, "told to stop while a thread hangs", ("--shutdown-timeout", "1"),
                               (signal.SIGTERM,), HANGS)
            with_a_hung_thread(checks, folder, "told twice while a thread hangs", ("--shutdown-timeout", "3600"),
                               (signal.SIGTERM, signal.SIGTERM), HANGS)
        except NotAllowed as error:
            checks.skip("threads that hang", f"this system does not let a process stop threads of its children: {error}")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
