#!/usr/bin/env python3
"""Is one build of herd as fast as another? Runs both in turn, pair by pair, and prints the ratio of each figure.

    compare_binaries.py BASE_BINARY NEW_BINARY [--model PATH] [--pairs 10] [--parts generate,latency,throughput,serve]
                        [--band 0.02] [--output-json FILE]

A ratio is NEW / BASE of a speed: above 1, NEW is faster. Beside the clock's figures stand those of the CPU time that a command
used (user + system), which other programs on the machine disturb less. The order inside a pair alternates, so that a drift of the machine
meets both alike; the median over the pairs is the figure. Exit code 1 when a median lies outside of 1 ± band. For a quiet
machine: nothing else may use its cores.
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from serve_load import cpu_model
from serve_process import DEMO_MODEL, Server

PROMPT = "Once upon a time there was a little dog who lived near the sea"


def result_of(command, file):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return json.loads(Path(file).read_text())


def cpu_seconds():
    """Of all commands that have ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def generate(binary, model, folder):
    """One prompt, all of the answer through the command line."""
    run = subprocess.run([binary, "generate", "--model-path", model, "--prompt", PROMPT, "--max-new-tokens", "1900",
                          "--ignore-eos", "--output", "json"], check=True, capture_output=True, text=True)
    timing = json.loads(run.stdout.splitlines()[0])["timing"]
    return {"generate: decode tokens/s": timing["decode_tokens_per_s"]}


def latency(binary, model, folder):
    file = f"{folder}/latency.json"
    result = result_of([binary, "bench", "latency", "--model-path", model, "-q", "--input-len", "256", "--output-len", "128",
                        "--num-iters", "20", "--output-json", file], file)
    return {"bench latency: prefill tokens/s": result["prefill_tokens_per_s"],
            "bench latency: decode tokens/s": result["decode_tokens_per_s"]}


def throughput(binary, model, folder):
    file = f"{folder}/throughput.json"
    result = result_of([binary, "bench", "throughput", "--model-path", model, "-q", "--num-prompts", "256", "--input-len",
                        "105", "--output-len", "64", "--output-json", file], file)
    return {"bench throughput: tokens/s": result["total_tokens_per_s"]}


def serve(binary, model, folder, client):
    """A crowd of streams; the client is the same program for both servers."""
    file = f"{folder}/serve.json"
    with tempfile.TemporaryDirectory() as state:
        server = Server(binary, folder=state, model=(model,))
        try:
            result = result_of([client, "bench", "serve", "--port", str(server.port), "--num-prompts", "64",
                                "--random-input-len", "64", "--random-output-len", "64", "--max-concurrency", "32",
                                "--save-result", "--result-dir", folder, "--result-filename", "serve.json"], file)
        finally:
            server.stop()
    return {"bench serve: output tokens/s": result["output_throughput"],
            "bench serve: 1 / median ITL": 1e3 / result["median_itl_ms"]}


def run_part(part, binary, model, folder):
    before = cpu_seconds()
    figures = part(binary, model, folder)
    return {**figures, "the same, runs per CPU second": 1 / (cpu_seconds() - before)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("new")
    parser.add_argument("--model", default=str(DEMO_MODEL))
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--parts", default="generate,latency,throughput,serve")
    parser.add_argument("--band", type=float, default=0.02)
    parser.add_argument("--output-json")
    arguments = parser.parse_args()
    parts = {"generate": generate, "latency": latency, "throughput": throughput,
             "serve": lambda binary, model, folder: serve(binary, model, folder, arguments.base)}
    print(f"{cpu_model()}; {arguments.pairs} pairs; a ratio is new / base, above 1: new is faster", flush=True)
    report = {"cpu": cpu_model(), "pairs": arguments.pairs, "figures": []}
    outside = 0
    with tempfile.TemporaryDirectory() as folder:
        for part in arguments.parts.split(","):
            pairs = []
            for number in range(arguments.pairs + 1):  # the first warms up
                order = ["base", "new"] if number % 2 == 0 else ["new", "base"]
                pair = {which: run_part(parts[part], getattr(arguments, which), arguments.model, folder) for which in order}
                if number > 0:
                    pairs.append(pair)
            for name in pairs[0]["base"]:
                ratios = sorted(pair["new"][name] / pair["base"][name] for pair in pairs)
                median = statistics.median(ratios)
                base = statistics.median(pair["base"][name] for pair in pairs)
                new = statistics.median(pair["new"][name] for pair in pairs)
                holds = abs(median - 1) <= arguments.band
                outside += not holds
                print(f"  {name}: median ratio {median:.3f} (pairs {ratios[0]:.3f} … {ratios[-1]:.3f}); base {base:.4g}, "
                      f"new {new:.4g}{'' if holds else '; OUTSIDE OF THE BAND'}", flush=True)
                report["figures"].append({"name": name, "median": median, "ratios": ratios, "base": base, "new": new})
    if arguments.output_json:
        Path(arguments.output_json).write_text(json.dumps(report, indent=1) + "\n")
    return int(outside > 0)


if __name__ == "__main__":
    sys.exit(main())
