#!/usr/bin/env python3
"""A prompt is computed once, however many want it at the same time: choices of one request, equal prompts of a list,
requests with one long beginning that arrive together, prompts of `herd generate`. What the cache served is counted in
/metrics and in `usage`, and the answers are those of a server without a cache. Standard library only.

    shared_prompt_test.py HERD_BINARY
"""
import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from serve_process import DEMO_MODEL, Checks, Server, TestFolder

HERD = sys.argv[1]
BLOCK = 16
RANDOM = random.Random(20)
LONG = 1000  # tokens: two steps and more


def new_prompt(tokens=LONG):
    """Ids that no other prompt begins with."""
    return [RANDOM.randrange(5, 4000) for _ in range(tokens)]


def found(tokens):
    """What an equal prompt finds: all full blocks but the one of its last token."""
    return (tokens - 1) // BLOCK * BLOCK


def hits(server):
    return sum(value for (name, _), value in server.metrics().items() if name == "vllm:prefix_cache_hits_total")


def completion(server, prompt, **fields):
    body = {"prompt": prompt, "max_tokens": 4, "ignore_eos": True, "return_token_ids": True, "seed": 1, **fields}
    answer = server.post("/v1/completions", body)
    return answer.json() if answer.status == 200 else {"choices": [], "usage": {}, "refused": answer.body[:300]}


def token_ids(answer):
    return [choice["token_ids"] for choice in answer["choices"]]


def cached(answer):
    return (answer["usage"].get("prompt_tokens_details") or {}).get("cached_tokens")


def beside(checks, server, plain, name, wanted_hits, ask):
    """ask(server) gives token ids; the server with a cache finds so much of the prompts, and answers as the plain one."""
    before = hits(server)
    answers = ask(server)
    checks.equal(f"{name}: prompt tokens found", hits(server) - before, wanted_hits)
    checks.equal(f"{name}: the answers of a server without a cache", answers, ask(plain))
    return answers


def together(bodies):
    def ask(server):
        with ThreadPoolExecutor(len(bodies)) as pool:
            return [token_ids(answer) for answer in pool.map(lambda body: completion(server, **body), bodies)]
    return ask


def endpoint(checks, server, plain):
    for n in (2, 8):
        prompt = new_prompt()
        answers = beside(checks, server, plain, f"{n} choices", (n - 1) * found(LONG),
                         lambda one, prompt=prompt, n=n: token_ids(completion(one, prompt, n=n, temperature=1)))
        checks.equal(f"{n} choices: so many answers", len(answers), n)
    prompt = new_prompt()
    beside(checks, server, plain, "3 equal prompts in a list", 2 * found(LONG),
           lambda one: token_ids(completion(one, [prompt] * 3)))
    prompt = new_prompt()
    usage = completion(server, [prompt] * 3)["usage"]
    checks.equal("3 equal prompts in a list: cached_tokens", cached({"usage": usage}), 2 * found(LONG))
    checks.equal("one choice more than the first: cached_tokens of the prompt, which counts once",
                 cached(completion(server, new_prompt(), n=2)), 0)

    # The common part is 40 blocks and 8 tokens: the blocks are found, the tokens and the own end are computed.
    beginning = new_prompt(40 * BLOCK + 8)
    bodies = [{"prompt": beginning + new_prompt(60)} for _ in range(6)]
    beside(checks, server, plain, "6 requests that arrive together with one beginning", 5 * 40 * BLOCK, together(bodies))
    bodies = [{"prompt": new_prompt()}] * 16
    beside(checks, server, plain, "16 equal requests that arrive together", 15 * found(LONG), together(bodies))

    # Log-probabilities of the prompt are computed for each, cached or not.
    prompt = new_prompt(300)
    beside(checks, server, plain, "echo with logprobs of 2 choices", 0,
           lambda one: [choice["logprobs"]["token_logprobs"] for choice in
                        completion(one, prompt, n=2, echo=True, logprobs=1)["choices"]])

    text = " ".join(RANDOM.choice(("one", "two", "sea", "boat", "tree")) for _ in range(600))
    before = hits(server)
    answer = server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], "n": 3,
                                                  "max_tokens": 2, "ignore_eos": True}).json()
    checks.equal("chat, 3 choices: prompt tokens found", hits(server) - before,
                 2 * found(answer["usage"]["prompt_tokens"]))


def generate():
    text = " ".join(RANDOM.choice(("red", "blue", "house", "lake", "wind")) for _ in range(500))
    run = subprocess.run([HERD, "generate", DEMO_MODEL, "--quiet", "--output", "json", "--max-new-tokens", "4",
                          *[word for _ in range(3) for word in ("--prompt", text)]],
                         capture_output=True, timeout=120, check=True)
    return [json.loads(line) for line in run.stdout.decode().splitlines()]


def main():
    checks = Checks()
    with TestFolder() as folder:
        with Server(HERD, folder=folder, checks=checks) as server, \
             Server(HERD, "--no-enable-prefix-caching", folder=folder, checks=checks) as plain:
            endpoint(checks, server, plain)
    lines = generate()
    tokens = len(lines[0]["prompt_token_ids"])
    checks.equal("generate, a prompt three times: cached_tokens", [line["cached_tokens"] for line in lines],
                 [0, found(tokens), found(tokens)])
    checks.check("generate: a prompt of several steps", tokens > 600, tokens)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
