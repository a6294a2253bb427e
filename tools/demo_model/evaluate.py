#!/usr/bin/env python3
"""Asks the demo model the test questions with transformers, greedily, and prints the share of right answers by kind.

    evaluate.py --model DIR --questions FILE.json [--dtype float32|bfloat16] [--verbose]

An answer is right when one of the accepted strings stands in its first line as whole words, upper or lower case.
The exit code is 0 when at least --minimum of all answers are right.
"""
import argparse
import collections
import json
import re

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def is_right(answer, accept):
    lines = answer.strip().casefold().split("\n")
    return any(re.search(rf"(?<!\w){re.escape(a.casefold())}(?!\w)", lines[0]) for a in accept)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--questions", required=True)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--minimum", type=float, default=0.95)
    parser.add_argument("--verbose", action="store_true", help="print every answer, not only the wrong ones")
    args = parser.parse_args()
    torch.set_num_threads(1)

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).eval()
    right, total = collections.Counter(), collections.Counter()
    for entry in json.load(open(args.questions, encoding="utf-8")):
        text = tokenizer.apply_chat_template([{"role": "user", "content": entry["question"]}], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False,
                                 pad_token_id=model.generation_config.eos_token_id[0])
        answer = tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)
        good = is_right(answer, entry["accept"])
        total[entry["kind"]] += 1
        right[entry["kind"]] += good
        if args.verbose or not good:
            print(f"{'right' if good else 'WRONG'}  {entry['question']}  ->  {answer!r}, expected {entry['accept']}")
    for kind in total:
        print(f"{kind:10} {right[kind]:4} of {total[kind]:4}  {100 * right[kind] / total[kind]:5.1f} %")
    share = sum(right.values()) / sum(total.values())
    print(f"{'all':10} {sum(right.values()):4} of {sum(total.values()):4}  {100 * share:5.1f} %  ({args.dtype})")
    return 0 if share >= args.minimum else 1


if __name__ == "__main__":
    raise SystemExit(main())
