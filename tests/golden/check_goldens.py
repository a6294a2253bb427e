#!/usr/bin/env python3
"""Judges tests/golden/models with the float64 forward pass of llama_reference.py. Needs only numpy.

    check_goldens.py [--mutations]

Always: logits, hidden states and greedy tokens equal the float64 ones within 1e-5 of their maximum.
--mutations: also makes classic mistakes one by one and prints how far each moves the logits, in units of the tolerance
that the end-to-end test applies; every mistake must be noticed by at least one fixture.
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np

from llama_reference import MUTATIONS, forward, read_directory

MODELS = Path(__file__).resolve().parent / "models"
ORACLE_BOUND = 1e-5


def relative(actual, expected):
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def check(directory):
    """Error strings of one fixture, and a line of figures."""
    golden = json.loads((directory / "golden.json").read_text())
    config, tensors = read_directory(directory)
    logits, hidden = np.load(directory / "logits.npy"), np.load(directory / "hidden.npy")
    errors = []
    if logits.shape != (len(golden["prompt_token_ids"]), config["vocab_size"]):
        errors.append(f"logits.npy has shape {logits.shape}")
    # One pass over prompt and answer: causal, so its first rows are the prompt's.
    ids = golden["prompt_token_ids"] + golden["greedy_token_ids"]
    prompt = len(golden["prompt_token_ids"])
    all_logits, all_hidden = forward(config, tensors, ids)
    figures = {"logits": relative(logits, all_logits[:prompt])}
    figures["hidden"] = max(relative(hidden[i], all_hidden[i, :prompt]) for i in range(len(hidden)))
    steps = all_logits[prompt - 1:-1]
    if not np.array_equal(steps.argmax(axis=-1), golden["greedy_token_ids"]):
        errors.append("greedy tokens differ")
    top2 = np.sort(steps, axis=-1)[:, -2:]
    margin = float(((top2[:, 1] - top2[:, 0]) / np.abs(steps).max(axis=-1)).min())
    if margin < golden["margin_factor"] * golden["relative_tolerance"]:
        errors.append(f"smallest top-2 margin {margin:.2e} of max|logit|")
    if "long" in golden:
        long = golden["long"]
        stored = np.load(directory / "long_logits.npy")
        long_ids = long["prompt_token_ids"] + long["greedy_token_ids"]
        rows = forward(config, tensors, long_ids)[0]
        figures["long"] = relative(stored, rows[long["logit_positions"]])
        if not np.array_equal(rows[len(long["prompt_token_ids"]) - 1:-1].argmax(axis=-1), long["greedy_token_ids"]):
            errors.append("long: greedy tokens differ")
    for name, value in figures.items():
        if value > ORACLE_BOUND:
            errors.append(f"{name} differ by {value:.2e} of the maximum")
    text = ", ".join(f"{name} {value:.1e}" for name, value in figures.items())
    return errors, f"{text}, smallest margin {margin:.1e}"


def mutation_table(directories):
    """mutation -> {fixture: shift of the logits in units of the tolerance}."""
    table = {mutation: {} for mutation in MUTATIONS}
    for directory in directories:
        golden = json.loads((directory / "golden.json").read_text())
        config, tensors = read_directory(directory)
        logits = np.load(directory / "logits.npy")
        for mutation in MUTATIONS:
            wrong = forward(config, tensors, golden["prompt_token_ids"], mutation)[0]
            table[mutation][directory.name] = relative(wrong, logits) / golden["relative_tolerance"]
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", action="store_true")
    options = parser.parse_args()
    directories = sorted(path.parent for path in MODELS.glob("*/golden.json"))
    failed = not directories
    for directory in directories:
        errors, line = check(directory)
        print(f"{'FAILED' if errors else 'PASSED'} {directory.name}: {'; '.join(errors) or line}")
        failed |= bool(errors)
    if options.mutations:
        for mutation, shifts in mutation_table(directories).items():
            best = max(shifts, key=shifts.get)
            seen = sum(shift > 10 for shift in shifts.values())
            print(f"{mutation}: noticed (> 10 tolerances) by {seen} of {len(shifts)}, "
                  f"most by {best} ({shifts[best]:.0f})")
            failed |= seen == 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
