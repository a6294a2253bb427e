#!/usr/bin/env python3
"""tools/gpu_run.sh and its table are honest where there is no GPU: nothing is called measured that was not, a missed bar
and a failed stage show and decide the exit code. Standard library only.

    gpu_run_test.py [HERD]      (default: build/release/herd)
"""
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from serve_process import Checks  # noqa: E402

BENCH = {"read_gb_per_s": 4000, "bf16_tflop_per_s": 780,
         "rows": [{"what": "8B    decode, 256 x 592, 32 layers", "median_s": 0.0098}],
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
    code, rows, out = table(folder, herd_8b_batch1={**latency, "decode_tokens_per_s": None})
    checks.check("a figure that herd did not tell is open", code == 0 and "1 open" in out, out)
    many = {"batch_size": 256, "decode_tokens_per_s": 25600}  # 10 ms a step, 9.8 of them on the device
    code, rows, out = table(folder, cuda_bench=BENCH, herd_8b_batch256=many)
    checks.equal("the host's part of a step is what the device does not explain",
                 rows["host gap per step, 256 sequences"]["share"], "2.0%")
    for name, rate in (("shorter than the device's work", 30000), ("of no length", 0)):
        code, rows, out = table(folder, cuda_bench=BENCH, herd_8b_batch256={**many, "decode_tokens_per_s": rate})
        row = rows["host gap per step, 256 sequences"]
        checks.check(f"a step {name} tells no host gap, and says why",
                     (row["verdict"], row["share"]) == ("open", "") and "shorter" in row["figure"], row)
    peer = {"rows": [{"kind": "decode", "batch_size": 1, "input_len": 512, "mode": "eager", "left_out": None,
                      "tokens_per_s": 100.0, "herd_tokens_per_s": None}]}
    code, rows, out = table(folder, peer=peer)
    checks.check("a peer without herd's figure is open", code == 0 and next(iter(rows.values()))["verdict"] == "open", out)


class Tree:
    """gpu_run.sh and its table as in a checkout, on a machine of straw: nvidia-smi, built programs."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("gpu_run.sh", "gpu_table.py"):
            self.write(f"tools/{name}", (ROOT / "tools" / name).read_text())
        for layer in ("kernels", "runtime", "cluster", "observability", "actors"):
            self.write(f"{layer}/a.cc", layer)
        self.write("build/gpu/libherd_cuda.so", "")
        self.program("bin/nvidia-smi", "echo 'a GPU of straw'")

    def write(self, path, text):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def program(self, path, lines):
        self.write(path, f"#!/bin/bash\n{lines}\n").chmod(0o755)

    def forget(self):
        shutil.rmtree(self.folder / "logs", ignore_errors=True)

    def run(self, *words, **environment):
        """gpu_run.sh; environment: on top of this process's own."""
        values = {**os.environ, **environment}
        values["PATH"] = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]])
        values.pop("OUT", None)
        output = self.folder / "logs"
        done = subprocess.run(["bash", str(self.folder / "tools/gpu_run.sh"), "--output", str(output), *words],
                              capture_output=True, text=True, env=values, check=False)
        try:
            rows = {row["what"]: row for row in json.loads((output / "results.json").read_text())["rows"]}
        except OSError:
            rows = {}
        return done, rows


def check_run(checks, tree):
    tree.program("build/gpu/bin/cuda_tests", "")
    done, _ = tree.run("--only", "nothing")
    checks.check("an unknown stage is a usage error", done.returncode == 2 and "sanitizer" in done.stderr, done.stderr)
    done, _ = tree.run("--only", "tests", "--seconds", "5")
    checks.check("a stage that no time is left for is open",
                 done.returncode == 0 and "0 pass, 0 BELOW, 0 FAIL, 1 open" in done.stdout, done.stdout + done.stderr)
    tree.program("bin/nvidia-smi", "echo 'the driver is gone'\nexit 9")
    done, _ = tree.run("--only", "report")
    checks.check("an nvidia-smi that fails is quoted", done.returncode == 4 and "driver is gone" in done.stderr,
                 done.stderr)
    (tree.folder / "bin/nvidia-smi").unlink()
    if shutil.which("nvidia-smi"):
        checks.skip("gpu_run without a GPU", "this machine has an nvidia-smi")
    else:
        done, _ = tree.run("--only", "report")
        checks.check("without a GPU it exits with 4 and says so", done.returncode == 4 and "no GPU" in done.stderr,
                     done.stderr)
    tree.program("bin/nvidia-smi", "echo 'a GPU of straw'")


# A program of four suites; $1 is its filter. What a suite does is put in place of its name.
SUITES = r"""[ "$1" != --gtest_list_tests ] || {
  printf 'Running main() from gtest_main.cc\nGood.\n  A\n  B\nOdd/Bad.\n  A\nGone.\n  A\n'
  exit
}
ok() { printf '[ RUN      ] %s\n[       OK ] %s (1 ms)\n' "$1" "$1"; }
case $1 in
  *=Good.*) ok Good.A
    printf '[ RUN      ] Good.B\nx.cc:1: Skipped\nSKIPPED: groups: there is one GPU\n[  SKIPPED ] Good.B (0 ms)\n' ;;
  *=Odd/Bad.*) BAD ;;
  *=Gone.*) GONE ;;
  *=*FreeBytesCount*) ok Alone.FreeBytesCount ;;
esac"""


def check_tests(checks, tree):
    def suites(bad, gone):
        tree.program("build/gpu/bin/cuda_tests", SUITES.replace("BAD", bad).replace("GONE", gone))
        done, rows = tree.run("--only", "tests", SUITE_SECONDS="5")
        return done.returncode, rows["tests"]["verdict"], rows["tests"]["figure"], done.stdout

    code, verdict, figure, out = suites("ok Odd/Bad.A", "ok Gone.A")
    checks.check("tests that passed are a pass, with what was skipped",
                 (code, verdict) == (0, "pass") and "4 passed, 1 skipped: groups: there is one GPU" in figure, out)
    code, verdict, figure, out = suites(
        "ok Odd/Bad.A; printf '[  FAILED  ] Odd/Bad.B, where GetParam() = 3 (4 ms)\\n'; exit 1",
        "echo '[ RUN      ] Gone.A'; kill -SEGV $$")
    checks.check("a fault costs one suite, and is named",
                 (code, verdict) == (1, "FAIL") and figure.startswith("Odd/Bad Gone; 3 passed; Odd/Bad failed: B; ") and
                 "Gone exit code 139, last: Gone.A" in figure, out)
    code, verdict, figure, out = suites("ok Odd/Bad.A", "echo '[ RUN      ] Gone.B'; exec sleep 60")
    checks.check("a hang costs one suite, and is named",
                 (code, verdict) == (1, "FAIL") and "Gone; 3 passed; Gone did not end, last: Gone.B" in figure, out)
    log = (tree.folder / "logs/tests.log").read_text()
    checks.equal("the logs of the suites are one file, in order", re.findall(r"==== (\S+):", log),
                 ["Good", "Odd/Bad", "Gone", "*FreeBytesCount*"])
    code, verdict, figure, out = suites("exit 0", "exit 0")
    checks.check("suites without tests do no harm", (code, verdict) == (0, "pass"), out)
    tree.program("build/gpu/bin/cuda_tests", "echo 'no backend'; exit 4")
    done, rows = tree.run("--only", "tests")
    checks.check("tests that cannot be listed fail",
                 done.returncode == 1 and "no backend" in rows["tests"]["figure"], done.stdout)


OK = "[       OK ] A.B (1 ms)\n"
END = "========= ERROR SUMMARY: 0 errors\n"
SANITIZER = [  # what, exit code, log, verdict, part of the text
    ("a clean run passes", 0, OK + END, "pass", "1 tests passed"),
    ("a run of no test does not", 0, "[  PASSED  ] 0 tests.\n" + END, "open", "no test ran"),
    ("errors are a failure", 9, OK + "========= Invalid __global__ read of size 4 bytes\n", "FAIL", "Invalid"),
    ("errors of a run cut off too", 124, "========= Uninitialized __global__ memory read of size 4 bytes\n", "FAIL",
     "Uninitialized"),
    ("races too", 137, "========= Error: Race reported between Write access and Read access\n", "FAIL", "Race"),
    ("races of older tools too", 124, "========= ERROR: Potential RAW hazard detected\n", "FAIL", "Potential"),
    ("barriers too", 124, "========= Barrier error detected. Divergent thread(s) in block.\n", "FAIL", "Barrier"),
    ("errors of calls too", 124, "========= Program hit cudaErrorInvalidValue (error 1)\n", "FAIL", "Program hit"),
    ("errors count beside what is not supported", 1,
     "========= Unable to load a thing\n========= Invalid __shared__ write of size 2 bytes\n", "FAIL", "Invalid"),
    ("a sum of errors is enough", 1, "========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)\n", "FAIL",
     "hazard"),
    ("no end without an error is open, and says how far", 124,
     OK + OK + "========= Error: process didn't terminate successfully\n", "open", "no error in 2 tests"),
    ("a tool that cannot work here is open", 1, "========= Error: Unable to find its library\n", "open", "Unable"),
    ("a failed test is a failure, whatever it says", 1, "not supported\n[  FAILED  ] A.B (1 ms)\n", "FAIL", "A.B"),
    ("another end is a failure", 3, OK, "FAIL", "exit code 3"),
]


def check_sanitizer(checks, tree):
    tree.forget()
    tree.program("build/gpu/bin/cuda_tests", "")
    tree.program("bin/compute-sanitizer", 'echo "$@" >>"$STRAW/said"; cat "$STRAW/log"; exit "$(cat "$STRAW/code")"')
    for what, code, log, verdict, text in SANITIZER:
        tree.write("log", log)
        tree.write("code", str(code))
        done, rows = tree.run("--only", "sanitizer", "--quick", STRAW=str(tree.folder))
        found = {(rows[tool]["verdict"], text in rows[tool]["figure"])
                 for tool in ("memcheck", "racecheck", "initcheck", "synccheck")}
        checks.check(f"sanitizer: {what}", found == {(verdict, True)} and done.returncode == (verdict == "FAIL"),
                     done.stdout)
    said = (tree.folder / "said").read_text().splitlines()
    checks.equal("only memcheck would report calls, and does not",
                 {line.split()[1] for line in said if "--report-api-errors no" in line}, {"memcheck"})
    tests = "".join(file.read_text() for file in sorted((ROOT / "tests/kernels/cuda").glob("*_test.cc")))
    names = set(re.findall(r"\*(\w+)\*", " ".join(re.findall(r"\w+_filter\+?='([^']*)'",
                                                             (ROOT / "tools/gpu_run.sh").read_text()))))
    checks.equal("the filters name tests that there are", {name for name in names if name not in tests}, set())
    checks.check("and there are such names", len(names) > 20, names)


def check_bench(checks, tree):
    tree.forget()
    whole = json.dumps({**BENCH, "complete": True})
    tree.write("logs/cuda_bench.json", whole)
    tree.program("build/gpu/bin/cuda_bench", "echo 'no kernel image'; exit 1")
    done, rows = tree.run("--only", "bench")
    checks.check("a benchmark that failed is not passed by an earlier one's figures",
                 done.returncode == 1 and rows["bench"]["verdict"] == "FAIL" and "a reached bar" not in rows,
                 done.stdout)
    write = 'for file; do :; done; cat "$STRAW/bench" >"$file"; exit 1'
    for complete, verdict in ((False, "FAIL"), (True, "pass")):
        tree.write("bench", json.dumps({**BENCH, "complete": complete}))
        tree.program("build/gpu/bin/cuda_bench", write)
        done, rows = tree.run("--only", "bench", STRAW=str(tree.folder))
        checks.check(f"exit code 1 {'after' if complete else 'before'} the last part: {verdict}, and what was measured",
                     rows["bench"]["verdict"] == verdict and rows["a reached bar"]["verdict"] == "pass", done.stdout)


def check_broken_bench(checks, folder):
    """The benchmark itself, on an emulated GPU that breaks on the way."""
    built = ROOT / "build/release/bin"
    if not ((built / "cuda_bench").is_file() and (built / "libherd_cuda_emulated.so").is_file()):
        checks.skip("a benchmark whose GPU breaks", "no cuda_bench or no emulator is built")
        return
    result = folder / "broken_bench.json"
    environment = {**os.environ, "HERD_CUDA_LIBRARY": str(built / "libherd_cuda_emulated.so"), "HERD_EMULATED_GPUS": "1",
                   "HERD_EMULATED_GPU_FAULT": "cudaGraphLaunch:60"}
    done = subprocess.run([built / "cuda_bench", "--tiny", "--json", result], capture_output=True, text=True,
                          env=environment, check=False)
    bench = json.loads(result.read_text()) if result.is_file() else {"complete": True, "rows": []}
    checks.check("a benchmark whose GPU breaks keeps its figures, and is not complete",
                 done.returncode == 1 and not bench["complete"] and len(bench["rows"]) > 5, done.stdout + done.stderr)
    printed = [line for line in done.stdout.splitlines() if line.startswith("matmul") and " qkv " in line]
    checks.check("and printed them as they came", printed and re.search(r"-> \d+ +\d+\.\d\d +\d+\.\d\d ", printed[0]), done.stdout)


def check_herd(checks, tree, herd):
    """Its flags are herd's, where there is a herd; a model travels in any number of parts."""
    tree.program("build/gpu/herd", 'echo "$@" >>"$STRAW/herd_said"')
    tree.run("--only", "herd", STRAW=str(tree.folder))
    said = [line.split() for line in (tree.folder / "herd_said").read_text().splitlines()]
    names = {Path(line[line.index("--output-json") + 1]).stem for line in said}
    wanted = {"herd_8b_batch1", "herd_8b_batch32", "herd_8b_batch256", "herd_8b_prefill"}
    checks.check("herd is measured", wanted <= names, said)
    parts = [bytes([65 + number]) * 10 for number in range(12)]
    for number, part in enumerate(parts):
        tree.write(f"build/gpu_model_{number}/smollm2.gguf.part_{number:02}", part.decode())
    tree.write("build/gpu_model_0/smollm2.gguf.sha256", hashlib.sha256(b"".join(parts)).hexdigest())
    tree.write("tests/e2e/serve_answers_test.py", "import sys\nprint(open(sys.argv[-1]).read(), '12 passed')\n")
    tree.run("--only", "answers")
    said_of_model = (tree.folder / "logs/answers.log").read_text().split()[0]
    checks.equal("twelve parts of a model are joined in order", said_of_model, b"".join(parts).decode())
    if not Path(herd).is_file():
        checks.skip("the flags of herd bench", "no herd is built")
    else:
        for command in sorted({line[1] for line in said}):
            asked = [herd, "bench", command, "--help"]
            known = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
            flags = {word for line in said if line[1] == command for word in line if word.startswith("--")}
            checks.equal(f"herd bench {command} knows the flags it gets",
                         {flag for flag in flags if not re.search(rf"{flag}\b", known)}, set())


def check_bundle(checks, tree):
    tree.program("build/gpu/bin/cuda_tests", SUITES.replace("BAD", "ok B").replace("GONE", "ok G"))
    (tree.folder / "build/gpu_bundle/bin").mkdir(parents=True)
    known = subprocess.run(["bash", str(tree.folder / "tools/gpu_run.sh"), "--sources"], capture_output=True, text=True,
                           check=True).stdout
    tree.write("build/gpu_bundle/sources", known)
    tree.forget()
    done, rows = tree.run("--only", "tests")
    checks.check("a bundle of these sources is no row", "bundle" not in rows and known.strip(), done.stdout)
    tree.write("kernels/a.cc", "changed")
    done, rows = tree.run("--only", "tests")
    checks.check("a bundle of other sources is said", rows["bundle"]["verdict"] == "open", done.stdout)


def main():
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        check_table(checks, Path(name) / "results")
        tree = Tree(Path(name) / "tree")
        check_run(checks, tree)
        check_tests(checks, tree)
        check_sanitizer(checks, tree)
        check_bench(checks, tree)
        check_broken_bench(checks, Path(name))
        check_herd(checks, tree, sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/release/herd")
        check_bundle(checks, tree)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
