#!/usr/bin/env python3
"""The Containerfile: its stages only call scripts that the fresh-Debian test runs, it runs as nobody special, and its health check is a
command that herd has. With --build and buildah it is built and its image is run (about 20 minutes; needs the base image).

    container_test.py HERD_BINARY [--build]
"""
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from serve_process import Checks

try:
    from dockerfile_parse import DockerfileParser
except ImportError:
    DockerfileParser = None

HERD = sys.argv[1]
ROOT = Path(__file__).resolve().parents[2]


def stages_of(structure):
    """Instructions of each stage, as (name, value)."""
    stages = []
    for each in structure:
        if each["instruction"] == "FROM":
            stages.append([])
        if stages and each["instruction"] != "COMMENT":
            stages[-1].append((each["instruction"], each["value"]))
    return stages


def runs(checks, stages):
    """Each RUN is one script, which fresh_debian_test.sh runs too."""
    tested = (ROOT / "tests/e2e/fresh_debian_test.sh").read_text()
    for at, stage in enumerate(stages, 1):
        commands = [value for name, value in stage if name == "RUN"]
        checks.equal(f"stage {at}: one script", len(commands), 1)
        for command in commands:
            words = [word for word in shlex.split(command) if not word.startswith("--")]
            script = re.search(r"tools/[a-z_]+\.sh$", words[1]) if len(words) > 1 else None
            checks.check(f"stage {at}: `{command}` runs a script of the repository", words[0] == "bash" and script and
                         (ROOT / script[0]).is_file() and not set(command) & set(";&|"), words)
            checks.check(f"stage {at}: the fresh-Debian test runs it", script and Path(script[0]).name in tested)


def last(checks, stage):
    """What the image is."""
    of = {name: value for name, value in stage}
    checks.check("runs as a number that is not root's", re.fullmatch(r"[1-9]\d*:[1-9]\d*", of.get("USER", "")), of.get("USER"))
    checks.equal("STOPSIGNAL", of.get("STOPSIGNAL"), "SIGTERM")
    owner = shlex.split(of["RUN"])[-1]
    checks.equal("its state is its own", owner, of["USER"].split(":")[0])
    labels = of.get("LABEL", "")
    for label in ("title", "description", "version", "licenses"):
        checks.check(f"label {label}", f"org.opencontainers.image.{label}=" in labels, labels)
    version = re.search(r"project\(herd VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
    checks.equal("the version is herd's", of.get("ARG"), f"VERSION={version}")
    health = of.get("HEALTHCHECK", "")
    words = json.loads(health.partition("CMD ")[2] or "[]")
    checks.check("health is asked by the binary itself", words[:2] == ["herd", "probe"] and "/live" in words[-1], health)
    checks.equal("ENTRYPOINT", json.loads(of["ENTRYPOINT"]), ["herd"])
    command = json.loads(of["CMD"])
    done = subprocess.run([HERD, command[0], "--help"], capture_output=True, text=True, timeout=60)
    checks.check("herd has its command", done.returncode == 0 and all(word in done.stdout for word in command if word.startswith("--")),
                 command)


def probe(checks):
    """`herd probe`, where nobody listens, and asked wrongly."""
    for words, code, says in ((["probe", "http://127.0.0.1:1/live", "--timeout", "1"], 4, "127.0.0.1:1"),
                              (["probe", "not a url"], 2, "not a url"), (["probe", "--timeout", "0"], 2, "--timeout"),
                              (["probe", "--timeout", "nan"], 2, "--timeout")):
        done = subprocess.run([HERD, *words], capture_output=True, text=True, timeout=60)
        checks.check(f"herd {' '.join(words)}: {code}", done.returncode == code and says in done.stderr, f"{done.returncode}: {done.stderr}")


def build(checks):
    if not shutil.which("buildah"):
        checks.skip("the image is built", "there is no buildah here")
        return
    made = subprocess.run(["buildah", "build", "--format", "docker", "-t", "herd-test", str(ROOT)], capture_output=True, text=True)
    if "docker.io" in made.stderr and re.search(r"dial tcp|no such host|timeout|connection refused|pinging", made.stderr):
        checks.skip("the image is built", f"its base cannot be fetched: {made.stderr.strip()[-200:]}")
        return
    if not checks.check("the image is built", made.returncode == 0, made.stderr[-2000:]):
        return
    container = subprocess.run(["buildah", "from", "herd-test"], capture_output=True, text=True, check=True).stdout.strip()
    asked = subprocess.run(["buildah", "run", container, "herd", "generate", "-q", "--prompt", "The capital of France is"],
                           capture_output=True, text=True)
    checks.check("it answers", "Paris" in asked.stdout, asked.stderr[-500:])
    who = subprocess.run(["buildah", "run", container, "id", "-u"], capture_output=True, text=True)
    checks.equal("it is not root", who.stdout.strip(), "10001")
    subprocess.run(["buildah", "rm", container], capture_output=True)


def main():
    checks = Checks()
    probe(checks)
    if DockerfileParser is None:
        checks.skip("the Containerfile is read", "the package dockerfile-parse is not installed")
    else:
        parser = DockerfileParser(fileobj=io.BytesIO((ROOT / "Containerfile").read_bytes()))
        stages = stages_of(parser.structure)
        checks.equal("two stages", len(stages), 2)
        checks.equal("Debian 12", [image.split(":")[1] for image in parser.parent_images], ["12-slim", "12-slim"])
        runs(checks, stages)
        last(checks, stages[-1])
    if "--build" in sys.argv:
        build(checks)
    else:
        checks.skip("the image is built", "it takes 20 minutes: asked for with --build")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
