#!/usr/bin/env python3
"""tools/gpu_run.sh and its table are honest where there is no GPU: nothing is called measured that was not, a missed bar
and a failed stage show and decide the exit code. Standard library only.

    gpu_run_test.py
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from serve_process import Checks  # noqa: E402

BENCH = {"read_gb_per_s": 4000, "bf16_tflop_per_s": 780,
         "rows": [{"what": "8B    decode, 256 x 528, 32 layers", "median_s": 0.0098}],
         "bars": [{"what": "a reached bar", "value": 0.9, "bar": 0.8, "at_most": False, "verdict": "pass"}]}


def table(folder, stages="", **files):
    """(exit code, {what: row}, text) of a folder with these stages and JSON files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "stages.tsv").write_text(stages)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    done = subprocess.run([sys.executable, str(ROOT / "tools/gpu_table.py"), str(folder), "--json", str(folder / "out")],
                          capture_output=True, text=True, check=False)
    rows = json.loads((folder / "out").read_text())["rows"]
    return done.returncode, {row["what"]: row for row in rows}, done.stdout + done.stderr


def check_table(checks, folder):
    code, rows, out = table(folder)
    checks.check("a table without rows is no success", code == 1 and not rows, out)
    code, rows, out = table(folder, "tests\tpass\t7\t60 passed\n", cuda_bench=BENCH)
    checks.check("passed stages and reached bars give 0", code == 0 and rows["a reached bar"]["verdict"] == "pass", out)
    code, rows, out = table(folder, "peer\topen\t0\tno torch\n", cuda_bench=BENCH)
    checks.check("an open row is no failure, and says why",
                 code == 0 and (rows["peer"]["verdict"], rows["peer"]["figure"]) == ("open", "no torch"), out)
    code, rows, out = table(folder, "tests\tFAIL\t7\texit code 1\n", cuda_bench=BENCH)
    checks.check("a failed stage gives 1", code == 1 and "1 FAIL" in out, out)
    code, rows, out = table(folder, "tests\tFAIL\t7\texit code 1\ntests\tpass\t8\t60 passed\n")
    checks.check("a stage run again replaces its row", code == 0 and rows["tests"]["verdict"] == "pass", out)
    below = {**BENCH, "bars": [{"what": "a missed bar", "value": 0.7, "bar": 0.8, "at_most": False, "verdict": "below"}]}
    code, rows, out = table(folder, cuda_bench=below)
    checks.check("a missed bar gives 1", code == 1 and rows["a missed bar"]["verdict"] == "BELOW", out)
    latency = {"batch_size": 1, "input_len": 512, "decode_tokens_per_s": 200.0, "decode_bound_tokens_per_s": 240.0}
    code, rows, out = table(folder, herd_8b_batch1=latency)
    row = rows["herd decode 8B, batch 1, context 512"]
    checks.check("herd's decode stands beside its bound", code == 0 and row["share"] == "83.3%", row)
    code, rows, out = table(folder, herd_8b_batch1={**latency, "decode_tokens_per_s": 190.0})
    checks.check("79 % of the bound misses the bar of 80 %", code == 1, out)
    many = {"batch_size": 256, "decode_tokens_per_s": 25600}  # 10 ms a step, 9.8 of them on the device
    code, rows, out = table(folder, cuda_bench=BENCH, herd_8b_batch256=many)
    checks.equal("the host's part of a step is what the device does not explain",
                 rows["host gap per step, 256 sequences"]["share"], "2.0%")
    peer = {"rows": [{"kind": "decode", "batch_size": 1, "input_len": 512, "mode": "eager", "left_out": None,
                      "tokens_per_s": 100.0, "herd_tokens_per_s": None}]}
    code, rows, out = table(folder, peer=peer)
    checks.check("a peer without herd's figure is open", code == 0 and next(iter(rows.values()))["verdict"] == "open", out)


def run(folder, *words):
    """gpu_run.sh, which finds the folder's own nvidia-smi."""
    environment = {**os.environ, "PATH": os.pathsep.join([str(folder), os.environ["PATH"]])}
    environment.pop("OUT", None)
    return subprocess.run(["bash", str(ROOT / "tools/gpu_run.sh"), "--output", str(folder / "logs"), *words],
                          capture_output=True, text=True, env=environment, check=False)


def check_run(checks, folder):
    if shutil.which("nvidia-smi"):
        checks.skip("gpu_run without a GPU", "this machine has an nvidia-smi")
        return
    done = run(folder, "--only", "report")
    checks.check("without a GPU it exits with 4 and says so", done.returncode == 4 and "no GPU" in done.stderr, done.stderr)
    done = run(folder, "--only", "nothing")
    checks.check("an unknown stage is a usage error", done.returncode == 2 and "sanitizer" in done.stderr, done.stderr)
    smi = folder / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'a GPU of straw'\n")
    smi.chmod(0o755)
    done = run(folder, "--only", "tests", "--seconds", "5")
    checks.check("a stage that no time is left for is open, or has nothing to run",
                 done.returncode == 0 and "0 pass, 0 BELOW, 0 FAIL, 1 open" in done.stdout, done.stdout + done.stderr)
    smi.write_text("#!/bin/sh\necho 'the driver is gone'\nexit 9\n")
    done = run(folder, "--only", "report")
    checks.check("an nvidia-smi that fails is quoted", done.returncode == 4 and "driver is gone" in done.stderr, done.stderr)


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        check_table(checks, Path(name) / "results")
        check_run(checks, Path(name))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
