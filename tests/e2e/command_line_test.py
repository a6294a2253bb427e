#!/usr/bin/env python3
"""Flags, exit codes and streams of the command line, on the demo model.

    command_line_test.py HERD_BINARY
"""
import fcntl
import json
import os
import stat
import subprocess
import sys
import tempfile
import time

HERD = sys.argv[1]
failures = []


def herd(*arguments, code=0, library=None):
    environment = dict(os.environ, **({"HERD_CUDA_LIBRARY": library} if library else {}))
    run = subprocess.run([HERD, *arguments], capture_output=True, timeout=120, env=environment)
    if run.returncode != code:
        failures.append(f"{arguments}: exit {run.returncode}, wanted {code}: {run.stderr.decode()[-300:]}")
    return run.stdout.decode(), run.stderr.decode()


def expect(what, condition):
    if not condition:
        failures.append(what)


def json_lines(*arguments):
    out, _ = herd("generate", "--quiet", "--output", "json", *arguments)
    return [json.loads(line) for line in out.splitlines()]


def numbers():
    """A number is taken as it is written, or refused: never clamped, never read in another base."""
    ask = ("--prompt", "Once upon a time", "--max-new-tokens", "12", "--temperature", "1.5")
    tokens = [json_lines(*ask, "--seed", seed)[0]["token_ids"]
              for seed in ("9223372036854775807", "9223372036854775808", "18446744073709551615", "8", "08", "+8")]
    expect(f"four large or small seeds, four streams: {tokens}", len({str(each) for each in tokens[:4]}) == 4)
    expect("a leading 0 or + is decimal", tokens[3] == tokens[4] == tokens[5])
    for flag, value in (("--seed", "18446744073709551616"), ("--seed", "36893488147419103232"), ("--seed", "-1"),
                        ("--seed", "1.5"), ("--seed", "0x10"), ("--seed", ""), ("--seed", "1 "),
                        ("--max-new-tokens", "9223372036854775808"), ("--max-length", "-9223372036854775809"),
                        ("--max-model-len", "99999999999999999999"), ("--threads", "4294967297"), ("--top-k", "4294967297"),
                        ("--min-tokens", "99999999999"), ("--min-tokens", "-1"), ("--logprobs", "18446744073709551617"), ("--layers", "1e2"),
                        ("--random-weights-seed", "18446744073709551616"), ("--num-blocks", "0x7"),
                        ("--temperature", "1e999"), ("--temperature", "1e39"), ("--temperature", "1.0.0"),
                        ("--top-p", "0x1p-1"), ("--min-p", ".5e"), ("--repetition-penalty", "-1e999"),
                        ("--gpu-memory-utilization", "1e999"), ("--stop-token-ids", "5,99999999999999999999"),
                        ("--logit-bias", "99999999999999:1"), ("--logit-bias", "5:1e99"), ("--logit-bias", "5:1x"),
                        ("--prompt-token-ids", "4294967297"), ("--kv-cache-memory", "9223372036854775808"),
                        ("--max-step-ms", "600001"), ("--max-step-ms", "-1"), ("--max-step-ms", "1.5"), ("--max-step-ms", "autos"),
                        ("--kv-cache-memory", "99999999999GiB"), ("--devices", "gpu-99999999999")):
        _, err = herd("generate", flag, value, code=2)
        expect(f"{flag} {value!r} is named in few words: {err}", flag in err and len(err) < 400)
    for command in (["serve", "--port", "65536"], ["serve", "--port", "-1"], ["serve", "--metrics-port", "99999999999"],
                    ["serve", "--metrics-port", "65536"], ["serve", "--metrics-port", "-1"],
                    ["serve", "--request-timeout", "1e999"], ["serve", "--max-num-queued-tokens", "18446744073709551616"],
                    ["score", "--prompt-token-ids", "1", "--return-n-logits", "9223372036854775808"],
                    ["bench", "latency", "--input-len", "4294967297"], ["bench", "serve", "--seed", "99999999999999999999"]):
        _, err = herd(*command, code=2)
        expect(f"{command} is refused in few words: {err}", command[-2] in err and len(err) < 400)


def empty_values():
    """An unset shell variable is no model, and no other value either."""
    for command in (["generate", ""], ["serve", ""], ["inspect", ""], ["score", "", "--prompt-token-ids", "1"],
                    ["bench", "latency", ""], ["generate", "--model-path", ""], ["generate", "--weight-path", ""],
                    ["generate", "--tokenizer-path", ""], ["generate", "--input-prompts", ""], ["generate", "--stop", ""],
                    ["generate", "--prompt-file", ""], ["generate", "--kv-cache-memory", ""],
                    ["generate", "--quantization-encoding", ""], ["serve", "--served-model-name", ""],
                    ["serve", "--api-key-file", ""], ["serve", "--host", ""], ["bench", "latency", "--output-json", ""]):
        _, err = herd(*command, code=2)
        expect(f"{command} says what is empty: {err}", "empty" in err)
    _, err = herd("generate", "--max-new-tokens", "1")
    expect(f"notes name the model that runs: {err}", "model: " in err and "demo_model" in err)
    # A value in brackets is a value.
    line = json_lines("--prompt", "[INST] Hi [/INST]", "--stop", "[a, b]", "--max-new-tokens", "1")
    expect("brackets make no list", len(line) == 1)


def lost_output():
    """Output that nobody can read is an error, whatever made it; a reader that leaves ends the program as always."""
    commands = (["--help"], ["--version"], ["generate", "--help"],
                ["generate", "-q", "--prompt", "The capital of France is", "--max-new-tokens", "5"],
                ["generate", "-q", "--prompt", "a", "--prompt", "b", "--max-new-tokens", "2"],
                ["generate", "-q", "--prompt", "x", "--max-new-tokens", "2", "--output", "json"],
                ["inspect"], ["inspect", "--output", "json", "--tensors"], ["score", "-q", "--prompt-token-ids", "1,2"])
    for command in commands:
        with open("/dev/full", "wb") as full:
            run = subprocess.run([HERD, *command], stdout=full, stderr=subprocess.PIPE, timeout=120)
        expect(f"{command} on a full disk: exit {run.returncode}, {run.stderr.decode()}", run.returncode == 4 and
               run.stderr.decode().endswith("herd: standard output: No space left on device\n"))
        run = subprocess.run([HERD, *command], preexec_fn=lambda: os.close(1), stderr=subprocess.PIPE, timeout=120)
        expect(f"{command} on a closed output: exit {run.returncode}, {run.stderr.decode()}", run.returncode == 4 and
               run.stderr.decode().endswith("herd: standard output: Bad file descriptor\n"))
    for command, to in ((["score", "-q", "--prompt-token-ids", "1,2", "--output"], "npy:/dev/full"),
                        (["bench", "latency", "-q", "--input-len", "8", "--output-len", "4", "--num-iters", "1",
                          "--output-json"], "/dev/full")):
        _, err = herd(*command, to, code=4)
        expect(f"{to} of {command[0]}: {err}", "/dev/full: cannot be written" in err)
        expect("a device stays one", stat.S_ISCHR(os.stat("/dev/full").st_mode))
    # A pipe that its owner made non-blocking is full until it is read, which loses nothing.
    whole, _ = herd("inspect", "--output", "json", "--tensors")
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    process = subprocess.Popen([HERD, "inspect", "--output", "json", "--tensors"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    time.sleep(0.5)  # meanwhile it fills the pipe
    with open(reader, "rb") as pipe:
        piped = pipe.read().decode()
    _, err = process.communicate(timeout=120)
    expect(f"a non-blocking pipe: exit {process.returncode}, {len(piped)} bytes, {err.decode()}",
           process.returncode == 0 and piped == whole and len(whole) > 4096)
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run([HERD, *commands[3]], stdout=writer, stderr=subprocess.PIPE, timeout=120,
                         restore_signals=True)
    os.close(writer)
    expect(f"SIGPIPE ends it: {run.returncode}", run.returncode == -13)


def piped_prompts():
    def asked(*arguments, text=b"", code=0):
        run = subprocess.run([HERD, "generate", "-q", "--output", "json", "--max-new-tokens", "3", *arguments], input=text,
                             capture_output=True, timeout=60)
        expect(f"{arguments}: exit {run.returncode}: {run.stderr.decode()}", run.returncode == code)
        return [json.loads(line)["prompt_token_ids"] for line in run.stdout.splitlines()] or run.stderr.decode()

    text = "The capital of France is"
    want = asked("--prompt", text)
    for arguments in (("--prompt", "-"), ("--prompt-file", "-"), ("--prompt-file", "/dev/stdin")):
        expect(f"{arguments} reads standard input", asked(*arguments, text=f"{text}\n".encode()) == want)
    reader, writer = os.pipe()  # one that its owner made non-blocking: empty is not yet its end
    os.set_blocking(reader, False)
    process = subprocess.Popen([HERD, "generate", "-q", "--output", "json", "--max-new-tokens", "3", "--prompt", "-"],
                               stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(reader)
    time.sleep(0.5)  # meanwhile it finds the pipe empty
    os.write(writer, text.encode())
    os.close(writer)
    out, err = process.communicate(timeout=60)
    expect(f"a non-blocking pipe is waited for: exit {process.returncode}: {err.decode()}", process.returncode == 0 and
           json.loads(out)["prompt_token_ids"] == want[0])
    entries = json.dumps([{"prompt": text}]).encode()
    for path in ("-", "/dev/stdin"):
        expect(f"--input-prompts {path}", asked("--input-prompts", path, text=entries) == want)
    with tempfile.TemporaryDirectory() as folder:
        fifo = os.path.join(folder, "prompts")
        os.mkfifo(fifo)
        writer = subprocess.Popen(["sh", "-c", 'printf %s "$1" > "$2"', "sh", entries.decode(), fifo])
        expect("--input-prompts takes a named pipe", asked("--input-prompts", fifo) == want)
        writer.wait()
        plain = os.path.join(folder, "plain.txt")
        with open(plain, "w") as file:
            file.write(text)
        expect("--prompt-file takes a file", asked("--prompt-file", plain, "--prompt-file", plain) == want * 2)
        expect("a folder is no prompt", "directory" in asked("--prompt-file", folder, code=4))
    expect("nothing is no prompt", "standard input: is empty" in asked("--prompt", "-", code=3))
    expect("more than fits", "larger than 64 MiB" in asked("--prompt", "-", text=b"a" * ((64 << 20) + 1), code=3))


def judged_before_shown():
    """A refused prompt leaves nothing on standard output, also when it is not the first."""
    short = ("--prompt", "a", "--prompt", "The capital of France is Paris, as everybody knows", "--max-length", "5")
    for arguments in (("--prompt", "The capital of France is", "--max-length", "3"), short, (*short, "--output", "json"),
                      ("--prompt-token-ids", "1,2,3", "--max-length", "2"),
                      ("--prompt", "a", "--prompt-token-ids", "999999")):
        out, err = herd("generate", "-q", *arguments, code=2)
        expect(f"{arguments} shows nothing: {out!r}", out == "" and err.startswith("herd: "))


def main():
    out, _ = herd("--version")
    expect("--version says the git id", out.startswith("herd ") and "(git " in out)
    out, _ = herd("--help")
    expect("--help lists the commands", all(c in out for c in ("generate", "score", "inspect", "bench")))
    for command in ("generate", "score", "inspect", "bench"):
        herd(command, "--help")

    # No arguments: the demo model, the default prompt; notes on stderr, text on stdout.
    out, err = herd("generate", "--max-new-tokens", "8")
    expect("default prompt is shown", out.startswith("I believe the meaning of life is"))
    expect("KV cache is said", "KV cache: " in err and "sequences of" in err)
    out, err = herd("generate", "--max-new-tokens", "8", "--quiet")
    expect("--quiet is quiet", err == "")

    # JSON: one object a line and prompt, every field of the contract.
    lines = json_lines("--prompt", "The capital of France is", "--prompt", "Count", "--max-new-tokens", "6",
                       "--logprobs", "2", "--ignore-eos")
    expect("two prompts give two lines", len(lines) == 2)
    for line in lines:
        expect("fields", {"prompt_token_ids", "token_ids", "text", "finish_reason", "logprobs", "timing"} <= set(line))
        expect("length", len(line["token_ids"]) == 6 and line["finish_reason"] == "length")
        for entry, token in zip(line["logprobs"], line["token_ids"]):
            expect("greedy token is the most likely one", entry["token_id"] == token == entry["top"][0][0])
            expect("logprob", entry["logprob"] <= 0 and len(entry["top"]) == 2)
        expect("timing", {"ttft_s", "tpot_s", "prefill_tokens_per_s", "decode_tokens_per_s"} == set(line["timing"]))

    # The same tokens whatever the parallelism, batch size or seed-irrelevant flags; other seeds, other tokens.
    base = json_lines("--prompt", "Once upon a time", "--max-new-tokens", "24", "--temperature", "1.2", "--seed", "5")
    for flags in (["-tp", "2"], ["-tp=4"], ["-dp", "2"], ["--cpu-isa", "reference"], ["--block-size", "64"],
                  ["--max-num-batched-tokens", "2", "--max-num-seqs", "1"], ["--max-step-ms", "1"], ["--max-step-ms", "auto"]):
        other = json_lines("--prompt", "Once upon a time", "--max-new-tokens", "24", "--temperature", "1.2", "--seed", "5", *flags)
        expect(f"{flags} changes nothing", other[0]["token_ids"] == base[0]["token_ids"])
    seeds = {tuple(json_lines("--prompt", "Once upon a time", "--max-new-tokens", "24", "--temperature", "1.2", "--seed",
                              str(seed))[0]["token_ids"]) for seed in range(4)}
    expect("seeds matter", len(seeds) > 1)

    # Stops.
    whole = json_lines("--prompt", "Hello", "--instruct", "--max-new-tokens", "20")[0]
    expect("an end id finishes with stop", whole["finish_reason"] == "stop")
    text = whole["text"]
    if len(text) > 4:
        cut = json_lines("--prompt", "Hello", "--instruct", "--max-new-tokens", "20", "--stop", text[2:4])[0]
        expect("stop string cuts the text", cut["text"] == text[: text.index(text[2:4])] and cut["finish_reason"] == "stop")
    first = whole["token_ids"][0]
    stopped = json_lines("--prompt", "Hello", "--instruct", "--max-new-tokens", "20", "--stop-token-ids", str(first))[0]
    expect("stop id", stopped["token_ids"] == [first] and stopped["finish_reason"] == "stop")
    biased = json_lines("--prompt", "Hello", "--instruct", "--max-new-tokens", "1", "--logit-bias", f"{first}:-100")[0]
    expect("bias", biased["token_ids"][0] != first)
    free = json_lines("--prompt", "Once", "--max-new-tokens", "12", "--ignore-eos")[0]
    held = json_lines("--prompt", "Once", "--max-new-tokens", "12", "--ignore-eos", "--stop", free["text"][:3],
                      "--min-tokens", "5")[0]
    expect("a stop string within the minimum does not count", len(held["token_ids"]) > 5)
    special = json_lines("--prompt", "<|reserved_special_token_0|>", "--max-new-tokens", "1")[0]["prompt_token_ids"][-1]
    ended = json_lines("--prompt", "Once", "--max-new-tokens", "6", "--logit-bias", f"{special}:100", "--stop",
                       "<|reserved_special_token_0|>")[0]
    expect("a special token as a stop string", ended["token_ids"] == [special] and ended["finish_reason"] == "stop"
           and ended["text"] == "")
    likeliest = [json_lines("--prompt", "Once", "--max-new-tokens", "12", "--ignore-eos", "--temperature", "1.5", "--top-p",
                            top_p, "--seed", "7")[0]["token_ids"] for top_p in ("0", "1e-31")]
    expect("top-p 0 takes the likeliest token", likeliest == [free["token_ids"]] * 2)

    # Wrong usage is 2, and says what.
    for arguments, says in (
            (["generate", "--no-such-flag"], "--no-such-flag"),
            (["generate", "--tensor-parallel-size", "3"], "1, 2, 4 or 8"),
            (["serve", "--tensor-parallel-size", "1000000000", "--data-parallel-size", "64"], "1, 2, 4 or 8"),
            (["generate", "--pipeline-parallel-size", "2"], "not supported yet"),
            (["generate", "--quantization-encoding", "q5_k"], "q4_k"),
            (["generate", "--output", "xml"], "--output"),
            (["generate", "--cpu-isa", "sse9"], "--cpu-isa"),
            (["generate", "--block-size", "24"], "--block-size"),
            (["generate", "--prompt-token-ids", "1,x"], "--prompt-token-ids"),
            (["generate", "--prompt-token-ids", "999999"], "vocabulary"),
            (["generate", "--temperature", "nan"], "temperature"),
            (["generate", "--top-p", "1.5"], "top_p"),
            (["generate", "--prompt", ""], "empty"),
            (["generate", "--max-model-len", "100000000"], "--max-model-len"),
            (["generate", "--load-format", "magic"], "--load-format"),
            (["generate", "--devices", "gpu-x"], "gpu-x"),
            (["generate", "--devices", "tpu"], "tpu"),
            (["generate", "--devices", "cpu,gpu"], "mixed"),
            (["generate", "--devices", "gpu,gpu-0"], "mixed"),
            (["generate", "--use-gpu", "--devices", "cpu"], "mixed"),
            (["generate", "--devices", "gpu-0,gpu-0"], "twice"),
            (["generate", "--gpu-memory-utilization", "0"], "--gpu-memory-utilization"),
            (["generate", "--gpu-memory-utilization", "1.01"], "--gpu-memory-utilization"),
            (["generate", "--cuda-matmul", "fast"], "--cuda-matmul"),
            (["generate", "--kv-cache-memory", "lots"], "--kv-cache-memory"),
            (["score"], "--prompt-token-ids"),
            (["score", "--prompt-token-ids", "1", "--return-logits", "some"], "--return-logits"),
            (["bench"], ""),
            ([], "")):
        out, err = herd(*arguments, code=2)
        expect(f"{arguments} says {says!r}: {err!r}", says in err + out)
    for command in (["generate"], ["score", "--prompt-token-ids", "1"], ["bench", "machine"], ["bench", "latency"]):
        for devices in (["--devices", "gpu"], ["--use-gpu"], ["--devices", "gpu-1"]):
            _, err = herd(*command, *devices, code=4, library="/no/such/libherd_cuda.so")
            expect(f"{command} {devices} says what is missing: {err}",
                   "--devices gpu" in err and "/no/such/libherd_cuda.so" in err and "CUDA" in err)
    out, _ = herd("bench", "latency", "--input-len", "8", "--output-len", "4", "--num-iters", "2")
    expect(f"figures stand beside what the weights' memory gave, three times: {out}",
           "read of the weights" in out and "…" in out and out.count(" % of ") == 2)
    # 4,096 prompt rows at 512 a step: the first of 32 sequences has its eight tokens before the last begins.
    _, err = herd("bench", "latency", "--batch-size", "32", "--input-len", "128", "--output-len", "8", "--num-iters", "1",
                  code=2)
    expect(f"a batch that never decodes together has no decode figure: {err}", "--max-num-batched-tokens" in err)
    _, err = herd("generate", "--model-path", "/no/such/model", code=4)
    expect("missing model is named", "/no/such/model" in err)
    _, err = herd("generate", "--num-blocks", "2", "--max-model-len", "512", code=4)
    expect("KV refusal names the fix", "--num-blocks" in err and "--max-model-len" in err)

    numbers()
    empty_values()
    lost_output()
    piped_prompts()
    judged_before_shown()

    # Invalid UTF-8 on the command line becomes U+FFFD.
    run = subprocess.run([HERD.encode(), b"generate", b"--quiet", b"--prompt", b"a\xff\xfeb", b"--max-new-tokens", b"1"],
                         capture_output=True, timeout=60)
    expect("invalid UTF-8 runs", run.returncode == 0)

    for failure in failures:
        print("FAILED", failure)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
