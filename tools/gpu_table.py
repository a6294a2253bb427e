#!/usr/bin/env python3
"""The table at the end of tools/gpu_run.sh: gpu_table.py FOLDER [--json FILE]. Standard library only.

FOLDER holds machine.log, stages.tsv (name, verdict, seconds, text) and the JSON files of the stages that ran. A row a
promise: what, figure, bound, share of the bound, bar, verdict: pass, BELOW (a bar missed), FAIL (a stage failed) or open
(not measured, and why). Exit code 1 when a row is BELOW or FAIL, or when there is no row.
"""
import argparse
import json
import sys
from pathlib import Path

# herd bench latency: file, what, figure, its bound, bar (a share of the bound).
LATENCY = [
    ("herd_8b_batch1", "herd decode 8B, batch 1, context 512", "decode", 0.80),
    ("herd_8b_batch32", "herd decode 8B, batch 32, context 512", "decode", 0.80),
    ("herd_8b_prefill", "herd prefill 8B, 4096 tokens", "prefill", None),
    ("herd_1b_batch1", "herd decode 1B, batch 1, context 512", "decode", None),
]
GAP_ROW = "8B    decode, 256 x 592"  # of cuda_bench step; the mean context of herd_8b_batch256's steps that count
CELL_MAX = 90  # of the printed table; the JSON has all of it


def read(folder, name):
    try:
        return json.loads((folder / name).read_text())
    except (OSError, ValueError):
        return None


def row(what, figure="", bound="", share="", bar="", verdict="open"):
    return {"what": what, "figure": figure, "bound": bound, "share": share, "bar": bar, "verdict": verdict}


def reached(value, bar, at_most=False):
    if bar is None:
        return ""
    return "pass" if (value <= bar if at_most else value >= bar) else "BELOW"


def stage_rows(folder):
    try:
        lines = (folder / "stages.tsv").read_text().splitlines()
    except OSError:
        lines = []
    stages = {line.split("\t")[0]: line for line in lines}  # a stage run again replaces what it said before
    for line in stages.values():
        name, verdict, seconds, text = (line.split("\t") + [""] * 4)[:4]
        yield row(name, f"{text} ({seconds} s)" if seconds != "0" else text, verdict=verdict)


def bench_rows(folder):
    bench = read(folder, "cuda_bench.json")
    if bench is None:
        return
    if bench["read_gb_per_s"] > 0:
        yield row("machine: memory read", f"{bench['read_gb_per_s']:.0f} GB/s", verdict="")
        yield row("machine: bf16 products, cuBLASLt", f"{bench['bf16_tflop_per_s']:.0f} TFLOP/s", verdict="")
    for bar in bench["bars"]:
        limit = f"{'at most' if bar['at_most'] else 'at least'} {bar['bar']:g}"
        verdict = {"pass": "pass", "below": "BELOW"}.get(bar["verdict"], "open")
        yield row(bar["what"], f"{bar['value']:.3f}", bar=limit, verdict=verdict)


def herd_rows(folder):
    for name, what, kind, bar in LATENCY:
        result = read(folder, f"{name}.json")
        if result is None:
            continue
        figure, bound = result.get(f"{kind}_tokens_per_s"), result.get(f"{kind}_bound_tokens_per_s", 0)
        if not figure:
            yield row(what, "herd told no figure", bar=f"at least {bar:.0%}" if bar else "")
            continue
        share = figure / bound if bound else 0
        yield row(what, f"{figure:.1f} tokens/s", f"{bound:.1f}" if bound else "", f"{share:.1%}" if bound else "",
                  f"at least {bar:.0%}" if bar else "", (reached(share, bar) if bound else "open"))
    result = read(folder, "herd_8b_throughput.json")
    if result is not None:
        figure, bound = result["output_tokens_per_s"], result.get("bound_output_tokens_per_s", 0)
        yield row("herd throughput 8B, 256 x 128 in, 64 out", f"{figure:.0f} tokens/s", f"{bound:.0f}" if bound else "",
                  f"{figure / bound:.1%}" if bound else "", verdict="")


def host_gap_rows(folder):
    """The part of a step of 256 sequences in which the GPU does nothing: herd's step beside the same operations alone."""
    bench, herd = read(folder, "cuda_bench.json"), read(folder, "herd_8b_batch256.json")
    alone = [entry["median_s"] for entry in bench["rows"] if entry["what"].startswith(GAP_ROW)] if bench else []
    if not alone or herd is None:
        return
    what, bar = "host gap per step, 256 sequences", "at most 5%"
    step = herd["batch_size"] / herd["decode_tokens_per_s"] if herd.get("decode_tokens_per_s") else 0
    if step < alone[0]:
        # Then the two did not do the same work, or one was not measured well: no gap can be told.
        yield row(what, f"a step of {step * 1e3:.2f} ms is shorter than its work alone",
                  f"{alone[0] * 1e3:.2f} ms on the device", bar=bar)
        return
    gap = 1 - alone[0] / step
    yield row(what, f"{step * 1e3:.2f} ms", f"{alone[0] * 1e3:.2f} ms on the device", f"{gap:.1%}", bar,
              reached(gap, 0.05, at_most=True))


def peer_rows(folder):
    peer = read(folder, "peer.json")
    for entry in peer["rows"] if peer else []:
        what = f"transformers {entry['kind']} 8B, batch {entry['batch_size']}, {entry['input_len']} in, {entry['mode']}"
        theirs, ours = entry["tokens_per_s"], entry["herd_tokens_per_s"]
        if not theirs or not ours:
            yield row(what, f"{theirs:.1f} tokens/s" if theirs else entry["left_out"] or "", bar="herd / theirs at least 1")
            continue
        yield row(what, f"{theirs:.1f} tokens/s", share=f"herd / theirs {ours / theirs:.2f}", bar="at least 1",
                  verdict=reached(ours / theirs, 1.0))


def print_table(rows):
    columns = ["what", "figure", "bound", "share", "bar", "verdict"]
    shown = [{name: text if len(text) <= CELL_MAX else text[:CELL_MAX - 1] + "…" for name, text in entry.items()}
             for entry in rows]
    width = {name: max([len(name)] + [len(entry[name]) for entry in shown]) for name in columns}
    for entry in [{name: name for name in columns}, *shown]:
        print("  ".join(entry[name].ljust(width[name]) for name in columns).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    folder = arguments.folder
    rows = [entry for part in (stage_rows, bench_rows, herd_rows, host_gap_rows, peer_rows) for entry in part(folder)]
    machine = folder / "machine.log"
    about = [line for line in machine.read_text().splitlines()[-12:] if line.strip()] if machine.is_file() else []
    print("\n".join(about) + "\n")
    print_table(rows)
    tally = {verdict: sum(entry["verdict"] == verdict for entry in rows) for verdict in ("pass", "BELOW", "FAIL", "open")}
    print(", ".join(f"{count} {verdict}" for verdict, count in tally.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": about, "rows": rows, "tally": tally}, indent=1) + "\n")
    return int(not rows or tally["BELOW"] > 0 or tally["FAIL"] > 0)


if __name__ == "__main__":
    sys.exit(main())
