#!/usr/bin/env python3
"""herd beside llama.cpp on this machine: every figure beside its bound and its bar, also where herd loses.

    peer_table.py HERD_BINARY [LLAMA_BIN_DIR] [--rows prefill,batch,decode,smollm2,topp,arriving,start,…] [--pairs 5]
                  [--threads N] [--folder DIR] [--save FILE] [--output-markdown FILE] [--print-only]

Rows of weights in blocks: prefill-E, decode-E (E: q8_0, q4_0, q4_k_m, q6_k), batch-E (not of q6_k), convert-q4_k_m,
smollm2-prefill-q4_1, smollm2-decode-q4_1, and for CPUs without VNNI, or as if this one had none, avx2-prefill-E, avx2-decode-E (E: q4_0, q4_1), for which
llama.cpp is to be built so, too.

LLAMA_BIN_DIR holds llama-bench, llama-batched-bench, llama-completion and llama-quantize, built for this CPU; without it, and
without one of them, its figures stay open. Both programs compute the same weights on the same number of threads. First
llama.cpp's settings are tried (flash attention, batch sizes, repacking, how the file is mapped) and the best are kept for each
row; then both run in turn, each run in a process of its own, in pairs whose order alternates. The figure is the median over the
pairs, the ratio the median of the pairs' ratios (above 1: herd is faster), the share the median of figure / bound, both of one
process. Rows that were measured are kept in FILE (--save), so that the table can be made row by row; --print-only prints what it
holds. --folder keeps the random model (2.5 GB) for the next time. Wants the packages gguf and numpy when that is not there yet.
For a quiet machine: nothing else may use its cores.
"""
import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from peer_programs import Failed, Herd, Llama, best_settings, plain, run, seconds_to_end, seconds_to_output
from serve_load import cpu_model

ROOT = Path(__file__).resolve().parents[2]
FLASH = [["-fa", "on"], ["-fa", "off"]]
BATCHES = [["-b", "2048", "-ub", "512"], ["-b", "2048", "-ub", "256"], ["-b", "2048", "-ub", "1024"]]
MAPPED = [["-lm", "mmap"], ["-lm", "none"]]


@dataclass
class Line:
    """One line of the table, as it is kept in a file. Lists have an entry a pair."""
    title: str
    unit: str
    bars: dict = field(default_factory=dict)  # share, ratio: at least; limit: at most. [bar, goal], a goal may be null
    higher_is_better: bool = True
    bound_name: str = ""
    herd: list = field(default_factory=list)
    bounds: list = field(default_factory=list)
    best: str = ""  # what the machine's best instruction would bound, where herd does not use it
    llama: list = field(default_factory=list)
    open: str = ""  # why something was not measured

    def share(self):
        if not self.bounds or not self.herd:
            return None
        return statistics.median(a / b for a, b in zip(self.herd, self.bounds))

    def ratio(self):
        if not self.llama or not self.herd:
            return None
        pairs = [a / b for a, b in zip(self.herd, self.llama)]
        return statistics.median(pairs if self.higher_is_better else [1 / ratio for ratio in pairs])

    def verdict(self):
        """goal, pass, LOSES with what is missed, or open."""
        seen = {"share": self.share(), "ratio": self.ratio(), "limit": statistics.median(self.herd) if self.herd else None}
        holds = lambda kind, wanted: seen[kind] <= wanted if kind == "limit" else seen[kind] >= wanted
        unknown = [kind for kind in self.bars if seen[kind] is None]
        missed = [kind for kind in self.bars if seen[kind] is not None and not holds(kind, self.bars[kind][0])]
        if missed:
            return "**LOSES**: " + ", ".join(missed)
        if unknown or not self.herd or (self.llama and len(self.llama) < len(self.herd)):
            return "open"
        if not self.bars:
            return "–"
        goals = [(kind, goal) for kind, (_, goal) in self.bars.items() if goal is not None]
        return "goal" if goals and all(holds(kind, goal) for kind, goal in goals) else "pass"


@dataclass
class Measurement:
    lines: list
    commands: list = field(default_factory=list)


class Table:
    """What all measurements need."""

    def __init__(self, arguments, folder):
        self.pairs = arguments.pairs
        self.herd = Herd(arguments.herd, arguments.threads)
        self.llama = Llama(arguments.llama, arguments.threads)
        self.threads = arguments.threads
        self.folder = Path(folder)
        self.sampling_bench = Path(arguments.herd).resolve().parent / "bin" / "sampling_bench"
        self.smollm2 = Path(arguments.smollm2)

    def model_1b(self, encoding="bf16"):
        path = self.folder / f"random_1b.{encoding}.gguf"
        if not path.is_file():
            from random_gguf import write_model
            say(f"writing {path}")
            write_model(path.with_suffix(".part"), encoding=encoding)
            path.with_suffix(".part").rename(path)
        return path

    def model_small(self):
        """The checkpoint, and the same weights in bf16."""
        if not self.smollm2.is_file():
            raise Failed(f"{self.smollm2.name} is not there (--smollm2)")
        wide = self.folder / (self.smollm2.stem + ".bf16.gguf")
        if self.llama.folder is not None and not wide.is_file():
            self.llama.widen(self.smollm2, wide)
        return self.smollm2, wide

    def in_pairs(self, herd, llama):
        """[(what herd gave, what llama.cpp gave)]; the latter None where it cannot run, and why."""
        why = ""
        pairs = []
        for number in range(self.pairs):
            def peer():
                nonlocal why
                if why:
                    return None
                try:
                    return llama()
                except Failed as error:
                    why = str(error)
                    return None
            first = peer() if number % 2 else None
            ours = herd()
            theirs = first if number % 2 else peer()
            pairs.append((ours, theirs))
            say(f"  pair {number + 1}: herd {shown(ours)}, llama.cpp {shown(theirs)}")
        return pairs, why

    def tuned(self, measure, knobs, higher_is_better=True):
        """The best words, or none when llama.cpp cannot run: in_pairs will say why."""
        try:
            return best_settings(measure, knobs, higher_is_better, say)
        except Failed as error:
            say(f"  llama.cpp: {error}")
            return [word for values in knobs for word in values[0]]


def say(words):
    print(words, file=sys.stderr, flush=True)


def shown(figures):
    if isinstance(figures, dict):
        kept = {key: value for key, value in figures.items() if key in ("decode", "whole") or "tokens_per_s" in key or key == "total_s"}
        return ", ".join(f"{key} {value:.4g}" for key, value in kept.items())
    return "–" if figures is None else f"{figures:.4g}"


def words_of(make, *rest):
    """A command line for the table; what cannot run has none."""
    try:
        return [plain(make(*rest))]
    except Failed:
        return []


def add_bound(line, result, key):
    line.bounds.append(result[key])
    line.bound_name = result["peak_name"] if "prefill" in key else f"the weights' own memory and {result['peak_name']}"
    if "prefill" in key and result["best_peak_name"] != result["peak_name"]:
        best = result[key] * result["best_peak_gflop_per_s"] / result["peak_gflop_per_s"]
        line.best = f"{result['best_peak_name']}: {best:.4g}"


def prefill_of(table, title, model, bars, flags=()):
    line = Line(title, "tokens/s", bars)
    measure = lambda settings: table.llama.bench(model, 512, 0, 0, settings)
    settings = table.tuned(measure, [FLASH, BATCHES, MAPPED, [[], ["--repack", "0"]]])
    pairs, line.open = table.in_pairs(lambda: table.herd.latency(model, 512, 2, flags=flags), lambda: measure(settings))
    for ours, theirs in pairs:
        line.herd.append(ours["prefill_tokens_per_s"])
        add_bound(line, ours, "prefill_bound_tokens_per_s")
        line.llama += [] if theirs is None else [theirs]
    return Measurement([line], [plain(table.herd.latency_words(model, 512, 2, flags=flags)),
                                *words_of(table.llama.bench_words, model, 512, 0, 0, settings)])


def batch_of(table, title, model, decode_bars, whole_bars):
    """As many decode steps on both sides: the prompts' last rows give the first of 33 tokens."""
    decode = Line(f"{title}: decode", "tokens/s", decode_bars)
    whole = Line("… the whole run", "s", whole_bars, higher_is_better=False)
    measure = lambda settings: table.llama.batched(model, 32, 64, 32, settings)
    settings = table.tuned(lambda settings: measure(settings)["whole"],
                           [FLASH, [[], ["-kvu"]], [*BATCHES[:1], ["-b", "2048", "-ub", "2048"]], [[], ["--no-repack"]]], False)
    pairs, why = table.in_pairs(lambda: table.herd.latency(model, 64, 33, 32), lambda: measure(settings))
    decode.open = whole.open = why
    for ours, theirs in pairs:
        decode.herd.append(ours["decode_tokens_per_s"])
        add_bound(decode, ours, "decode_bound_tokens_per_s")
        whole.herd.append(ours["total_s"])
        decode.llama += [] if theirs is None else [theirs["decode"]]
        whole.llama += [] if theirs is None else [theirs["whole"]]
    return Measurement([decode, whole], [plain(table.herd.latency_words(model, 64, 33, 32)),
                                         *words_of(table.llama.batched_words, model, 32, 64, 32, settings)])


def decode_alone(table, title, model, peers_model, output, bars, flags=()):
    line = Line(title, "tokens/s", bars)
    measure = lambda settings: table.llama.bench(peers_model, 0, output, 64, settings)
    settings = table.tuned(measure, [FLASH, MAPPED, [[], ["--repack", "0"]]])
    pairs, line.open = table.in_pairs(lambda: table.herd.latency(model, 64, output + 1, flags=flags), lambda: measure(settings))
    for ours, theirs in pairs:
        line.herd.append(ours["decode_tokens_per_s"])
        add_bound(line, ours, "decode_bound_tokens_per_s")
        line.llama += [] if theirs is None else [theirs]
    return Measurement([line], [plain(table.herd.latency_words(model, 64, output + 1, flags=flags)),
                                *words_of(table.llama.bench_words, peers_model, 0, output, 64, settings)])


def on_1b(measure, title, encoding, *bars, flags=()):
    """A row of the random model in an encoding."""
    if measure is decode_alone:
        return lambda table: decode_alone(table, title, table.model_1b(encoding), table.model_1b(encoding), 64, *bars, flags=flags)
    rest = {"flags": flags} if flags else {}
    return lambda table: measure(table, title, table.model_1b(encoding), *bars, **rest)


def smollm2(table):
    model, wide = table.model_small()
    return decode_alone(table, ROW_TITLES["smollm2"], model, wide, 256, {"share": [0.90, 0.95]},
                        flags=["--quantization-encoding", "bfloat16"])


def smollm2_prefill(table):
    return prefill_of(table, ROW_TITLES["smollm2-prefill-q4_1"], table.smollm2, {"ratio": [4, 5]})


def smollm2_decode(table):
    return decode_alone(table, ROW_TITLES["smollm2-decode-q4_1"], table.smollm2, table.smollm2, 256, {"ratio": [1.2, 1.5]})


def start(table):
    model = table.model_1b()
    line = Line("1B bf16, start to first token, file in the page cache", "s", {"limit": [0.6, 0.4]}, higher_is_better=False)
    ours = table.herd.first_token_words(model)
    measure = lambda settings: seconds_to_output(table.llama.first_token_words(model, settings), b"a")
    settings = table.tuned(measure, [MAPPED, FLASH], False)
    pairs, line.open = table.in_pairs(lambda: seconds_to_output(ours, b"a"), lambda: measure(settings))
    line.herd = [pair[0] for pair in pairs]
    line.llama = [pair[1] for pair in pairs if pair[1] is not None]
    return Measurement([line], [plain(ours), *words_of(table.llama.first_token_words, model, settings)])


def convert(table):
    model = table.model_1b()
    line = Line(ROW_TITLES["convert-q4_k_m"], "s", {"ratio": [1, 2]}, higher_is_better=False)
    with tempfile.TemporaryDirectory(dir=table.folder) as folder:
        target = Path(folder) / "converted.gguf"
        ours = table.herd.convert_words(model, target, "q4_k")
        peer = lambda: seconds_to_end(table.llama.quantize_words(model, target, "Q4_K_M"))
        pairs, line.open = table.in_pairs(lambda: seconds_to_end(ours), peer)
        line.herd = [pair[0] for pair in pairs]
        line.llama = [pair[1] for pair in pairs if pair[1] is not None]
        return Measurement([line], [plain(ours), *words_of(table.llama.quantize_words, model, target, "Q4_K_M")])


def topp(table):
    """herd alone: what sampling_bench measures, on logits as a model has them and on the kind of row that takes longest."""
    one = Line("a sampled token with top-p 0.95 at 128,256 ids", "ms", {"limit": [0.6, None]}, higher_is_better=False)
    many = Line("… 32 rows", "ms", {"limit": [12, None]}, higher_is_better=False)
    slowest = [Line("… 1 row of the slowest kind: flat, ties", "ms", higher_is_better=False),
               Line("… 32 of them", "ms", higher_is_better=False)]
    words = [str(table.sampling_bench), "--threads", str(table.threads)]
    for _ in range(table.pairs):
        rows = {kind: (int(alone) * 1e-3, int(together) * 1e-3)
                for kind, alone, together in re.findall(r"^(\w+) +top_p 0\.95 +(\d+) +(\d+)$", run(words), re.MULTILINE)}
        for line, at in ((one, 0), (many, 1)):
            line.herd.append(rows["model"][at])
            slowest[at].herd.append(max(times[at] for times in rows.values()))
    return Measurement([one, many, *slowest], [plain(words)])


def arriving(table):
    """herd alone: tests/bench/arriving_prompt.py, which has medians and percentiles of its own."""
    model = table.model_1b()
    rounds = str(table.pairs)
    words = [sys.executable, str(ROOT / "tests" / "bench" / "arriving_prompt.py"), table.herd.binary, str(model), "--rounds", rounds,
             "--max-step-ms", "auto"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result.json"
        run([*words, "--json", str(file), "--", "--threads", str(table.threads)])
        rows = json.loads(file.read_text())["rows"]
    lines = []
    for row in rows:
        beside = f"{row['streams']} stream{'s' if row['streams'] > 1 else ''} beside a 2,000-token prompt"
        lines += [Line(f"1B bf16, {beside}: ITL p99 / undisturbed p50", "", {"limit": [2, 1.5]}, False, herd=[row["itl_ratio"]]),
                  Line("… the prompt's TTFT / alone", "", {"limit": [2.5, 2]}, False, herd=[row["ttft_ratio"]])]
    return Measurement(lines, [plain([*words, "--", "--threads", str(table.threads)])])


AVX2 = ["--cpu-isa", "avx2"]
DECODE_BARS = {"share": [0.90, 0.95], "ratio": [0.97, 1.05]}
SUPER_DECODE_BARS = {"share": [0.88, 0.93], "ratio": [0.97, 1.05]}  # of super-blocks
ROW_TITLES = {
    "prefill": "1B bf16, prefill of 512 tokens",
    "batch": "1B bf16, 32 sequences of 64 + 32 tokens",
    "decode": "1B bf16, decode, batch 1",
    "smollm2": "SmolLM2-135M as bf16, decode, batch 1",
    "topp": "a sampled token with top-p 0.95 at 128,256 ids",
    "arriving": "running streams while a 2,000-token prompt arrives",
    "start": "1B bf16, start to first token, file in the page cache",
    "prefill-q8_0": "1B q8_0, prefill of 512 tokens",
    "prefill-q4_0": "1B q4_0, prefill of 512 tokens",
    "batch-q8_0": "1B q8_0, 32 sequences of 64 + 32 tokens",
    "batch-q4_0": "1B q4_0, 32 sequences of 64 + 32 tokens",
    "decode-q8_0": "1B q8_0, decode, batch 1",
    "decode-q4_0": "1B q4_0, decode, batch 1",
    "prefill-q4_k_m": "1B Q4_K_M, prefill of 512 tokens",
    "prefill-q6_k": "1B q6_k, prefill of 512 tokens",
    "batch-q4_k_m": "1B Q4_K_M, 32 sequences of 64 + 32 tokens",
    "decode-q4_k_m": "1B Q4_K_M, decode, batch 1",
    "decode-q6_k": "1B q6_k, decode, batch 1",
    "convert-q4_k_m": "1B bf16, written as a Q4_K_M file",
    "smollm2-prefill-q4_1": "SmolLM2-135M in its own q4_1, prefill of 512 tokens",
    "smollm2-decode-q4_1": "SmolLM2-135M in its own q4_1, decode, batch 1",
    "avx2-prefill-q4_0": "AVX2: 1B q4_0, prefill of 512 tokens",
    "avx2-prefill-q4_1": "AVX2: 1B q4_1, prefill of 512 tokens",
    "avx2-decode-q4_0": "AVX2: 1B q4_0, decode, batch 1",
    "avx2-decode-q4_1": "AVX2: 1B q4_1, decode, batch 1",
}
ROWS = {
    "prefill": on_1b(prefill_of, ROW_TITLES["prefill"], "bf16", {"share": [0.70, 0.80], "ratio": [1.1, 1.25]}),
    "batch": on_1b(batch_of, ROW_TITLES["batch"], "bf16", {"ratio": [1.15, 1.35]}, {"ratio": [1.05, 1.2]}),
    "decode": on_1b(decode_alone, ROW_TITLES["decode"], "bf16", {"share": [0.95, 0.97], "ratio": [0.97, None]}),
    "smollm2": smollm2,
    "topp": topp,
    "arriving": arriving,
    "start": start,
    "prefill-q8_0": on_1b(prefill_of, ROW_TITLES["prefill-q8_0"], "q8_0", {"share": [0.50, 0.62], "ratio": [2.3, None]}),
    "prefill-q4_0": on_1b(prefill_of, ROW_TITLES["prefill-q4_0"], "q4_0", {"share": [0.50, 0.62], "ratio": [1.75, None]}),
    "batch-q8_0": on_1b(batch_of, ROW_TITLES["batch-q8_0"], "q8_0", {"ratio": [2, 3]}, {}),
    "batch-q4_0": on_1b(batch_of, ROW_TITLES["batch-q4_0"], "q4_0", {"ratio": [1.7, 2.5]}, {}),
    "decode-q8_0": on_1b(decode_alone, ROW_TITLES["decode-q8_0"], "q8_0", DECODE_BARS),
    "decode-q4_0": on_1b(decode_alone, ROW_TITLES["decode-q4_0"], "q4_0", DECODE_BARS),
    "prefill-q4_k_m": on_1b(prefill_of, ROW_TITLES["prefill-q4_k_m"], "q4_k_m", {"share": [0.45, 0.55], "ratio": [1.5, None]}),
    "prefill-q6_k": on_1b(prefill_of, ROW_TITLES["prefill-q6_k"], "q6_k", {"share": [0.45, 0.55], "ratio": [1.15, None]}),
    "batch-q4_k_m": on_1b(batch_of, ROW_TITLES["batch-q4_k_m"], "q4_k_m", {"ratio": [1.6, 2.1]}, {}),
    "decode-q4_k_m": on_1b(decode_alone, ROW_TITLES["decode-q4_k_m"], "q4_k_m", SUPER_DECODE_BARS),
    "decode-q6_k": on_1b(decode_alone, ROW_TITLES["decode-q6_k"], "q6_k", SUPER_DECODE_BARS),
    "convert-q4_k_m": convert,
    "smollm2-prefill-q4_1": smollm2_prefill,
    "smollm2-decode-q4_1": smollm2_decode,
    "avx2-prefill-q4_0": on_1b(prefill_of, ROW_TITLES["avx2-prefill-q4_0"], "q4_0", {"ratio": [1.2, 1.5]}, flags=AVX2),
    "avx2-prefill-q4_1": on_1b(prefill_of, ROW_TITLES["avx2-prefill-q4_1"], "q4_1", {"ratio": [1.2, 1.5]}, flags=AVX2),
    "avx2-decode-q4_0": on_1b(decode_alone, ROW_TITLES["avx2-decode-q4_0"], "q4_0", {"ratio": [1.0, None]}, flags=AVX2),
    "avx2-decode-q4_1": on_1b(decode_alone, ROW_TITLES["avx2-decode-q4_1"], "q4_1", {"ratio": [1.0, None]}, flags=AVX2),
}


def number(value):
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def spread(values):
    """The median, and between what."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return number(middle) if len(values) == 1 else f"{number(middle)} ({number(low)}-{number(high)})"


def bar_words(line):
    words = {"share": "≥ {:.0%} of the bound", "ratio": "≥ {:.3g} ×", "limit": f"≤ {{:.3g}} {line.unit}".rstrip()}
    parts = []
    for kind, (bar, goal) in line.bars.items():
        wanted = "" if goal is None else f" (goal {goal:.0%})" if kind == "share" else f" (goal {goal:.3g})"
        parts.append(words[kind].format(bar) + wanted)
    return ", ".join(parts)


def markdown_line(line):
    bound = "–"
    if line.bounds:
        bound = f"{spread(line.bounds)} ({line.bound_name}{'; not used: ' + line.best if line.best else ''})"
    share, ratio = line.share(), line.ratio()
    figure = lambda values: f"{spread(values)} {line.unit}".rstrip() if values else "–"
    return [line.title, figure(line.herd), bound, "–" if share is None else f"{share:.0%}", figure(line.llama), "–" if ratio is None else f"{ratio:.2f}",
            bar_words(line), line.verdict()]


def markdown(kept):
    """The whole table, with what is open."""
    out = ["| Work | herd | Bound in the same process | Share | llama.cpp | herd / llama.cpp | Bar | |",
           "|---|---|---|---|---|---|---|---|"]
    machines, commands, opened = {}, [], []
    for name in ROWS:
        measured = kept.get(name)
        if measured is None:
            out.append("| " + " | ".join([ROW_TITLES[name], *["–"] * 6, "open"]) + " |")
            opened.append(f"- {ROW_TITLES[name]}: not measured")
            continue
        machines.setdefault(measured["machine"], []).append(f"{name} {measured['load']:.1f}")
        commands += measured["commands"]
        for line in (Line(**line) for line in measured["lines"]):
            out.append("| " + " | ".join(markdown_line(line)) + " |")
            if line.open:
                opened.append(f"- {line.title}: {line.open}")
    head = [f"{machine}. Load when a row began: {', '.join(rows)}." for machine, rows in machines.items()]
    text = "\n".join(head) + "\n\n" + "\n".join(out) + "\n"
    if opened:
        text += "\nOpen:\n" + "\n".join(opened) + "\n"
    return text + ("\n```\n" + "\n".join(commands) + "\n```\n" if commands else "")


def measure_rows(table, names, kept, save):
    failed = 0
    for name in names:
        load = os.getloadavg()[0]  # what else ran: a figure beside others' work is no figure
        say(f"{name} (load {load:.1f})")
        try:
            measured = ROWS[name](table)
        except (Failed, KeyError, ValueError, subprocess.SubprocessError) as error:
            failed += 1
            say(f"  {name}: {error}")
            measured = Measurement([Line(ROW_TITLES[name], "", open=str(error).strip())])
        kept[name] = {"lines": [asdict(line) for line in measured.lines], "commands": measured.commands,
                      "machine": machine(table), "load": load}
        if save:
            Path(save).write_text(json.dumps(kept, indent=1) + "\n")
    return failed


def machine(table):
    return (f"{cpu_model()}, {table.threads} threads, {table.herd.version()}, {datetime.date.today()}; medians of {table.pairs} "
            f"interleaved pairs (lowest-highest)")


def parsed():
    parser = argparse.ArgumentParser()
    parser.add_argument("herd")
    parser.add_argument("llama", nargs="?")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder")
    parser.add_argument("--smollm2", default=str(ROOT / ".cache" / "herd" / "SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--save")
    parser.add_argument("--output-markdown")
    parser.add_argument("--print-only", action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.rows.split(",")) - set(ROWS)
    if unknown:
        parser.error(f"--rows: {', '.join(sorted(unknown))}: the rows are {', '.join(ROWS)}")
    if arguments.pairs < 1:
        parser.error("--pairs must be at least 1")
    return arguments


def main():
    arguments = parsed()
    kept = {}
    if arguments.save and Path(arguments.save).is_file():
        kept = json.loads(Path(arguments.save).read_text())
    failed = 0
    if not arguments.print_only:
        with tempfile.TemporaryDirectory() as own:
            folder = arguments.folder or own
            Path(folder).mkdir(parents=True, exist_ok=True)
            failed = measure_rows(Table(arguments, folder), arguments.rows.split(","), kept, arguments.save)
    text = markdown(kept)
    print(text)
    if arguments.output_markdown:
        Path(arguments.output_markdown).write_text(text)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
