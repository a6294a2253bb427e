#!/usr/bin/env python3
"""What the compiler made of the CUDA kernels: registers, stack, shared memory, and which instructions the SASS holds.

    cuda_report.py [FILE...] [--arch sm_90] [--only TEXT] [--json FILE]

FILE: a shared object, object file, executable or cubin; default the newest libherd_cuda.so in build/. Needs no
GPU, only cuobjdump and nvdisasm: from PATH, $CUDA_HOME/bin, /usr/local/cuda/bin or the PyPI wheels
nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm.

A line a kernel and architecture, then the verdict. Exit codes: 0 all is well; 1 a kernel uses local memory (registers
that were spilled, or an array indexed at run time: stack, LDL, STL), or one that is meant for tensor cores has no
tensor-core instruction; 2 a file is not there or holds no kernel; 4 the tools are missing.

Columns: regs of a thread; stack bytes of a thread; STL/LDL: instructions that store to or load from local memory; smem:
static shared bytes of a block (Hopper keeps 1024 of its own where there are any); HMMA, HGMMA: tensor-core instructions
(mma.sync, wgmma); FFMA, DFMA: ordinary fused multiply-adds; LDG.128, .64, rest: loads from global memory by width;
cp.async: copies from global to shared memory; all: instructions.
"""
import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Kernels whose products belong on tensor cores (bf16), as they are named in kernels/cuda: the backend's library has them
# all.
TENSOR_CORES = ("attention_split_kernel", "attention_tile_kernel", "skinny_kernel", "tiled_kernel")
LIBRARY = "libherd_cuda.so"
FUNCTION = re.compile(r"^\s*Function\s*:?\s*([\w.$]+):?\s*$")
ARCH = re.compile(r"^(?:arch = |\s*\.target\s+|\s*code for )(sm_\w+)")
RESOURCES = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
# "        /*00c0*/              @!P0 LDG.E.128 R4, desc[UR4][R2.64] ;   /* 0x... */"
INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?PT?\d*\s+)?([A-Z][A-Z0-9_.]*)")


class Unusable(Exception):
    """What the user can mend; the exit code that says so."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def tool_folders():
    """Where cuobjdump and nvdisasm may be, in order."""
    folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    if os.environ.get("CUDA_HOME"):
        folders.append(os.path.join(os.environ["CUDA_HOME"], "bin"))
    folders.append("/usr/local/cuda/bin")
    for entry in sys.path:
        folders += sorted(str(path) for path in Path(entry or ".").glob("nvidia/*/bin"))
    return folders


def find_tools():
    """(cuobjdump, an environment in which it finds nvdisasm)."""
    path = os.pathsep.join(tool_folders())
    found = {name: shutil.which(name, path=path) for name in ("cuobjdump", "nvdisasm")}
    missing = [name for name, place in found.items() if place is None]
    if missing:
        raise Unusable(4, f"{' and '.join(missing)} not found in PATH, $CUDA_HOME/bin, /usr/local/cuda/bin or as the PyPI "
                          f"wheels {' '.join('nvidia-cuda-' + name for name in missing)} (pip install them)")
    folders = [str(Path(place).parent) for place in found.values()] + [os.environ.get("PATH", "")]
    return found["cuobjdump"], {**os.environ, "PATH": os.pathsep.join(folders)}


def dump(tools, flag, file):
    cuobjdump, environment = tools
    done = subprocess.run([cuobjdump, flag, str(file)], capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise Unusable(2, f"{file}: {(done.stderr or done.stdout).strip()[:400]}")
    return done.stdout.splitlines()


def demangled(names):
    """Readable names where c++filt is there."""
    filt = shutil.which("c++filt") or shutil.which("cu++filt")
    if filt is None or not names:
        return {name: name for name in names}
    out = subprocess.run([filt], input="\n".join(names), capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(zip(names, out))


def without_arguments(name):
    """The text before the last parenthesis that opens at depth 0: "f<(E)1>(int)" -> "f<(E)1>"."""
    depth, end = 0, len(name)
    for i in range(len(name) - 1, -1, -1):
        depth += (name[i] == ")") - (name[i] == "(")
        if name[i] == "(" and depth == 0:
            end = i
            break
    return name[:end] if name.endswith(")") else name


def short(name):
    """"void herd::cuda::(anonymous namespace)::f<(int)8, float>(float const*)" -> "f<8, float>"."""
    name = without_arguments(re.sub(r"\s*\[clone [^]]*\]$", "", name))
    name = re.sub(r"\([\w: ]+\)(?=-?\d)", "", name.replace("(anonymous namespace)::", ""))  # casts of template arguments
    head, angle, rest = name.partition("<")
    head = head.split(" ")[-1].split("::")[-1]
    return head + angle + re.sub(r"\b(?:\w+::)+", "", rest)


def read_kernels(tools, file):
    """{(arch, mangled name): facts} of all machine code in a file."""
    kernels = {}
    arch = name = None
    for line in dump(tools, "--dump-resource-usage", file):
        if match := ARCH.match(line):
            arch = match.group(1)
        elif match := FUNCTION.match(line):
            name = match.group(1)
        elif match := RESOURCES.search(line):
            registers, stack, shared, local = map(int, match.groups())
            kernels[arch, name] = {"registers": registers, "stack": stack + local, "shared": shared,
                                   "instructions": collections.Counter()}
    arch = name = None
    for line in dump(tools, "--dump-sass", file):
        if match := ARCH.match(line):
            arch = match.group(1)
        elif match := FUNCTION.match(line):
            name = match.group(1)
        elif (match := INSTRUCTION.match(line)) and (arch, name) in kernels:
            kernels[arch, name]["instructions"][match.group(1)] += 1
    return kernels


def count(instructions, *bases):
    return sum(n for op, n in instructions.items() if op.split(".")[0] in bases)


def row(arch, name, facts):
    ops = facts["instructions"]
    loads = {width: sum(n for op, n in ops.items() if op.startswith("LDG.") and width in op.split("."))
             for width in ("128", "64")}
    return {"arch": arch, "kernel": short(name), "full_name": name, "registers": facts["registers"],
            "stack": facts["stack"], "stl": count(ops, "STL"), "ldl": count(ops, "LDL"), "shared": facts["shared"],
            "hmma": count(ops, "HMMA"), "hgmma": count(ops, "HGMMA", "QGMMA"), "ffma": count(ops, "FFMA"),
            "dfma": count(ops, "DFMA"), "ldg_128": loads["128"], "ldg_64": loads["64"],
            "ldg_rest": count(ops, "LDG") - loads["128"] - loads["64"], "ldgsts": count(ops, "LDGSTS"),
            "instructions": sum(ops.values()) - count(ops, "NOP")}


def faults(kernel):
    """What is wrong with a kernel, in words."""
    found = []
    if kernel["stack"] or kernel["stl"] or kernel["ldl"]:
        found.append(f"uses local memory ({kernel['stack']} bytes of stack, {kernel['stl']} stores, "
                     f"{kernel['ldl']} loads)")
    if kernel["kernel"].partition("<")[0] in TENSOR_CORES and not kernel["hmma"] and not kernel["hgmma"]:
        found.append("is meant for tensor cores and has no HMMA")
    return found


def absent(kernels, arch):
    """Which kernels for tensor cores an architecture of the library lacks: renamed ones would go unchecked."""
    names = {kernel["kernel"].partition("<")[0] for kernel in kernels if kernel["arch"] == arch}
    return [f"{name} ({arch}) is not in {LIBRARY}" for name in TENSOR_CORES if name not in names]


def table(kernels):
    columns = [("kernel", "kernel"), ("arch", "arch"), ("registers", "regs"), ("stack", "stack"), ("stl", "STL"),
               ("ldl", "LDL"), ("shared", "smem"), ("hmma", "HMMA"), ("hgmma", "HGMMA"), ("ffma", "FFMA"),
               ("dfma", "DFMA"), ("ldg_128", "LDG.128"), ("ldg_64", ".64"), ("ldg_rest", "rest"),
               ("ldgsts", "cp.async"), ("instructions", "all")]
    lines = [[title for _, title in columns]] + [[str(kernel[key]) for key, _ in columns] for kernel in kernels]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))))


def default_file():
    """The newest libherd_cuda.so of the builds, or beside an installed herd."""
    found = [path for pattern in ("build/*/libherd_cuda.so", "build/*/*/libherd_cuda.so") for path in ROOT.glob(pattern)]
    if not found:
        raise Unusable(2, "no FILE given, and no libherd_cuda.so in build/")
    return max(found, key=lambda path: path.stat().st_mtime)


def report(arguments):
    files = [Path(name) for name in arguments.file] or [default_file()]
    for file in files:
        if not file.is_file():
            raise Unusable(2, f"{file}: no such file")
    tools = find_tools()
    kernels = []
    for file in files:
        found = read_kernels(tools, file)
        names = demangled(sorted({name for _, name in found}))
        kernels += [row(arch, names[name], facts) for (arch, name), facts in found.items()]
    missed = []
    if any(file.name == LIBRARY for file in files):
        missed = [text for arch in sorted({kernel["arch"] for kernel in kernels}) for text in absent(kernels, arch)]
    kernels = [kernel for kernel in kernels if arguments.only in kernel["full_name"]
               and arguments.arch in ("", kernel["arch"])]
    if not kernels:
        raise Unusable(2, f"{', '.join(map(str, files))}: no kernel's machine code for what was asked")
    kernels.sort(key=lambda kernel: (kernel["arch"], kernel["kernel"]))
    table(kernels)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(kernels, indent=1) + "\n")
    problems = [f"{kernel['kernel']} ({kernel['arch']}) {fault}" for kernel in kernels for fault in faults(kernel)] + missed
    for line in problems:
        print(f"PROBLEM: {line}")
    archs = sorted({kernel["arch"] for kernel in kernels})
    on_tensor_cores = sum(1 for kernel in kernels if kernel["hmma"] or kernel["hgmma"])
    print(f"{len(kernels)} kernels on {', '.join(archs)}: {on_tensor_cores} on tensor cores, at most "
          f"{max(kernel['registers'] for kernel in kernels)} registers, {len(problems)} problems")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="*")
    parser.add_argument("--arch", default="", help="of one architecture only: sm_80, sm_90")
    parser.add_argument("--only", default="", help="only kernels whose full name holds this")
    parser.add_argument("--json", help="also write the table here")
    try:
        return report(parser.parse_args())
    except Unusable as reason:
        print(f"cuda_report: {reason}", file=sys.stderr)
        return reason.code


if __name__ == "__main__":
    sys.exit(main())
