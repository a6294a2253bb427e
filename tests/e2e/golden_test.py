#!/usr/bin/env python3
"""herd computes what `transformers` computes, on every checkpoint of tests/golden/models. Standard library and numpy.

    golden_test.py HERD_BINARY [--only TEXT] [--flags "-tp 2"]

For each fixture, at float32:
    logits   every logit of every prompt position: error <= 1e-4 of the position's largest |logit|
    hidden   every value of every layer (embedding first, last after the final norm): the same rule
    tokens   64 greedy tokens are equal (the fixtures guarantee a top-2 margin of 10 tolerances at every step)
    long     some fixtures: rows of a prompt of 1,000 tokens, and 64 greedy tokens after it
    batch    all fixtures' prompts cut to several lengths in one call give the tokens each gives alone
and for bf16 checkpoints, at bfloat16:
    bf16     root mean square error of the logits <= 1.5 of that of transformers in bfloat16
--flags is appended to every herd command: the same must hold in every parallel layout. A layout that herd refuses for
one fixture (exit code 2: too few heads) is skipped there, and said.
"""
import argparse
import json
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np

from herd_process import GOLDEN, HerdFailed, first_difference, generate, ids_text, run_herd

NEW_TOKENS = 64
BF16_FACTOR = 1.5
FLOAT32 = ["--quantization-encoding", "float32"]


class Wrong(Exception):
    pass


def worst(name, actual, expected, relative_bound):
    """A line about the worst element,
        measured in bounds; every row (last axis) has its own bound. Raises when above."""
    if actual.shape != expected.shape or actual.dtype != np.float32:
        raise Wrong(f"{name}: {actual.dtype} {list(actual.shape)}, float32 {list(expected.shape)} expected")
    wide = expected.astype(np.float64)
    bound = relative_bound * np.abs(wide).max(axis=-1, keepdims=True)
    error = np.abs(actual - wide)
    error[np.isnan(error)] = np.inf
    at = tuple(map(int, np.unravel_index((error / bound).argmax(), error.shape)))
    line = (f"worst {name}{list(at)}: {actual[at]:.7g}, expected {expected[at]:.7g}, error {error[at]:.1e}, "
            f"bound {bound[at[:-1]][0]:.1e}")
    if not error[at] <= bound[at[:-1]][0]:
        raise Wrong(line)
    return line


def equal_tokens(actual, expected):
    at = first_difference(actual, expected)
    if at is not None:
        raise Wrong(f"token {at} differs: {actual[at:at + 3]}, expected {expected[at:at + 3]}")
    return f"{len(expected)} tokens"


class Fixture:
    def __init__(self, directory, herd, flags):
        self.directory, self.herd, self.flags = directory, herd, flags
        self.golden = json.loads((directory / "golden.json").read_text())

    def checks(self):
        names = ["logits", "hidden", "tokens", "batch"]
        return names + ["long"] * ("long" in self.golden) + ["bf16"] * ("bf16_rms_error" in self.golden)

    def expected(self, name):
        return np.load(self.directory / f"{name}.npy")

    def score(self, ids, encoding, hidden=False):
        with tempfile.TemporaryDirectory() as folder:
            logits, states = Path(folder, "logits.npy"), Path(folder, "hidden.npy")
            words = ["score", "--model-path", self.directory, "--prompt-token-ids", ids_text(ids), "--return-logits",
                "all",
                     "--quantization-encoding", encoding, "--output", f"npy:{logits}"]
            if hidden:
                words += ["--return-hidden-states", "all_layers", "--hidden-states-output", states]
            run_herd(self.herd, [*words, *self.flags])
            return np.load(states if hidden else logits)

    def greedy(self, prompts):
        return [line["token_ids"] for line in generate(self.herd, self.directory, prompts, NEW_TOKENS,
            FLOAT32 + self.flags)]

    def check_logits(self):
        actual = self.score(self.golden["prompt_token_ids"], "float32")
        return worst("logits", actual, self.expected("logits"), self.golden["relative_tolerance"])

    def check_hidden(self):
        actual = self.score(self.golden["prompt_token_ids"], "float32", hidden=True)
        return worst("hidden", actual, self.expected("hidden"), self.golden["relative_tolerance"])

    def check_tokens(self):
        return equal_tokens(self.greedy([self.golden["prompt_token_ids"]])[0], self.golden["greedy_token_ids"])

    def check_batch(self):
        """The prompt with answers already begun: each continues into the same answer, all in one batch."""
        prompt, answer = self.golden["prompt_token_ids"], self.golden["greedy_token_ids"]
        begun = [0, 1, 5, 17, 40]
        for count, tokens in zip(begun, self.greedy([prompt + answer[:count] for count in begun])):
            equal_tokens(tokens[:len(answer) - count], answer[count:])
        return f"{len(begun)} prompts"

    def check_long(self):
        long = self.golden["long"]
        rows = self.score(long["prompt_token_ids"], "float32")[long["logit_positions"]]
        line = worst("long_logits", rows, self.expected("long_logits"), self.golden["relative_tolerance"])
        return f"{line}; {equal_tokens(self.greedy([long['prompt_token_ids']])[0], long['greedy_token_ids'])}"

    def check_bf16(self):
        actual = self.score(self.golden["prompt_token_ids"], "bfloat16").astype(np.float64)
        rms = float(np.sqrt(np.mean((actual - self.expected("logits")) ** 2)))
        theirs = self.golden["bf16_rms_error"]
        line = (f"rms error {rms:.4f}, transformers in bfloat16 {theirs:.4f}, ratio {rms / theirs:.2f}, "
                f"bound {BF16_FACTOR}")
        if not rms <= BF16_FACTOR * theirs:
            raise Wrong(line)
        return line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd", type=Path)
    parser.add_argument("--only", default="", help="fixtures whose name contains this")
    parser.add_argument("--flags", default="", help="more flags for every herd command")
    options = parser.parse_args()
    passed = failed = skipped = 0
    for path in sorted((GOLDEN / "models").glob(f"*{options.only}*/golden.json")):
        fixture = Fixture(path.parent, options.herd.resolve(), shlex.split(options.flags))
        for name in fixture.checks():
            try:
                line = getattr(fixture, f"check_{name}")()
                passed += 1
                print(f"PASSED {path.parent.name} {name}: {line}", flush=True)
            except (Wrong, HerdFailed, OSError, ValueError, KeyError) as error:
                refused = options.flags and getattr(error, "code", None) == 2
                skipped, failed = skipped + bool(refused), failed + (not refused)
                print(f"{'SKIPPED' if refused else 'FAILED'} {path.parent.name} {name}: {error}", flush=True)
    print(f"golden_test: {passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0 or passed == 0)


if __name__ == "__main__":
    sys.exit(main())
