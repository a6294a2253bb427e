#!/usr/bin/env python3
"""The demo model answers its 200 held-out questions through herd: at least 95 % right, in one batched run.

    demo_model_test.py HERD_BINARY
"""
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def right(answer, accept):
    """One of `accept` stands as whole words in the first line, case folded."""
    line = answer.strip().split("\n")[0].casefold()
    return any(re.search(rf"(?<!\w){re.escape(text.casefold())}(?!\w)", line) for text in accept)


def main():
    questions = json.loads((ROOT / "tests/golden/demo_model_questions.json").read_text())
    assert len(questions) == 200, len(questions)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as prompts:
        json.dump([{"prompt": q["question"]} for q in questions], prompts)
        prompts.flush()
        out = subprocess.run([sys.argv[1], "generate", "--model-path", str(ROOT / "config/demo_model"), "--instruct",
                              "--input-prompts", prompts.name, "--max-new-tokens", "40", "--output", "json"],
                             capture_output=True, text=True, timeout=600)
    if out.returncode != 0:
        sys.exit(out.stderr)
    answers = [json.loads(line)["text"] for line in out.stdout.splitlines()]
    assert len(answers) == 200, len(answers)
    total, good = Counter(), Counter()
    for question, answer in zip(questions, answers):
        total[question["kind"]] += 1
        if right(answer, question["accept"]):
            good[question["kind"]] += 1
        else:
            print(f"wrong: {question['question']!r} -> {answer!r}, wanted {question['accept']}")
    for kind in sorted(total):
        print(f"{kind}: {good[kind]} of {total[kind]}")
    print(f"all: {sum(good.values())} of 200, bar 190")
    # The scorer itself must be able to say no.
    assert not right("The capital is Parisian.", ["Paris"]) and right("it is PARIS.", ["Paris"])
    return 0 if sum(good.values()) >= 190 else 1


if __name__ == "__main__":
    sys.exit(main())
