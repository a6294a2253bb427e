#!/usr/bin/env python3
"""HTTP answers are `herd generate`'s: the same text, token ids and log-probabilities (as bits), whole and streamed, one
at a time and 64 at once in random order, whatever the parallelism and the step size. Standard library only.

    serve_equality_test.py HERD_BINARY
"""
import random
import sys

from equality_cases import cases_of, compare, spell
from serve_process import Checks, Server, TestFolder

HERD = sys.argv[1]


def main():
    checks = Checks()
    cases = cases_of(HERD)
    texts = [case.line["text"] for case in cases]
    checks.check(f"generate answered {len(cases)} requests", len(cases) == 64, len(cases))
    endings = {case.line["finish_reason"] for case in cases}
    checks.check("some end at a stop, some at their length", endings == {"stop", "length"}, endings)
    checks.check("some texts hold what is no UTF-8", any("\ufffd" in text for text in texts))
    checks.check("some texts hold letters of several tokens", any(letter in text for text in texts for letter in "æáã"),
                 [text for text in texts if "\ufffd" in text])
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"order of requests: seed {seed}")
    random.Random(seed).shuffle(cases)

    with TestFolder() as folder:
        with Server(HERD, folder=folder, checks=checks) as server:
            spell(cases, server)
            for threads in (1, 64):
                for streamed in (False, True):
                    compare(checks, server, f"{'streamed' if streamed else 'whole'}, {threads} at once", cases, threads,
                            lambda _, streamed=streamed: streamed)
        # 130 blocks hold one whole context and hardly more: sequences are preempted and computed again.
        for flags in (["-tp", "2"], ["--max-num-batched-tokens", "64", "--max-num-seqs", "16"],
                      ["-dp", "2", "--num-blocks", "130"], ["--no-enable-prefix-caching", "--block-size", "64"]):
            with Server(HERD, *flags, folder=folder, checks=checks) as server:
                compare(checks, server, f"{' '.join(flags)}, 64 at once", cases, 64, lambda index: index % 2 == 0)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
