#!/usr/bin/env python3
"""What tracing costs: two servers, one of which sends its spans to a collector, take the same 32 streams in turn.

    trace_cost.py HERD [--model PATH] [--pairs 12] [--requests 64] [--tokens 64]

Prints the ratios on / off of tokens a second and of the CPU seconds that the servers took, each with its standard error. The collector is
a thread of this program, whose CPU time counts for neither. Standard library only.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from serve_process import DEMO_MODEL, Server, TestFolder

STREAMS, PROMPT_TOKENS = 32, 32


class Collector(BaseHTTPRequestHandler):
    """Takes everything."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(flags, server, seed):
    """Tokens a second that clients had, and CPU seconds that the server took."""
    before = cpu_seconds(server.process.pid)
    with tempfile.NamedTemporaryFile(suffix=".json") as result:
        words = [flags.herd, "bench", "serve", "--port", server.port, "--num-prompts", flags.requests, "--max-concurrency", STREAMS,
                 "--random-input-len", PROMPT_TOKENS, "--random-output-len", flags.tokens, "--seed", seed, "--quiet", "--save-result",
                 "--result-dir", os.path.dirname(result.name), "--result-filename", os.path.basename(result.name)]
        subprocess.run(list(map(str, words)), check=True, capture_output=True)
        rate = json.load(result)["output_throughput"]
    return rate, cpu_seconds(server.process.pid) - before


def said(name, ratios):
    error = statistics.stdev(ratios) / len(ratios) ** 0.5
    print(f"{name}: on / off {statistics.mean(ratios):.4f} +- {error:.4f} (median {statistics.median(ratios):.4f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--model", default=DEMO_MODEL)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    flags = parser.parse_args()
    if flags.pairs < 2:
        parser.error("--pairs must be at least 2: fewer have no standard error")
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{collector.server_address[1]}/v1/traces"
    with TestFolder() as folder, Server(flags.herd, "--disable-log-stats", folder=folder, model=(flags.model,)) as off, \
            Server(flags.herd, "--disable-log-stats", "--otlp-traces-endpoint", url, folder=folder, model=(flags.model,)) as on:
        for server in (off, on):
            load(flags, server, 0)
        rates, cpus = [], []
        for pair in range(flags.pairs):
            taken = {server: load(flags, server, pair) for server in ((off, on) if pair % 2 else (on, off))}
            rates.append(taken[on][0] / taken[off][0])
            cpus.append(taken[on][1] / taken[off][1])
            print(f"pair {pair}: {taken[off][0]:.0f} tokens/s and {taken[off][1]:.2f} s of CPU off; on / off {rates[-1]:.4f}, "
                  f"{cpus[-1]:.4f}", flush=True)
        said("tokens a second", rates)
        said("CPU seconds", cpus)
        spans = {dict(labels)["outcome"]: value for (name, labels), value in on.metrics().items() if name == "herd_trace_spans_total"}
        print(f"spans: {spans}")


if __name__ == "__main__":
    main()
