#!/usr/bin/env python3
"""--devices gpu from the outside, on the CUDA backend that computes on emulated GPUs.

    gpu_test.py HERD_BINARY EMULATED_LIBRARY [REAL_LIBRARY]

The emulator runs the very kernels of the real library, slowly: few tokens of the demo model. What holds:
- float32 weights follow the CPU's rules on a GPU too: the same token ids, log-probabilities to the last bit.
- bfloat16 is a class of its own. A logit below 32 moves by at most 1/8 when it moves by one unit of bfloat16 (2^-8),
  two of them by 1/4 against each other: where the CPU's best token is ahead by more, the GPU chooses the same.
- The bytes of a request on GPUs do not depend on batch, chunk, cache, ranks, recorded steps, block size or the order in
  which thread blocks run.
- Everything that is missing or breaks ends with a message and an exit code, never with silence.

REAL_LIBRARY (libherd_cuda.so) is asked to load on this machine: exit 4 without a driver.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from serve_process import Checks, Server

HERD, EMULATED = sys.argv[1], os.path.abspath(sys.argv[2])
REAL = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else None
MODEL = os.path.join(os.path.dirname(__file__), "..", "..", "config", "demo_model")
MARGIN = 0.25
# Small step buffers: the emulator computes every bucket before the first request; without a number of blocks it does so
# twice, to see what memory is left.
MEASURED = ["--max-num-seqs", "4", "--max-num-batched-tokens", "32", "--max-model-len", "128"]
SMALL = [*MEASURED, "--num-blocks", "32"]
LONG = "Once upon a time there was a little dog who lived in a small house near the sea and every day it"
failures = []
rows = 0


def expect(what, condition):
    global rows
    rows += 1
    if not condition:
        failures.append(what)
        print("FAILED", what, flush=True)


def herd(command, *flags, library=EMULATED, gpu=True, timeout=100, model=MODEL, **environment):
    """(exit code, stdout, stderr); -1 when it did not end in time."""
    words = [HERD, *command.split(), "--model-path", model, *(["--devices", "gpu"] if gpu else []), *flags]
    variables = dict(os.environ, HERD_CUDA_LIBRARY=library, **{key: str(value) for key, value in environment.items()})
    try:
        run = subprocess.run(words, capture_output=True, timeout=timeout, env=variables, check=False)
    except subprocess.TimeoutExpired:
        return -1, "", f"no end after {timeout} s"
    return run.returncode, run.stdout.decode(errors="replace"), run.stderr.decode(errors="replace")


def refused(what, code, says, *flags, gpu=True, library=EMULATED, small=SMALL, **environment):
    got, _, error = herd("generate", "--max-new-tokens", "2", *small, *flags, gpu=gpu, library=library, **environment)
    expect(f"{what}: exit {got}, wanted {code}: {error[-400:]}", got == code)
    for part in says:
        expect(f"{what}: says {part!r}: {error[-400:]}", part in error)
    return error


def generate(*flags, small=SMALL, **how):
    """The completions' lines; an empty list when the run failed."""
    code, out, error = herd("generate", "--quiet", "--output", "json", *small, *flags, **how)
    expect(f"generate {flags} {how}: exit {code}: {error[-400:]}", code == 0)
    return [json.loads(line) for line in out.splitlines()] if code == 0 else []


def what_counts(lines):
    return [{key: line[key] for key in ("token_ids", "text", "finish_reason", "logprobs")} for line in lines]


def check_refusals():
    refused("no library", 4, ["--devices gpu", "/no/such/library.so", "CUDA"], library="/no/such/library.so")
    refused("not a library", 4, ["--devices gpu", "cannot be loaded"], library=__file__)
    refused("no GPU", 4, ["--devices gpu", "no GPU"], HERD_EMULATED_GPUS=0)
    refused("one GPU for two ranks", 4, ["2 ranks", "there is 1 GPU"], "-tp", "2")
    refused("two GPUs for four ranks", 4, ["4 ranks", "there are 2 GPUs"], "-tp", "2", "-dp", "2", HERD_EMULATED_GPUS=2)
    refused("a GPU that is not there", 4, ["gpu-3", "there is 1 GPU"], "--devices", "gpu-3", gpu=False)
    refused("one named, two needed", 4, ["2 ranks", "1 named"], "--devices", "gpu-0", "-tp", "2", gpu=False)
    for devices in ("gpu-x", "gpu-", "gpu--1", "gpu-0,cpu", "gpu-0,gpu-0", "gpu,gpu-0", "cuda"):
        refused(f"--devices {devices}", 2, ["--devices"], "--devices", devices, gpu=False)
    for share in ("0", "-0.5", "1.5", "nan"):
        refused(f"utilization {share}", 2, ["--gpu-memory-utilization"], "--gpu-memory-utilization", share)
    refused("unknown matmul", 2, ["--cuda-matmul"], "--cuda-matmul", "cublas")
    if REAL:
        code, _, error = herd("generate", library=REAL)
        expect(f"libherd_cuda.so here: exit {code}: {error[-400:]}", code == 4 and "--devices gpu" in error)


def check_float32():
    for flags in (["--max-new-tokens", "8"],
                  ["--max-new-tokens", "6", "--temperature", "1.3", "--top-p", "0.95", "--min-p", "0.01", "--seed", "3",
                   "--repetition-penalty", "1.2", "--logit-bias", "5:2.5"]):
        words = ["--quantization-encoding", "float32", "--logprobs", "5", "--prompt", "The capital of France is",
                 "--prompt", "Two and two make", *flags]
        cpu, gpu = generate(*words, gpu=False), generate(*words)
        expect(f"float32 {flags}: the CPU's tokens and bits", cpu and what_counts(cpu) == what_counts(gpu))


def check_scores():
    """Logits of every row and hidden states of every layer, in chunks of four rows."""
    words = ["--quiet", "--quantization-encoding", "float32", "--prompt-token-ids", "1,2,3,4,5,6,7,8,9", *SMALL[:2],
             "--max-num-batched-tokens", "4", *SMALL[4:]]
    with tempfile.TemporaryDirectory() as folder:
        answers = []
        for gpu, flags in ((False, []), (True, []), (True, ["-tp", "2"])):
            path = os.path.join(folder, "states.npy")
            states = ["--return-hidden-states", "all_layers", "--hidden-states-output", path]
            code, logits, error = herd("score", *words, "--return-logits", "all", *flags, gpu=gpu, HERD_EMULATED_GPUS=2)
            second, _, worse = herd("score", *words, *states, *flags, gpu=gpu, HERD_EMULATED_GPUS=2)
            expect(f"score {flags}: exit {code}, {second}: {(error + worse)[-400:]}", code == 0 and second == 0)
            if code == 0 and second == 0:
                with open(path, "rb") as file:
                    answers.append((logits, file.read()))
        expect("float32: logits and hidden states of the CPU, to the last bit",
               len(answers) == 3 and answers[0] == answers[1] == answers[2])


def check_bfloat16():
    """The CPU's choice wherever the CPU's margin allows no other."""
    prompts = ["The capital of France is", "Two and two make", "The opposite of hot is", "Water freezes at"]
    words = ["--max-new-tokens", "5", "--ignore-eos", "--logprobs", "2"]
    for prompt in prompts:
        words += ["--prompt", prompt]
    cpu, gpu = generate(*words, gpu=False), generate(*words)
    compared = 0
    for prompt, here, there in zip(prompts, cpu, gpu):
        for entry, other in zip(here["logprobs"], there["logprobs"]):
            if entry["top"][0][1] - entry["top"][1][1] <= MARGIN:
                break  # from here on both may go their own ways
            compared += 1
            if not expect_same(prompt, entry, other):
                break
    expect(f"bfloat16: {compared} choices compared, too few to say anything", compared >= 10)


def expect_same(prompt, entry, other):
    same = entry["token_id"] == other["token_id"]
    expect(f"bfloat16, {prompt!r}: {other['token_id']} instead of {entry['token_id']}", same)
    return same


def check_same_bytes():
    request = ["--max-new-tokens", "6", "--temperature", "1.5", "--seed", "11", "--logprobs", "3", "--prompt", LONG]
    alone = what_counts(generate(*request))
    expect("one request", len(alone) == 1)
    others = []
    for prompt in ("Hello", "Water freezes at", LONG + " was"):
        others += ["--prompt", prompt]
    two = {"HERD_EMULATED_GPUS": 2}
    axes = {
        "again": ([], {}),
        "a KV cache by measurement": ([], {"small": MEASURED}),
        "-tp 2, a KV cache by measurement": (["-tp", "2"], {**two, "small": MEASURED}),
        "in a batch": (others, {}),
        "one sequence at a time": (["--max-num-seqs", "1"], {}),
        "chunks of 5": (["--max-num-batched-tokens", "5"], {}),
        "no prefix cache": (["--no-enable-prefix-caching"], {}),
        "blocks of 64": (["--block-size", "64"], {}),
        "steps not recorded": (["--enforce-eager"], {}),
        "second GPU": (["--devices", "gpu-1"], {**two, "gpu": False}),
        "-tp 2": (["-tp", "2"], two),
        "-tp 2, in a batch, not recorded": (["-tp", "2", "--no-cuda-graphs", *others], two),
        "-dp 2": (["-dp", "2", *others], two),
        "thread blocks in another order": ([], {"HERD_EMULATED_GPU_SCHEDULE": "shuffled:7"}),
    }
    for name, (flags, how) in axes.items():
        small = how.get("small", SMALL)
        for flag in ("--max-num-seqs", "--max-num-batched-tokens"):
            if flag in flags:
                at = small.index(flag)
                small = small[:at] + small[at + 2:]
        lines = what_counts(generate(*request, *flags, **{**how, "small": small}))
        expect(f"{name}: the same bytes", lines[:1] == alone)
    # The second round finds the prompt's first block in the cache.
    rounds = generate(*request, "--repeat-batches", "2")
    expect("prefix cache: the same bytes", what_counts(rounds) == alone * 2)
    expect("prefix cache: it was hit", len(rounds) == 2 and rounds[1]["cached_tokens"] >= 16)
    single = ["--max-new-tokens", "4", "--quantization-encoding", "float32", "--prompt", "Hello", "--logprobs", "1"]
    one, both = generate(*single), generate(*single, "-tp", "2", **two)
    expect("float32, -tp 2: the same bytes", one and what_counts(one) == what_counts(both))


def check_wide_group():
    """More query heads for a KV head than a decode item holds: recorded steps tile too."""
    config = {"model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 256, "num_hidden_layers": 2,
              "num_attention_heads": 32, "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 512,
              "vocab_size": 320, "rms_norm_eps": 1e-5, "max_position_embeddings": 256, "rope_theta": 10000.0}
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        words = ["--load-format", "random", "--prompt-token-ids", "5,9,250,17,3,88", "--max-new-tokens", "8",
                 "--ignore-eos", "--logprobs", "2"]
        recorded, plain = (generate(*words, *flags, model=folder) for flags in ([], ["--no-cuda-graphs"]))
        cpu = generate(*words, model=folder, gpu=False)
    expect("a group of 32: recorded or not, the same bytes", recorded and what_counts(recorded) == what_counts(plain))
    near = cpu and recorded and abs(cpu[0]["logprobs"][0]["logprob"] - recorded[0]["logprobs"][0]["logprob"]) < 0.1
    expect("a group of 32: the CPU's first log-probability, nearly", near)


def check_memory():
    code, _, notes = herd("generate", "--max-new-tokens", "1", *MEASURED)
    found = re.search(r"gpu-0 .*: weights ([\d.]+) GB, step buffers ([\d.]+) GB, KV cache [\d.]+ GB of [\d.]+ GB", notes)
    expect(f"a note says what took memory: {notes}", code == 0 and found)
    if not found:
        return
    weights, buffers = (int(float(found.group(i)) * 1e9) for i in (1, 2))
    refused("no room for weights", 4, ["gpu 0", "weights"], small=MEASURED, HERD_EMULATED_GPU_MEMORY=weights // 2)
    refused("no room for step buffers", 4, ["gpu 0"], small=MEASURED, HERD_EMULATED_GPU_MEMORY=weights + buffers // 2)
    refused("no room for KV", 4, ["gpu-0", "weights took", "step buffers", "--gpu-memory-utilization"],
            "--gpu-memory-utilization", "0.5", small=MEASURED,
            HERD_EMULATED_GPU_MEMORY=int((weights + buffers) * 1.5))
    refused("more KV than there is", 4, ["gpu 0", "KV"], "--num-blocks", "1000000", small=MEASURED)
    # One of two ranks finds no memory while the other goes on into a collective: it is not waited for.
    refusals = 0
    for count in (40, 80, 130):
        code, _, error = herd("generate", "--max-new-tokens", "1", "-tp", "2", *MEASURED, HERD_EMULATED_GPUS=2,
                              HERD_EMULATED_GPU_FAULT=f"cudaMalloc:{count}")
        expect(f"allocation {count} fails: exit {code}: {error[-300:]}", code in (0, 4))
        refusals += code == 4 and "memory" in error
    expect("allocations were refused", refusals > 0)
    # A share of the memory is what it says: less of it, fewer tokens.
    code, _, less = herd("generate", "--max-new-tokens", "1", "--max-num-seqs", "64", *MEASURED[2:4], "--max-model-len",
                         "2048", "--gpu-memory-utilization", "0.5",
                         HERD_EMULATED_GPU_MEMORY=int((weights + buffers) * 4))
    taken = re.search(r"KV cache ([\d.]+) GB of ([\d.]+) GB", less)
    expect(f"KV and the rest keep to their share: {less[-400:]}",
           code == 0 and taken and 0 < float(taken.group(1)) * 1e9 + weights <= 0.5 * float(taken.group(2)) * 1e9)


def check_faults():
    """A CUDA call fails. For good: the request ends; the call, GPU and rank are named. Once in a step: nobody can tell."""
    in_a_step = 0
    for call in ("cudaGraphLaunch", "cudaMemcpyAsync"):
        for count in (1, 16, 32, 48, 64, 128):
            code, out, error = herd("generate", "--prompt", "Hello", "--max-new-tokens", "24", "--ignore-eos", *SMALL,
                                    timeout=60, HERD_EMULATED_GPU_FAULT=f"{call}:{count}")
            if code == 0:
                break  # fewer calls than that
            expect(f"{call} number {count} fails: exit {code}: {error[-300:]}", code == 1)
            expect(f"{call} is named: {error[-300:]}", call in error and "gpu 0" in error and "rank 0" in error)
            in_a_step += "failed step" in error
    expect("a step failed, not only starts", in_a_step > 0)
    # One rank misses one call. At its start: the other is not left waiting, and the cause is what is told. In a step: the ranks
    # form their group again.
    two = ("--prompt", "Hello", "--max-new-tokens", "40", "--ignore-eos", "-tp", "2", "--no-cuda-graphs", *SMALL)
    _, wanted, _ = herd("generate", *two, HERD_EMULATED_GPUS=2)
    again = 0
    for call, counts in (("cudaLaunchKernelEx", (20, 100, 300, 700, 1000, 4000)), ("cudaMemcpyAsync", (50, 100, 200)),
                         ("cudaStreamCreateWithFlags", (3, 4)), ("ncclCommInitRankConfig", (1, 2))):
        for count in counts:
            code, out, error = herd("generate", *two, HERD_EMULATED_GPUS=2, HERD_EMULATED_GPU_FAULT=f"{call}:{count}:once")
            again += code == 0
            expect(f"{call} number {count} fails once on one rank: exit {code}: {out} {error[-300:]}",
                   out == wanted if code == 0 else
                   code in (1, 4) and ("(invalid argument)" in error or call in error) and "ranks came" not in error)
    expect("a group was formed again", again > 0)
    for count in (60, 600):  # at the start, in a step: other ranks wait in the same collective
        code, _, error = herd("generate", *two, HERD_EMULATED_GPUS=2, HERD_EMULATED_GPU_FAULT=f"ncclAllGather:{count}")
        expect(f"collective number {count} fails, its group ends: exit {code}: {error[-300:]}",
               code == 1 and "rank" in error and ("failed step" in error) == (count == 600))


def check_bench():
    with tempfile.TemporaryDirectory() as folder:
        check_bench_into(os.path.join(folder, "gpu.json"))


def check_bench_into(path):
    code, out, error = herd("bench machine", "--output-json", path, HERD_EMULATED_GPUS=2)
    expect(f"bench machine: exit {code}: {error[-300:]}", code == 0 and out.count("memory read") == 2 and "gpu-1" in out)
    if code == 0:
        with open(path, encoding="utf-8") as file:
            gpus = json.load(file)["gpus"]
        expect("a row a GPU", [gpu["index"] for gpu in gpus] == [0, 1])
        expect("rates", all(gpu["read_gb_per_s"] > 0 and gpu["ordered_tflop_per_s"] > 0 for gpu in gpus))
    code, out, error = herd("bench latency", *MEASURED[2:], "--input-len", "16", "--output-len", "4", "--num-iters", "1",
                            "--max-num-seqs", "1", "--output-json", path)
    expect(f"bench latency: exit {code}: {error[-300:]}", code == 0 and "decode" in out and "peak" in out)
    if code == 0:
        with open(path, encoding="utf-8") as file:
            row = json.load(file)
        expect("its bounds", row["decode_bound_tokens_per_s"] > 0 and row["prefill_bound_tokens_per_s"] > 0)


def stream(url, body, events):
    """The text of a streamed completion, `events` of it at most; then the connection is closed."""
    request = urllib.request.Request(url + "/v1/completions", json.dumps({**body, "stream": True}).encode(),
                                     {"Content-Type": "application/json"})
    text = ""
    with urllib.request.urlopen(request, timeout=100) as answer:
        for line in answer:
            if line.startswith(b"data: {"):
                text += json.loads(line[6:])["choices"][0]["text"]
                events -= 1
            if events == 0:
                break
    return text


def check_serve():
    """Streams at once, some sampled with penalties, one cut: each the text that generate gives; a clean end."""
    prompts = ("The capital of France is", "Two and two make", "Once upon a time")
    sampled = {"temperature": 0.9, "seed": 4, "presence_penalty": 0.5}
    wanted, bodies = [], []
    for prompt in prompts:
        for params in ({"temperature": 0}, sampled):
            flags = [f"--{key.replace('_', '-')}={value}" for key, value in params.items()]
            lines = generate("--max-new-tokens", "6", "--prompt", prompt, "--top-k", "0", *flags)
            wanted.append(lines[0]["text"] if lines else None)
            bodies.append({"model": "demo_model", "prompt": prompt, "max_tokens": 6, **params})
    with tempfile.TemporaryDirectory() as folder:
        with Server(HERD, "--devices", "gpu", *SMALL, folder=folder, checks=Checks(),
                    env={"HERD_CUDA_LIBRARY": EMULATED}) as server, ThreadPoolExecutor(8) as pool:
            cut = pool.submit(stream, server.url, {**bodies[0], "max_tokens": 60}, 3)
            got = list(pool.map(lambda body: stream(server.url, body, 1000), bodies))
            cut.result()
        expect(f"serve ends with 0: {server.stderr()[-300:]}", server.process.returncode == 0)
    for body, text, expected in zip(bodies, got, wanted):
        expect(f"served {body}: {text!r}, generated {expected!r}", text == expected)


def check_yardstick():
    code, _, error = herd("generate", "--max-new-tokens", "1", "--cuda-matmul", "cublaslt", *SMALL)
    expect(f"cublaslt is called a yardstick, not repeatable: {error}", "not repeatable" in error and code in (0, 4))


def main():
    for check in (check_refusals, check_float32, check_scores, check_bfloat16, check_same_bytes, check_wide_group,
                  check_memory, check_faults, check_serve, check_yardstick, check_bench):
        begin = time.monotonic()
        check()
        print(f"{time.monotonic() - begin:6.1f} s  {check.__name__}", flush=True)
    print(f"{rows} checks, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
