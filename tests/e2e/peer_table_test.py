#!/usr/bin/env python3
"""The table of herd beside llama.cpp, with programs that print what the real ones print: medians of pairs, shares, ratios,
verdicts, the choice of settings, rows that stay open, rows kept from an earlier run. Standard library only.

    peer_table_test.py
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from serve_process import Checks

BENCH = Path(__file__).resolve().parents[1] / "bench"

# Counts its runs, so that each gives another figure.
HERD = """#!/usr/bin/env python3
import json, sys
from pathlib import Path
words = sys.argv[1:]
if words == ["--version"]:
    print("herd 9.9"); sys.exit()
if "--help" in words:
    print("--max-step-ms"); sys.exit()
if words[0] == "generate":
    print("a"); print("token"); sys.exit()
count = Path(__file__).with_suffix(".runs")
run = int(count.read_text()) if count.exists() else 0
count.write_text(str(run + 1))
speed = [100, 300, 200][run % 3]
Path(words[words.index("--output-json") + 1]).write_text(json.dumps({
    "prefill_tokens_per_s": speed, "prefill_bound_tokens_per_s": 400, "decode_tokens_per_s": speed / 10,
    "decode_bound_tokens_per_s": 25, "total_s": 6, "peak_name": "dots", "peak_gflop_per_s": 50, "best_peak_name": "tiles",
    "best_peak_gflop_per_s": 100}))
"""
LLAMA_BENCH = """#!/usr/bin/env python3
import json, sys
value = lambda flag, other="": sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else other
if value("--repack") == "0":
    sys.exit("no such setting")
speed = 150 if value("-fa") == "off" and value("-ub", "512") == "512" else 100
print(json.dumps([{"avg_ts": speed if value("-p") != "0" else speed / 10}]))
"""
SAMPLING_BENCH = """#!/usr/bin/env python3
for kind, request, alone, together in (("model", "one read", 9000, 90000), ("model", "top_p 0.95", 512, 12900),
                                       ("flat", "top_p 0.95", 700, 15000), ("flat", "top_p 0.95, top_k 50", 9000, 90000)):
    print(f"{kind:<10} {request:<34} {alone:10} {together:12}")
"""


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def table(folder, *words):
    done = subprocess.run([sys.executable, BENCH / "peer_table.py", folder / "herd", folder / "llama", "--pairs", "3",
                           "--threads", "1", "--folder", folder / "models", "--save", folder / "kept.json", *words],
                          capture_output=True, text=True, timeout=120)
    cells = {}
    for line in done.stdout.splitlines():
        if line.startswith("| "):
            row = [cell.strip() for cell in line.strip("|").split("|")]
            cells[row[0]] = row[1:]
    return done, cells


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "llama").mkdir()
        (folder / "models").mkdir()
        (folder / "models" / "random_1b.bf16.gguf").write_bytes(b"")
        program(folder / "herd", HERD)
        program(folder / "llama" / "llama-bench", LLAMA_BENCH)

        done, cells = table(folder, "--rows", "prefill")
        row = cells["1B bf16, prefill of 512 tokens"]
        checks.equal("a run that measured all it was asked for", done.returncode, 0)
        checks.equal("herd: the median of the pairs and their spread", row[0], "200 (100-300) tokens/s")
        checks.check("the bound, and what the machine could do besides", "400" in row[1] and "tiles: 800" in row[1], row[1])
        checks.equal("its share", row[2], "50%")
        checks.equal("llama.cpp by the best of its settings", row[3], "150 (150-150) tokens/s")
        checks.equal("the median of the pairs' ratios", row[4], "1.33")
        checks.check("a bar that is missed is said, and which", row[6].startswith("**LOSES**: share") and "ratio" not in row[6], row[6])
        checks.check("the settings that were best are printed", "-fa off -b 2048 -ub 512 -lm mmap\n" in done.stdout, done.stdout)
        checks.equal("a row that was not asked for stays open", cells["1B bf16, decode, batch 1"][6], "open")

        done, cells = table(folder, "--rows", "decode,batch,topp,smollm2", "--smollm2", folder / "no.gguf")
        checks.equal("a run that could not measure a row", done.returncode, 1)
        checks.equal("what was measured before is kept", cells["1B bf16, prefill of 512 tokens"], row)
        checks.check("decode beside its own bars", cells["1B bf16, decode, batch 1"][6].startswith("**LOSES**: share"),
                     cells["1B bf16, decode, batch 1"])
        whole = cells["… the whole run"]
        checks.equal("without llama-batched-bench herd's figure stands alone", whole[:4], ["6 (6-6) s", "–", "–", "–"])
        checks.check("and its bar is open, by name", whole[6] == "open" and "llama-batched-bench is not there" in done.stdout, done.stdout)
        checks.check("a checkpoint that is not there is named", "no.gguf is not there" in done.stdout, done.stdout)

        checks.check("a batch prefills in long chunks", "--max-step-ms 0" in done.stdout, done.stdout)
        limits = [line for line in done.stdout.splitlines() if line.startswith("- ")]
        checks.check("every open row says why", len(limits) >= 4 and all(": " in line for line in limits), done.stdout)
        again, kept = table(folder, "--print-only")
        checks.equal("--print-only prints the same table", kept, cells)
        (folder / "bin").mkdir()
        program(folder / "bin" / "sampling_bench", SAMPLING_BENCH)
        done, cells = table(folder, "--rows", "topp")
        alone, together = cells["a sampled token with top-p 0.95 at 128,256 ids"], cells["… 32 rows"]
        checks.check("what sampling costs, one limit kept", alone[0].startswith("0.512 (") and alone[6] == "pass", alone)
        checks.check("and one not", together[0].startswith("12.9 (") and together[6] == "**LOSES**: limit", together)
        slowest = cells["… 1 row of the slowest kind: flat, ties"]
        checks.check("rows without a bar are shown all the same", slowest[0].startswith("0.7 (") and slowest[6] == "–", slowest)
        done, cells = table(folder, "--rows", "start")
        first = cells["1B bf16, start to first token, file in the page cache"]
        checks.check("a limit that is kept, without llama-completion", first[6] in ("goal", "pass") and first[3] == "–", first)
        kept = json.loads((folder / "kept.json").read_text())
        checks.equal("all rows are in the file", sorted(kept), ["batch", "decode", "prefill", "smollm2", "start", "topp"])
        bad, _ = table(folder, "--rows", "nonsense")
        checks.check("a row that there is not", bad.returncode == 2 and "nonsense" in bad.stderr and "prefill" in bad.stderr, bad.stderr)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
