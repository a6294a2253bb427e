#!/usr/bin/env python3
"""Models answer through `herd serve`, on whatever device the flags name. Standard library only.

    serve_answers_test.py HERD_BINARY [--flags "--devices gpu"] [--smollm2 GGUF]

The demo model: its 200 held-out questions, 32 at a time, at least 95 % right, as on the command line; the answers of the
first 20 asked alone are the same bytes as in the crowd. SmolLM2: knows two facts. --flags goes to every `herd serve`.
"""
import argparse
import json
import shlex
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from demo_model_test import right
from serve_process import Checks, Server

ROOT = Path(__file__).resolve().parents[2]
TOGETHER, RIGHT_MIN, ALONE = 32, 190, 20
FACTS = [("What is the capital of France?", ["Paris"]), ("Who wrote Romeo and Juliet?", ["Shakespeare"])]


def ask(server, question, max_tokens):
    """The answer's text; what went wrong in brackets, which no question accepts."""
    answer = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": question}],
                                                  "max_tokens": max_tokens, "temperature": 0})
    if answer.status != 200:
        return f"[{answer.status} {answer.body[:200]!r}]"
    return answer.json()["choices"][0]["message"]["content"]


def check_demo(herd, flags, folder, checks):
    questions = json.loads((ROOT / "tests/golden/demo_model_questions.json").read_text())
    with Server(herd, *flags, folder=folder, checks=checks) as server:
        with ThreadPoolExecutor(TOGETHER) as pool:
            answers = list(pool.map(lambda entry: ask(server, entry["question"], 40), questions))
        alone = [ask(server, entry["question"], 40) for entry in questions[:ALONE]]
    wrong = [(entry["question"], answer) for entry, answer in zip(questions, answers)
             if not right(answer, entry["accept"])]
    good = len(questions) - len(wrong)
    checks.check(f"demo model: {good} of {len(questions)} questions right, bar {RIGHT_MIN}",
                 len(questions) == 200 and good >= RIGHT_MIN, wrong[:10])
    checks.equal(f"demo model: {ALONE} answers are the same alone and among {TOGETHER}", alone, answers[:ALONE])


def check_smollm2(herd, flags, folder, checks, gguf):
    with Server(herd, *flags, folder=folder, model=(gguf,), checks=checks) as server:
        for question, accept in FACTS:
            text = ask(server, question, 48)
            # Its sentences may run on: any line may hold the fact.
            checks.check(f"SmolLM2: {question} {text!r}", right(text.replace("\n", " "), accept), text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--flags", type=shlex.split, default=[])
    parser.add_argument("--smollm2", type=Path)
    arguments = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        check_demo(arguments.herd, arguments.flags, folder, checks)
        if arguments.smollm2 is None:
            checks.skip("SmolLM2 answers", "no file was named")
        else:
            check_smollm2(arguments.herd, arguments.flags, folder, checks, arguments.smollm2)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
