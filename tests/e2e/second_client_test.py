#!/usr/bin/env python3
"""A second, independent client runs its benchmark against `herd serve` and reports no failed request: llama-benchy
(PyPI), which streams chats with token ids, prefix-cache phases and several requests at once.

    second_client_test.py HERD_BINARY
"""
import importlib.metadata
import json
import sys

from llama_benchy_run import run_llama_benchy
from serve_process import Checks, Server, TestFolder

HERD = sys.argv[1]
PROMPTS, OUTPUTS, DEPTHS, CONCURRENCY, RUNS = (64, 256), (16,), (0, 128), (1, 8), 2
# Warm-up runs count on the server too. A depth above 0 is asked twice: to load the context and to use it.
MEASURED = RUNS * sum(CONCURRENCY) * len(PROMPTS) * len(OUTPUTS) * sum(2 if depth else 1 for depth in DEPTHS)


def benchmark(server, folder):
    return run_llama_benchy(sys.executable, server.url, "demo_model", folder, "--pp", *PROMPTS, "--tg", *OUTPUTS, "--depth",
                            *DEPTHS, "--concurrency", *CONCURRENCY, "--runs", RUNS, "--enable-prefix-caching")


def main():
    checks = Checks()
    try:
        print(f"llama-benchy {importlib.metadata.version('llama-benchy')}")
    except importlib.metadata.PackageNotFoundError:
        checks.skip("a second client's benchmark", "llama-benchy is not installed")
        return 0
    with TestFolder() as folder, Server(HERD, folder=folder, checks=checks) as server:
        run = benchmark(server, folder)
        said = (run.stdout + run.stderr).decode(errors="replace")
        if not checks.check("llama-benchy ends with 0", run.returncode == 0, said[-1500:]):
            return checks.finish()
        checks.check("it prints no error", "rror" not in said and "HTTP 4" not in said and "HTTP 5" not in said,
                     said[-1500:])
        progress = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
        ends = [event for event in progress if event["type"] == "request_end"]
        checks.equal("requests it measured", len(ends), MEASURED)
        checks.check("none failed", not any(event.get("error") for event in ends),
                     [event for event in ends if event.get("error")][:3])
        checks.check("each got every token it asked for, counted from token ids",
                     {event["total_tokens"] for event in ends} == set(OUTPUTS), ends[:2])
        checks.equal("the benchmark's status", progress[-1].get("status"), "ok")
        result = json.loads((folder / "result.json").read_text())
        # Speeds are not asked for: on a fast machine all tokens can arrive in one read, and the client then names none.
        rows = result["benchmarks"]
        checks.equal("a row for every size, depth, phase and concurrency",
                     sorted((row["concurrency"], row["context_size"], row["prompt_size"], row["response_size"],
                             row["is_context_prefill_phase"]) for row in rows),
                     sorted((concurrency, depth, prompt, output, phase) for concurrency in CONCURRENCY
                            for depth in DEPTHS for prompt in PROMPTS for output in OUTPUTS
                            for phase in ((False, True) if depth else (False,))))
        checks.check("every row has the time to its first answer", all(row["ttfr"] for row in rows), rows[:1])
        found = server.metrics()
        success = sum(value for (name, labels), value in found.items() if name == "vllm:request_success_total")
        aborted = sum(value for (name, labels), value in found.items() if name == "vllm:request_success_total"
                      and ("finished_reason", "abort") in labels)
        checks.check("the server counts them too, none aborted", success >= MEASURED and aborted == 0,
                     (success, aborted))
        hits = sum(value for (name, _), value in found.items() if name == "vllm:prefix_cache_hits_total")
        checks.check("its prefix-cache phase hits the cache", hits > 0, hits)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
