#!/usr/bin/env python3
"""The rules of the house that a script can read: layers, fences, names, sizes, clocks, README's folder table.

Layers: kernels -> runtime -> cluster -> observability -> actors -> endpoint -> commands; a file includes from its own
folder or from the left, and inside a layer no two folders include each other, directly or around a circle.
Fences: a third-party header appears only in the files listed here; kernels/cuda is included by nothing but itself.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ["kernels", "runtime", "cluster", "observability", "actors", "endpoint", "commands"]
SUFFIXES = {".h", ".cc", ".cu", ".cuh"}
LINES_MAX = 600
BANNED_NAMES = re.compile(r"(^|/)[a-z_]*(utils?|common|helpers?|misc|manager)[a-z_]*\.(h|cc|cu|cuh|py)$")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')

# header prefix -> pattern of the files that may include it
FENCES = {
    "boost/json": r"runtime/.*\.cc$|endpoint/openai/.*\.cc$|commands/load/.*json\.cc$|commands/[a-z_]*json\.cc$|commands/(inspect|bench|prompt_file)\.cc$",
    "boost/": r"runtime/.*\.cc$|endpoint/(http|openai)/.*\.cc$|endpoint/http/[a-z_]*-inl\.h$|commands/.*\.cc$|actors/link/.*\.cc$",
    "openssl/": r"endpoint/(http|access)/.*\.cc$|actors/link/.*\.cc$",
    "pcre2.h": r"runtime/tokenizer/.*\.cc$",
    "sentencepiece": r"runtime/tokenizer/.*\.cc$",
    "CLI/": r"commands/[a-z_]*\.cc$",
    "capnp/": r"cluster/wire/.*\.(cc|h)$",
    "kj/": r"cluster/wire/.*\.(cc|h)$",
    "caf/": r"actors/messages/caf_compat\.h$",
    "gloo/": r"cluster/collectives/.*\.cc$",
    "immintrin.h": r"kernels/.*",
    "cuda": r"kernels/cuda/.*",
    "kernels/cuda/": r"kernels/cuda/.*",
    "nccl.h": r"kernels/cuda/.*",
    "prometheus/": r"observability/.*\.cc$",
    "spdlog/": r"observability/.*\.cc$",
    "yaml-cpp/": r"cluster/config/.*\.cc$",
}
# Time, randomness and the environment enter through these files only.
CLOCK = re.compile(r"std::random_device|getenv\(|system_clock::now|\brand\(\)")
CLOCK_FILES = re.compile(r"commands/.*\.cc$|actors/standalone_cluster\.cc$|kernels/gpu_backend\.cc$")
PURE = re.compile(r"(runtime/(kv/(?!kv_storage)|scheduler/|step/)|cluster/).*|kernels/plans/.*")
# What a command prints is written by one file, which looks whether it arrived.
PRINTS = re.compile(r"std::(printf|puts|putchar|cout)\b|\bstdout\b|STDOUT_FILENO")
PRINTS_FILES = re.compile(r"commands/standard_output\.cc$")
STEADY = re.compile(r"steady_clock::now|std::thread|std::mutex")

problems = []


def problem(path, line, text):
    problems.append(f"{path}:{line}: {text}" if line else f"{path}: {text}")


def tracked():
    out = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
                         capture_output=True, text=True, check=True).stdout
    return [p for p in out.splitlines() if (ROOT / p).is_file()]


def check_includes(path, text):
    layer = path.split("/")[0]
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, name = match.group(1) == '"', match.group(2)
        target = name.split("/")[0]
        if quoted and layer in LAYERS and target in LAYERS and LAYERS.index(target) > LAYERS.index(layer):
            problem(path, number, f"{layer} may not include {name}: it lies to the right")
        if layer in LAYERS:
            for prefix, allowed in FENCES.items():
                if name.startswith(prefix) and not re.match(allowed, path):
                    problem(path, number, f"<{name}> is fenced: {allowed}")


def check_file(path, text):
    lines = text.splitlines()
    layer = path.split("/")[0]
    if layer in LAYERS:
        if len(lines) > LINES_MAX:
            problem(path, 0, f"{len(lines)} lines; look for the seam at {LINES_MAX}")
        if CLOCK.search(text) and not CLOCK_FILES.match(path):
            problem(path, 0, "wall clock, random device or environment outside main and the commands")
        if PRINTS.search(text) and not PRINTS_FILES.match(path):
            problem(path, 0, "writes to standard output: commands/standard_output.h does, and checks it")
        if PURE.match(path) and STEADY.search(text):
            problem(path, 0, "a pure machine has no clock, thread or lock")
        if path.endswith(".h") and not path.endswith("-inl.h") and "#pragma once" not in text:  # -inl.h: once per ISA
            problem(path, 0, "no #pragma once")
        if not text.lstrip().startswith(("//", "#pragma once", "#include")):
            problem(path, 0, "does not begin with what it is")
    for number, line in enumerate(lines, 1):
        if re.search(r"\bTODO\b", line) and not re.search(r"TODO\((perf|correctness|cleanup|test|security)\): ", line):
            problem(path, number, "a TODO without a kind")
        if layer in LAYERS and len(line) > 140:
            problem(path, number, f"{len(line)} columns")


def folder_circles(edges):
    """Folders of one layer that reach each other: the circles, each as the list of its folders."""
    graph = {}
    for source, target in edges:
        graph.setdefault(source, set()).add(target)
    found, state = [], {}

    def visit(folder, path):
        state[folder] = "open"
        for target in sorted(graph.get(folder, ())):
            if state.get(target) == "open":
                found.append(path[path.index(target):] + [target])
            elif target not in state:
                visit(target, path + [target])
        state[folder] = "done"

    for folder in sorted(graph):
        if folder not in state:
            visit(folder, [folder])
    return found


def includes_inside_layer(path, text):
    """Edges between folders of the file's own layer. The layer's ground floor (its files outside of folders) is one."""
    layer, folder = path.split("/")[0], str(Path(path).parent)
    for line in text.splitlines():
        match = INCLUDE.match(line)
        if match and match.group(1) == '"' and match.group(2).split("/")[0] == layer:
            target = str(Path(match.group(2)).parent)
            if target != folder:
                yield folder, target


def check_circles(files):
    edges = set()
    for path in files:
        if path.split("/")[0] in LAYERS and Path(path).suffix in SUFFIXES:
            edges.update(includes_inside_layer(path, (ROOT / path).read_text()))
    for circle in folder_circles(edges):
        problem(circle[0], 0, "folders of one layer include each other: " + " -> ".join(circle))


def check_registered(files):
    """Every test source is named in some CMake list."""
    lists = "\n".join((ROOT / p).read_text() for p in files if p.endswith(("CMakeLists.txt", ".cmake")))
    for path in files:
        if path.startswith("tests/") and path.endswith(("_test.cc", "_fuzz.cc")) and Path(path).name not in lists \
                and f"herd_fuzz({Path(path).stem.removesuffix('_fuzz')} " not in lists:
            problem(path, 0, "is in no CMake list")
    for path in files:
        if path.split("/")[0] in LAYERS and path.endswith(".cc") and Path(path).name not in lists:
            problem(path, 0, "is in no CMake list: it does not exist for the build")


def check_readme(files):
    readme = (ROOT / "README.md").read_text()
    folders = {p.split("/")[0] for p in files if "/" in p and not p.startswith(".")}
    for folder in sorted(folders):
        if f"`{folder}/`" not in readme:
            problem("README.md", 0, f"the folder table lacks `{folder}/`")
    for name in re.findall(r"`((?:kernels|runtime|cluster|observability|actors|endpoint|commands|tests|tools|config)/[\w./{},-]+)`", readme):
        options = [name]
        match = re.match(r"(.*)\{([^}]*)\}(.*)", name)
        if match:
            options = [match.group(1) + part + match.group(3) for part in match.group(2).split(",")]
        for option in options:
            if not any(p == option or p.startswith(option.rstrip("/") + "/") or p.startswith(option + ".") for p in files):
                problem("README.md", 0, f"names {option}, which is not there")


def self_test():
    """A rule that finds nothing must be able to find something."""
    check_includes("kernels/x.cc", '#include "runtime/ids.h"\n#include <caf/all.hpp>\n')
    check_includes("runtime/shard/x.cc", '#include "kernels/cuda/stream.h"\n')
    check_includes("endpoint/x.cc", '#include "commands/y.h"\n')
    check_file("runtime/kv/x.cc", "int x;\n// TODO fix\nstd::mutex m;\n")
    found = len(problems)
    problems.clear()
    if found != 7:
        sys.exit(f"tidy: the self-test found {found} of 7 planted problems")
    edges = set(includes_inside_layer("runtime/a/x.cc", '#include "runtime/b/y.h"\n'))
    edges |= {("runtime/b", "runtime"), ("runtime", "runtime/a")}
    if folder_circles(edges) != [["runtime", "runtime/a", "runtime/b", "runtime"]] or folder_circles({("a", "b")}):
        sys.exit("tidy: the self-test's circle of folders was not found")


def main():
    self_test()
    files = tracked()
    for path in files:
        if BANNED_NAMES.search(path) and "block_manager" not in path:
            problem(path, 0, "the name hides the file's job")
        if Path(path).suffix in SUFFIXES:
            text = (ROOT / path).read_text()
            check_includes(path, text)
            check_file(path, text)
    check_circles(files)
    check_registered(files)
    check_readme(files)
    for line in problems:
        print(line)
    sources = sum(1 for p in files if p.split("/")[0] in LAYERS and Path(p).suffix in SUFFIXES)
    print(f"{sources} source files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
