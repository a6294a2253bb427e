"""Runs herd and the programs of llama.cpp for peer_table.py: one command, one figure or a few. Standard library only."""
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

RUN_S = 600


class Failed(RuntimeError):
    """A command that gave no figure: what it said."""


def plain(words):
    """A command line without this machine's folders."""
    return " ".join(word.rsplit("/", 1)[-1] for word in words)


def run(words):
    """Its standard output; the command must succeed."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=RUN_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{plain(words)}: {error}") from error
    if done.returncode != 0:
        raise Failed(f"{plain(words)}: exit code {done.returncode}: {(done.stderr or done.stdout)[-400:]}")
    return done.stdout


def seconds_to_end(words):
    begin = time.perf_counter()
    run(words)
    return time.perf_counter() - begin


def seconds_to_output(words, beyond):
    """From the start of the program to the first byte behind `beyond`, which it repeats (or does not)."""
    begin = time.perf_counter()
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        heard = b""
        while heard.strip() in (b"", beyond):
            piece = os.read(program.stdout.fileno(), 4096)
            if not piece:
                break
            heard += piece
        taken = time.perf_counter() - begin
        program.communicate(timeout=RUN_S)
    if program.returncode != 0 or heard.strip() in (b"", beyond):
        raise Failed(f"{plain(words)}: exit code {program.returncode}, no token on standard output")
    return taken


class Herd:
    def __init__(self, binary, threads):
        self.binary = str(binary)
        self._help = None
        self.threads = threads

    def version(self):
        return run([self.binary, "--version"]).strip()

    def latency_words(self, model, input_len, output_len, batch=1, flags=()):
        # Prompts that all came at once, and nobody who reads meanwhile: chunks as long as they can be.
        together = ["--max-step-ms", "0"] if batch > 1 and self.knows("--max-step-ms") else []
        return [self.binary, "bench", "latency", "-q", "--model-path", str(model), "--threads", str(self.threads),
                "--batch-size", str(batch), "--input-len", str(input_len), "--output-len", str(output_len), "--num-iters", "1",
                *together, *flags]

    def knows(self, flag):
        if self._help is None:
            self._help = run([self.binary, "bench", "latency", "--help"])
        return flag in self._help

    def latency(self, model, input_len, output_len, batch=1, flags=()):
        """The JSON of `herd bench latency`: one run in a process of its own."""
        return self.json_of(self.latency_words(model, input_len, output_len, batch, flags))

    def machine(self):
        """The JSON of `herd bench machine`."""
        return self.json_of([self.binary, "bench", "machine", "--threads", str(self.threads)])

    @staticmethod
    def json_of(words):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "result.json"
            run([*words, "--output-json", str(file)])
            return json.loads(file.read_text())

    def convert_words(self, source, target, encoding):
        return [self.binary, "convert", "-q", str(source), str(target), "--overwrite", "--quantization-encoding", encoding, "--threads",
                str(self.threads)]

    def first_token_words(self, model):
        return [self.binary, "generate", "-q", "--model-path", str(model), "--threads", str(self.threads), "--prompt", "a",
                "--max-new-tokens", "1", "--ignore-eos", "--max-model-len", "512"]


class Llama:
    """`settings`: words that the programs of llama.cpp know. None of the programs needs to be there."""

    def __init__(self, folder, threads):
        self.folder = Path(folder) if folder else None
        self.threads = threads

    def program(self, name):
        if self.folder is None:
            raise Failed("no folder with llama.cpp's programs was given")
        path = self.folder / name
        if not path.is_file():
            raise Failed(f"{name} is not there")
        return str(path)

    def bench_words(self, model, prompt, output, depth, settings):
        return [self.program("llama-bench"), "-m", str(model), "-t", str(self.threads), "-p", str(prompt), "-n", str(output),
                "-d", str(depth), "-r", "1", "-o", "json", *settings]

    def bench(self, model, prompt, output, depth, settings):
        """Tokens per second."""
        results = json.loads(run(self.bench_words(model, prompt, output, depth, settings)))
        return results[-1]["avg_ts"]

    def batched_words(self, model, sequences, prompt, output, settings):
        return [self.program("llama-batched-bench"), "-m", str(model), "-t", str(self.threads), "-c",
                str(sequences * (prompt + output)), "-npp", str(prompt), "-ntg", str(output), "-npl", str(sequences),
                "--output-format", "jsonl", *settings]

    def batched(self, model, sequences, prompt, output, settings):
        """decode: tokens per second; whole: seconds."""
        lines = run(self.batched_words(model, sequences, prompt, output, settings)).splitlines()
        result = json.loads([line for line in lines if line.startswith("{")][-1])
        return {"decode": result["speed_tg"], "whole": result["t"]}

    def first_token_words(self, model, settings):
        return [self.program("llama-completion"), "-m", str(model), "-t", str(self.threads), "-c", "512", "-p", "a", "-n", "1",
                "--no-warmup", "-no-cnv", "--no-display-prompt", *settings]

    def quantize_words(self, source, target, kind):
        """`kind`: as llama-quantize names it, BF16 or Q4_K_M for two."""
        return [self.program("llama-quantize"), "--allow-requantize", str(source), str(target), kind, str(self.threads)]

    def widen(self, source, target):
        """Writes `source` with all its matrices in bf16."""
        run(self.quantize_words(source, target, "BF16"))


def best_settings(measure, knobs, higher_is_better, say):
    """Tries the values of one knob after the other and keeps the best: the settings, as words. `knobs`: for each the lists of
    words to try, the first of which is the start. `measure` takes words."""
    chosen = [values[0] for values in knobs]
    words = lambda parts: [word for part in parts for word in part]
    best = measure(words(chosen))
    say(f"  {' '.join(words(chosen)) or 'defaults'}: {best:.4g}")
    for at, values in enumerate(knobs):
        for value in values[1:]:
            tried = [*chosen[:at], value, *chosen[at + 1:]]
            try:
                figure = measure(words(tried))
            except Failed as error:
                say(f"  {' '.join(words(tried))}: {error}")
                continue
            say(f"  {' '.join(words(tried))}: {figure:.4g}")
            if figure > best * 1.02 if higher_is_better else figure < best / 1.02:  # less is noise
                best, chosen = figure, tried
    return words(chosen)
