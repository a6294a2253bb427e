"""Runs the herd binary for the end-to-end tests. Standard library only."""
import json
import subprocess
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


class HerdFailed(Exception):
    def __init__(self, what, code=None):
        super().__init__(what)
        self.code = code


def run_herd(herd, arguments, timeout_s=120):
    """stdout of a run that must succeed."""
    command = [str(herd), *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise HerdFailed(f"no end after {timeout_s} s: {shown(command)}") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")[-2000:]
        raise HerdFailed(f"exit code {done.returncode}: {shown(command)}\n{said}", done.returncode)
    return done.stdout.decode()


def shown(command):
    """A command line for people: long lists of ids cut."""
    return " ".join(word if len(word) < 200 else word[:40] + "…" for word in command)


def ids_text(ids):
    return ",".join(map(str, ids))


def generate(herd, model, prompts, new_tokens, flags=()):
    """One JSON object per prompt of `herd generate`, prompts being lists of token ids."""
    words = ["generate", "--model-path", model, "--max-new-tokens", new_tokens, "--ignore-eos", "--output", "json"]
    for ids in prompts:
        words += ["--prompt-token-ids", ids_text(ids)]
    lines = [json.loads(line) for line in run_herd(herd, [*words, *flags], timeout_s=600).splitlines()]
    if len(lines) != len(prompts):
        raise HerdFailed(f"{len(prompts)} prompts gave {len(lines)} lines of JSON")
    for ids, line in zip(prompts, lines):
        if line["prompt_token_ids"] != ids:
            raise HerdFailed("prompt_token_ids are not the ones given")
        if line["finish_reason"] != "length":
            raise HerdFailed(f"finish_reason is {line['finish_reason']}, not length")
    return lines


def first_difference(actual, expected):
    """Index of the first token that differs, or None."""
    for i, (a, b) in enumerate(zip(actual, expected)):
        if a != b:
            return i
    return None if len(actual) == len(expected) else min(len(actual), len(expected))
