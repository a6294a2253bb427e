#!/usr/bin/env python3
"""No test question of the demo model was in its training data.

Regenerates the training data with tools/demo_model/make_data.py and compares it with
tests/golden/demo_model_questions.json. Exit code 0: nothing leaked; 1: something did, and it is printed.
Standard library only.

    demo_model_leak_test.py [--questions FILE] [--train FILE.jsonl]
"""
import argparse
import collections
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "demo_model"))
sys.dont_write_bytecode = True
import make_data  # noqa: E402

KINDS = {"capital", "colour", "sum", "counting", "opposite"}


def normalised(text):
    """Upper and lower case, punctuation and spaces do not make a question a new one. '+' and '=' count as words."""
    return " ".join(re.findall(r"\w+|[+=]", text.casefold()))


def numbers(text):
    return [int(n) for n in re.findall(r"\d+", text)]


def unordered(pair):
    return tuple(sorted(pair))


def sums_of(text):
    """Operand pairs of every 'a + b' in a text."""
    return {unordered(map(int, m)) for m in re.findall(r"(\d+)\s*\+\s*(?=(\d+))", text)}


def training_sums(records):
    """Every unordered operand pair the records add up, whatever the wording: from the answers, which restate the sum, and
    from the questions they belong to, where any two numbers count as a pair."""
    pairs = set()
    for record in records:
        if "text" in record:
            pairs |= sums_of(record["text"])
            continue
        question = ""
        for message in record["messages"]:
            text = message["content"]
            pairs |= sums_of(text)
            if message["role"] == "user":
                question = text
            elif message["role"] == "assistant" and "+" in text:
                asked = numbers(question)
                pairs |= {unordered((a, b)) for i, a in enumerate(asked) for b in asked[i + 1:]}
    return pairs


def check(questions, records):
    """Returns the list of problems."""
    problems = []

    # the questions themselves
    kinds = collections.Counter(q["kind"] for q in questions)
    if len(questions) != 200 or set(kinds) != KINDS:
        problems.append(f"expected 200 questions of {sorted(KINDS)}, found {dict(kinds)}")
    if len({normalised(q["question"]) for q in questions}) != len(questions):
        problems.append("a question occurs twice")
    for q in questions:
        if not q["accept"] or not all(normalised(a) for a in q["accept"]):
            problems.append(f"no answer to compare with: {q}")
        for a in q["accept"]:
            if re.search(rf"(?<!\w){re.escape(a.casefold())}(?!\w)", q["question"].casefold()):
                problems.append(f"repeating the question would be a right answer: {q}")
    # one constant answer must not be right often
    for kind in kinds:
        top = collections.Counter(a for q in questions if q["kind"] == kind for a in q["accept"]).most_common(1)
        if top and top[0][1] > kinds[kind] * 0.4:
            problems.append(f"{kind}: {top[0][0]!r} answers {top[0][1]} of {kinds[kind]}")

    # wordings: no question anywhere in the training text, not even inside a longer one
    texts = [r["text"] if "text" in r else "\n".join(m["content"] for m in r["messages"]) for r in records]
    corpus = "\n".join(" ".join(normalised(part) for part in text.split("\n")) for text in texts)
    for q in questions:
        if normalised(q["question"]) in corpus:
            problems.append(f"in the training data: {q['question']!r}")

    # sums: no pair of operands, in neither order
    trained = training_sums(records)
    tested = {}
    for q in questions:
        if q["kind"] == "sum":
            operands = numbers(q["question"])
            if len(operands) != 2 or q["accept"] != [str(sum(operands))]:
                problems.append(f"not a sum of two numbers with its result: {q}")
            tested[unordered(operands)] = q["question"]
    for pair in sorted(set(tested) & trained):
        problems.append(f"the operands {pair} of {tested[pair]!r} were added in training")

    # facts: apart from the sums, what is asked must have been there to learn
    for q in questions:
        if q["kind"] in ("capital", "colour", "opposite") and not any(normalised(a) in corpus for a in q["accept"]):
            problems.append(f"never taught: {q}")

    print(f"{len(records)} training records, {len(corpus)} characters, {len(trained)} operand pairs added in training")
    print(f"{len(questions)} test questions {dict(kinds)}, {len(tested)} operand pairs tested")
    return problems


def self_test(questions, records):
    """The check has to notice planted leaks; otherwise its silence says nothing."""
    sum_question = next(q for q in questions if q["kind"] == "sum")
    other = next(q for q in questions if q["kind"] == "capital")
    a, b = numbers(sum_question["question"])
    plants = {
        "a question in other letters and punctuation": [{"messages": [{"role": "user", "content": "Hi,  " + other["question"].upper() + "!!"},
                                                                     {"role": "assistant", "content": "No."}]}],
        "a test sum the other way round in plain text": [{"text": f"So {b}+{a}={a + b}"}],
        "a test sum in words": [{"messages": [{"role": "user", "content": f"{b} cats, {a} dogs?"},
                                              {"role": "assistant", "content": f"{b} + {a} = {a + b}."}]}],
    }
    sample = records[:50]
    before = set(check(questions, sample))
    missed = [name for name, planted in plants.items() if set(check(questions, sample + planted)) <= before]
    return [f"the test itself is broken: did not notice {name}" for name in missed]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, default=ROOT / "tests/golden/demo_model_questions.json")
    parser.add_argument("--train", type=Path, help="check this file instead of regenerating the training data")
    args = parser.parse_args()
    questions = json.loads(args.questions.read_text(encoding="utf-8"))
    if args.train:
        records = [json.loads(line) for line in open(args.train, encoding="utf-8")]
    else:
        records = make_data.training_records()
        if make_data.test_questions() != questions:
            print("FAIL: make_data.py generates other questions than the file has")
            return 1
    print("planted leaks:")
    problems = self_test(questions, records)
    print("training data:")
    problems += check(questions, records)
    for problem in problems:
        print("FAIL:", problem)
    print("FAILED" if problems else "passed: no test question and no test sum is in the training data")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
