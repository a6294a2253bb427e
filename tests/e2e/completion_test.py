#!/usr/bin/env python3
"""Scripts of `herd completion`: every flag and command of every --help, and no other, as shells complete them.

    completion_test.py HERD_BINARY
"""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from serve_process import Checks

HERD = sys.argv[1]
FISH = re.compile(r"""complete -c herd -n "__herd_at '([^']*)'" (.*)""")


def herd(*words):
    return subprocess.run([HERD, *words], capture_output=True, text=True, check=True, timeout=60).stdout


def helped(path=()):
    """Of a command and all below it what --help lists: {path: (flags, names of commands, flags with a value)}."""
    flags, names, valued, below = set(), [], set(), False
    for line in herd(*path, "--help").splitlines():
        if line and not line.startswith(" "):
            below = line == "Subcommands:"
        elif below and (found := re.match(r"  (\S+)", line)):
            names.append(found[1])
        elif found := re.match(r"  (-\S+)( [A-Z]+\b)?", line):
            words = [word.partition("{")[0] for word in found[1].split(",")]  # "--stop-at-eos{false}": what the flag sets
            flags.update(words)
            valued.update(words if found[2] else ())
    tree = {" ".join(path): (flags, set(names), valued)}
    for name in names:
        tree |= helped((*path, name))
    return tree


class Bash:
    """A shell that completes what it is asked, a line of words each (tabs between them)."""

    LOOP = """source "$1"
        while IFS= read -r line; do
          COMP_WORDS=(herd); rest=$line$'\\t'
          while [[ $rest ]]; do COMP_WORDS+=("${rest%%$'\\t'*}"); rest=${rest#*$'\\t'}; done
          COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); _herd; echo "${COMPREPLY[*]}"
        done"""

    def __init__(self, script):
        self.process = subprocess.Popen(["bash", "-c", self.LOOP, "bash", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)

    def __call__(self, *words):
        """What it offers for the last of these words."""
        self.process.stdin.write("\t".join(words) + "\n")
        self.process.stdin.flush()
        return set(self.process.stdout.readline().split())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


def bash(checks, tree, folder):
    script = Path(folder) / "herd"
    script.write_text(herd("completion", "bash"))
    with Bash(script) as completed:
        for path, (flags, names, valued) in tree.items():
            words = path.split()
            shown = f"bash: herd {path}".rstrip()
            checks.equal(f"{shown}: flags", completed(*words, "-"), flags)
            checks.equal(f"{shown}: commands", completed(*words, ""), names)
            for flag in sorted(valued):
                checks.equal(f"{shown} {flag}: a value is the shell's", completed(*words, flag, "-"), set())
                checks.equal(f"{shown} {flag}=: too", completed(*words, flag, "=", ""), set())
            for flag in sorted(flags - valued):
                checks.equal(f"{shown} {flag}: no value, so a flag comes next", completed(*words, flag, "-"), flags)
        checks.equal("bash: a beginning", completed("se"), {"serve"})
        checks.equal("bash: a command behind a flag", completed("bench", "--help", "lat"), {"latency"})
        checks.equal("bash: a value that is called like a command", completed("serve", "--name", "bench", "--ssl-c"),
                     {"--ssl-certfile"})


def zsh(checks, tree, folder):
    script = Path(folder) / "_herd"
    script.write_text(herd("completion", "zsh"))
    cases = dict(re.findall(r"^    '([^']*)'\)\n(.*?)^      ;;", script.read_text(), re.MULTILINE | re.DOTALL))
    checks.equal("zsh: commands", set(cases), set(tree))
    for path, (flags, names, _) in tree.items():
        found = {name: set(re.findall(r"^        '([^:]+):", part, re.MULTILINE))
                 for name, part in re.findall(r"(names|flags)=\((.*?)\)\n      (?=flags|values)", cases.get(path, ""), re.DOTALL)}
        checks.equal(f"zsh: herd {path}", found, {"names": names, "flags": flags})
    syntax(checks, "zsh", ["zsh", "-n", str(script)])


def fish(checks, tree, folder):
    script = Path(folder) / "herd.fish"
    script.write_text(herd("completion", "fish"))
    found = {path: (set(), set()) for path in tree}
    for path, rest in FISH.findall(script.read_text()):
        rest = re.sub(r"-d '.*", "", rest)
        found[path][0].update("--" + name for name in re.findall(r"-l (\S+)", rest))
        found[path][0].update("-" + name for name in re.findall(r"-s (\S+)", rest))
        found[path][1].update(re.findall(r"-a (\S+)", rest))
    checks.equal("fish", found, {path: (flags, names) for path, (flags, names, _) in tree.items()})
    syntax(checks, "fish", ["fish", "--no-execute", str(script)])


def syntax(checks, shell, words):
    if not shutil.which(shell):
        checks.skip(f"completion in {shell}", "the shell is not installed here; the script's words were read")
        return
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    checks.check(f"{shell} reads its script", done.returncode == 0 and not done.stderr, done.stderr)


def main():
    checks = Checks()
    tree = helped()
    checks.check("--help has commands and flags", len(tree) > 15 and "--port" in tree["serve"][0] and "bench latency" in tree,
                 sorted(tree))
    with tempfile.TemporaryDirectory() as folder:
        bash(checks, tree, folder)
        zsh(checks, tree, folder)
        fish(checks, tree, folder)
    done = subprocess.run([HERD, "completion", "csh"], capture_output=True, text=True, timeout=60)
    checks.check("another shell is refused by name", done.returncode == 2 and "csh" in done.stderr, done.stderr)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
