#!/usr/bin/env python3
"""The rules of the house that a script can read: layers, fences, names, sizes, clocks, libraries, README's folder table.

Layers: kernels -> runtime -> cluster -> observability -> actors -> endpoint -> commands; a file includes from its own
folder or from the left, and inside a layer no two folders include each other, directly or around a circle.
Fences: a third-party header appears only in the files listed here; kernels/cuda is included by nothing but itself.
"""
import functools
import re
import subprocess
import sys
from pathlib import Path

import class_sizes
import libraries

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ["kernels", "runtime", "cluster", "observability", "actors", "endpoint", "commands"]
SUFFIXES = {".h", ".cc", ".cu", ".cuh"}
LINES_MAX = 600
BANNED_NAMES = re.compile(r"(^|/)[a-z_]*(utils?|common|helpers?|misc|manager)[a-z_]*\.(h|cc|cu|cuh|py)$")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')

# header prefix -> pattern of the files that may include it
FENCES = {
    "boost/json": r"runtime/.*\.cc$|endpoint/openai/.*\.cc$|endpoint/(otlp|pages)/[a-z_]*json\.cc$|commands/load/.*json\.cc$|commands/[a-z_]*json\.cc$|commands/(inspect|bench|prompt_file)\.cc$",
    "boost/": r"runtime/.*\.cc$|endpoint/(http|openai)/.*\.cc$|endpoint/(otlp|pages)/[a-z_]*json\.cc$|endpoint/http/[a-z_]*-inl\.h$|commands/.*\.cc$|actors/link/.*(\.cc|-inl\.h)$",
    "openssl/": r"endpoint/(http|access)/.*\.cc$|actors/link/.*(\.cc|-inl\.h)$",
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
# What stands in one place: a pattern of it -> the files that may hold it.
ONE_PLACE = [
    (re.compile(r"steady_clock::now\(\)\.time_since_epoch"), r"runtime/steady_clock\.h$", "Instants come from runtime/steady_clock.h"),
    (re.compile(r"0123456789abcdef", re.IGNORECASE), r"runtime/text/hex\.h$", "hexadecimal digits are runtime/text/hex.h's"),
    (re.compile(r"0xbf58476d1ce4e5b9", re.IGNORECASE), r"kernels/splitmix64\.h$", "SplitMix64 is kernels/splitmix64.h's"),
    (re.compile(r"\.ns \+ .*\* 1e9"), r"(runtime/clock|cluster/gateway/retry_delay)\.h$", "seconds_after() is runtime/clock.h's"),
    (re.compile(r"RLIMIT_NOFILE"), r"kernels/process_limits\.cc$", "kernels/process_limits.h raises the limit of files"),
    (re.compile(r"\bdlsym\("), r"kernels/(gpu_backend\.cc|cuda/loaded_functions\.h)$", "kernels/cuda/loaded_functions.h loads tables"),
    (re.compile(r"message\(\)\.(substr|find|rfind|starts_with|ends_with)"), r"cluster/wire/schema_values\.cc$",
     "an error's text is for people; what code needs of it is a member of its own"),
]
# Where a reader is sent lies in the repository: no page named "the design", no section of it, no .md, .h or .cc that is not here.
CITATION = re.compile(r"\bdesign(\.md)? ?(§|rule\b|\))|\b(of|by|see) the design\b|(?<!RFC \d{4} )§ ?\d")
MARKDOWN = re.compile(r"[\w./-]*\w\.md\b")
SOURCE = re.compile(r"(?<![\w/.*<-])\w[\w./-]*\.(?:h|cc)\b(?![\w*-])")
FOREIGN = {"ggml-common.h"}  # another project's, named with its address
CITING = {".h", ".cc", ".cu", ".cuh", ".capnp", ".txt", ".cmake", ".md"}
RULE = re.compile(r"\b[Rr]ules? (\d+)(?:(?:-| to )(\d+))?")
# Too large today; each entry goes with the change that cuts it.
LARGE = set()
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
        for pattern, allowed, instead in ONE_PLACE:
            if pattern.search(text) and not re.match(allowed, path):
                problem(path, 0, instead)
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


@functools.cache
def sources_ending(files):
    """All that a source of the repository may be called: its path, and what is left of it from any folder on."""
    return {"/".join(p.split("/")[i:]) for p in files if p.endswith((".h", ".cc")) for i in range(p.count("/") + 1)}


def check_citations(path, text, files, rules):
    """Pages that are cited are here, and a rule's number is one of docs/numerics.md's (`rules` of them)."""
    names = {Path(p).name for p in files}
    ends = sources_ending(tuple(files))
    for number, line in enumerate(text.splitlines(), 1):
        cited = line if path.endswith(".md") else line.partition("#" if path.endswith((".txt", ".cmake", ".capnp")) else "//")[2]
        if CITATION.search(cited):
            problem(path, number, "cites a page outside the repository")
        for page in MARKDOWN.findall(cited):
            if page not in files and page not in names and str(Path(path).parent / page) not in files:
                problem(path, number, f"names {page}, which is not there")
        for source in SOURCE.findall(cited):
            if source not in ends and source not in FOREIGN:
                problem(path, number, f"names {source}, which is not there")
        for first, last in RULE.findall(cited):
            if path.split("/")[0] in LAYERS and not 1 <= int(first) <= int(last or first) <= rules:
                problem(path, number, f"there is no rule {last or first} in docs/numerics.md")


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
    class_sizes.self_test()
    libraries.self_test()
    check_includes("kernels/x.cc", '#include "runtime/ids.h"\n#include <caf/all.hpp>\n')
    check_includes("runtime/shard/x.cc", '#include "kernels/cuda/stream.h"\n')
    check_includes("endpoint/x.cc", '#include "commands/y.h"\n')
    check_file("runtime/kv/x.cc", "int x;\n// TODO fix\nstd::mutex m;\n")
    check_file("actors/x.cc", '// x\nauto digits = "0123456789abcdef";\nif (error.message().starts_with("x")) return;\n')
    found = len(problems)
    problems.clear()
    if found != 9:
        sys.exit(f"tidy: the self-test found {found} of 9 planted problems")
    edges = set(includes_inside_layer("runtime/a/x.cc", '#include "runtime/b/y.h"\n'))
    edges |= {("runtime/b", "runtime"), ("runtime", "runtime/a")}
    if folder_circles(edges) != [["runtime", "runtime/a", "runtime/b", "runtime"]] or folder_circles({("a", "b")}):
        sys.exit("tidy: the self-test's circle of folders was not found")
    check_citations("kernels/x.h", "// by rule 5 of the design\n// (design §4), see plan.md\n// rules 1 to 9\n", ["a.md"], 8)
    check_citations("kernels/x.h", "// RFC 9110 §3, a.md, rules 1-8\nint design;\n", ["docs/a.md"], 8)
    check_citations("kernels/x.capnp", "# a/b.h, b.h, b.cc, x/b.h\n", ["docs/a.md", "kernels/a/b.h"], 8)
    found = len(problems)
    problems.clear()
    if found != 6:
        sys.exit(f"tidy: the self-test found {found} of 6 planted citations")


def main():
    self_test()
    files = tracked()
    rules = len(re.findall(r"^\d+\. \*\*", (ROOT / "docs/numerics.md").read_text(), re.MULTILINE))
    for path in files:
        if Path(path).suffix in CITING and not path.startswith("config/demo_model"):
            check_citations(path, (ROOT / path).read_text(), files, rules)
        if BANNED_NAMES.search(path) and "block_manager" not in path:
            problem(path, 0, "the name hides the file's job")
        if Path(path).suffix in SUFFIXES:
            text = (ROOT / path).read_text()
            check_includes(path, text)
            check_file(path, text)
    check_circles(files)
    sources = {p: (ROOT / p).read_text() for p in files if p.split("/")[0] in LAYERS and Path(p).suffix in SUFFIXES}
    class_sizes.check(sources, problem, LARGE)
    # The CUDA backend is a module, built with the toolkit or the emulator: kernels/cuda/CMakeLists.txt says with what.
    libraries.check({p: (ROOT / p).read_text() for p in files if p.split("/")[0] in LAYERS and p.endswith("CMakeLists.txt")},
                    {p: text for p, text in sources.items() if not p.startswith("kernels/cuda/")}, problem)
    check_registered(files)
    check_readme(files)
    for line in problems:
        print(line)
    print(f"{len(sources)} source files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
