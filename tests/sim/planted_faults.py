#!/usr/bin/env python3
"""Does the simulator find what it is there to find? Each patch of tests/sim/faults plants one fault in a core. This command
copies the tree, applies one patch after the other, builds sim_tests alone and runs seeds until one breaks a promise.

  python3 tests/sim/planted_faults.py [--seeds 1000] [--only NAME ...] [--folder WORK]   a table; fails if one is not found
  python3 tests/sim/planted_faults.py --check                                            does every patch still apply?

A patch begins with a sentence that says what is planted; `git apply` skips it. To add one: edit a core, save `git diff` there.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAULTS = ROOT / "tests/sim/faults"


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def applies(patch, tree):
    return run(["git", "apply", "--check", str(patch)], cwd=tree)


def copy_tree(to):
    """The files that git knows or would: the working tree as it is, without build folders."""
    names = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True).stdout
    for name in names.splitlines():
        # With the time of the copy, and only what differs: an object built from a fault of the last run is older than the
        # file that took its place.
        if (ROOT / name).is_file() and not ((to / name).is_file() and (ROOT / name).read_bytes() == (to / name).read_bytes()):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    run(["git", "init", "--quiet"], cwd=to, check=True)  # so that `git apply` does not look for another one above


def build(tree):
    return run(["cmake", "--build", str(tree / "build"), "--target", "sim_tests", "--", f"-j{os.cpu_count()}"])


def simulate(tree, seeds, timeout_s):
    """(seed or None, what was said)"""
    command = [str(tree / "build/bin/sim_tests"), "--seeds", str(seeds), "--failures", "1", "--gtest_filter=*Promises"]
    try:
        said = run(command, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return None, f"nothing within {timeout_s} s"
    text = said.stdout + said.stderr
    found = re.search(r"^seed (\d+): (.*)", text, re.M)
    if not found:
        return None, "a goal was not reached" if said.returncode else "every seed kept its promises"
    what = found.group(2)
    if "a check of a core failed" in what:
        check = re.search(r"broken invariant at (.*)", text)
        what = "broken invariant at " + check.group(1) if check else what
    return int(found.group(1)), re.sub(r"^at \d+ us: ", "", what)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000, help="at most so many for each fault")
    parser.add_argument("--timeout", type=int, default=900, help="seconds for each fault's seeds")
    parser.add_argument("--only", nargs="*", default=[], help="names of faults")
    parser.add_argument("--folder", help="where the copy is kept (and found again); default: a temporary folder")
    parser.add_argument("--check", action="store_true", help="only look whether every patch applies")
    arguments = parser.parse_args()
    patches = sorted(FAULTS.glob("*.patch"))
    unknown = set(arguments.only) - {patch.stem for patch in patches}
    if unknown or not patches:
        sys.exit(f"no such fault: {', '.join(sorted(unknown)) or 'none at all'}; there are {', '.join(p.stem for p in patches)}")
    broken = [(patch, result.stderr.strip()) for patch in patches if (result := applies(patch, ROOT)).returncode]
    for patch, why in broken:
        print(f"{patch.stem}: the patch no longer applies\n{why}")
    if broken or arguments.check:
        print(f"{len(patches) - len(broken)} of {len(patches)} planted faults apply")
        sys.exit(1 if broken else 0)

    work = Path(arguments.folder or tempfile.mkdtemp(prefix="herd-faults-"))
    tree = work / "tree"
    if tree.exists():
        shutil.rmtree(tree / "tests/sim", ignore_errors=True)
    try:
        copy_tree(tree)
        launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        run(["cmake", "-S", str(tree), "-B", str(tree / "build"), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DHERD_CUDA=OFF",
             *launcher], check=True)
        missed = 0
        for patch in [None] + [p for p in patches if not arguments.only or p.stem in arguments.only]:
            name = patch.stem if patch else "(no fault)"
            if patch:
                run(["git", "apply", str(patch)], cwd=tree, check=True)
            built = build(tree)
            seed, said = simulate(tree, arguments.seeds, arguments.timeout) if built.returncode == 0 else (None, "does not build")
            if patch:
                run(["git", "apply", "--reverse", str(patch)], cwd=tree, check=True)
            missed += (seed is None) == (patch is not None)
            print(f"{name:<34} {'seed ' + str(seed) if seed else '-':>9}  {said[:150]}", flush=True)
        print("every fault was found" if not missed else f"{missed} rows are not as they should be")
        sys.exit(1 if missed else 0)
    finally:
        if not arguments.folder:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
