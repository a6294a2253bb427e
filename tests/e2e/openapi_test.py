#!/usr/bin/env python3
"""The endpoint keeps to its own description: schemathesis makes requests from /openapi.json of a running `herd serve`.

    openapi_test.py --herd HERD_BINARY [--examples N] [--seed N]

right and wrong   requests of every route, inside the schemas and outside: no 5xx but 503 and 504 (a time limit drawn too short), only statuses, content types,
                  bodies and stream chunks that the description names; what is outside is refused. Once with made-up
                  headers, once without (openapi_body_hooks.py)
fit the model     bodies that no rule speaks against, not one beyond schemas either (openapi_fit_hooks.py): all are answered

Bounded by --examples per route and by time; the seed is fixed.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from serve_process import Checks, Server

HERE = Path(__file__).resolve().parent
DESCRIPTION = HERE.parents[1] / "endpoint/openai/openapi.json"
RUN_S = 400

CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "4xx", 503, 504]
positive_data_acceptance.enabled = {accepts}
positive_data_acceptance.expected-statuses = ["2xx", 503]
"""
# name, whether everything inside the schemas must be answered, hooks, flags
RUNS = (
    ("requests right and wrong", "false", None, ["--phases", "coverage,fuzzing", "--mode", "all"]),
    ("bodies right and wrong", "false", "openapi_body_hooks", ["--phases", "coverage,fuzzing", "--mode", "all"]),
    ("bodies that fit the model", "true", "openapi_fit_hooks", ["--phases", "fuzzing", "--mode", "positive"]),
)


def run_schemathesis(url, folder, accepts, hooks, flags, arguments):
    """(what it said, test cases made, test cases passed)"""
    config = Path(folder) / "schemathesis.toml"
    config.write_text(CONFIG.format(accepts=accepts))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", url + "/openapi.json",
               "--continue-on-failure", "--request-timeout", "60", "--seed", str(arguments.seed), "--max-examples",
               str(arguments.examples), "--no-color", "--generation-database", "none", *flags]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "NO_PROXY": "127.0.0.1"}
    environment.pop("SCHEMATHESIS_HOOKS", None)
    if hooks:
        environment["SCHEMATHESIS_HOOKS"] = hooks
    try:
        done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=RUN_S, check=False)
    except subprocess.TimeoutExpired:
        return f"no end after {RUN_S} s", 0, 0
    said = done.stdout.decode(errors="replace")
    cases = re.search(r"(\d+) generated, (\d+) passed", said)
    if done.returncode != 0 or not cases:
        return said, 0, 0
    return said, int(cases[1]), int(cases[2])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--herd", required=True, type=Path)
    parser.add_argument("--examples", default=60, type=int, help="per route and kind")
    parser.add_argument("--seed", default=1, type=int)
    arguments = parser.parse_args()

    checks = Checks()
    with tempfile.TemporaryDirectory() as folder, Server(arguments.herd, folder=folder, checks=checks) as server:
        description = server.request("GET", "/openapi.json")
        checks.check("/openapi.json is the file", description.json() == json.loads(DESCRIPTION.read_text()))
        for name, accepts, hooks, flags in RUNS:
            said, made, passed = run_schemathesis(server.url, folder, accepts, hooks, flags, arguments)
            print(f"{name}: {made} made")
            if not checks.check(f"{name} are answered as described", made >= arguments.examples and made == passed):
                print(said[-12000:])
        checks.equal("/health afterwards", server.request("GET", "/health").status, 200)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
