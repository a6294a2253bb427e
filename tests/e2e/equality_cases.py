"""Requests to `herd generate`, and the same over HTTP: text, token ids and log-probabilities (as bits) have to be equal. Shared by
serve_equality_test.py, cluster_equality_test.py and cluster_netns_test.py. Standard library only.
"""
import json
import math
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from serve_process import DEMO_MODEL, float32

PROMPTS = ("The capital of France is", "Once upon a time, in a village by the sea, there lived",
           "One, two, three, four, five, six, seven,", "Grüße — naïve café, 日本: the opposite of hot is")
STOP_IDS = [261, 300, 46]
BYTE_IDS = (127, 162, 94, 95, 96, 97, 98, 99)  # C3, E6, A1 … A6: together UTF-8 at times, at others not

# Flags of `generate`, and the same as fields of a request. Every group runs with every prompt.
GROUPS = (
    ("greedy, logprobs 3", ["--temperature", "0", "--logprobs", "3"], {"temperature": 0, "logprobs": 3}),
    ("greedy, past the end, 48 tokens", ["--temperature", "0", "--ignore-eos", "--max-new-tokens", "48"],
     {"temperature": 0, "ignore_eos": True, "max_tokens": 48}),
    ("stop strings", ["--temperature", "0", "--ignore-eos", "--stop", ".", "--stop", "e ", "--logprobs", "0"],
     {"temperature": 0, "ignore_eos": True, "stop": [".", "e "], "logprobs": 0}),
    ("stop token ids", ["--temperature", "1", "--seed", "5", "--ignore-eos", "--stop-token-ids",
                        ",".join(map(str, STOP_IDS))],
     {"temperature": 1, "seed": 5, "ignore_eos": True, "stop_token_ids": STOP_IDS}),
    ("temperature", ["--temperature", "0.8", "--seed", "7", "--logprobs", "2"],
     {"temperature": 0.8, "seed": 7, "logprobs": 2}),
    ("top-k", ["--temperature", "1.2", "--top-k", "20", "--seed", "11"],
     {"temperature": 1.2, "top_k": 20, "seed": 11}),
    ("top-p", ["--temperature", "1", "--top-p", "0.7", "--seed", "3", "--logprobs", "1"],
     {"temperature": 1, "top_p": 0.7, "seed": 3, "logprobs": 1}),
    ("min-p", ["--temperature", "1.3", "--min-p", "0.05", "--seed", "4", "--logprobs", "5"],
     {"temperature": 1.3, "min_p": 0.05, "seed": 4, "logprobs": 5}),
    ("repetition penalty", ["--temperature", "0.9", "--repetition-penalty", "1.3", "--seed", "1"],
     {"temperature": 0.9, "repetition_penalty": 1.3, "seed": 1}),
    ("greedy with repetition penalty", ["--temperature", "0", "--repetition-penalty", "1.2", "--ignore-eos",
                                        "--logprobs", "2"],
     {"temperature": 0, "repetition_penalty": 1.2, "ignore_eos": True, "logprobs": 2}),
    ("presence penalty", ["--temperature", "1", "--presence-penalty", "1.5", "--seed", "8"],
     {"temperature": 1, "presence_penalty": 1.5, "seed": 8}),
    ("frequency penalty", ["--temperature", "1", "--frequency-penalty", "0.8", "--seed", "9", "--logprobs", "1"],
     {"temperature": 1, "frequency_penalty": 0.8, "seed": 9, "logprobs": 1}),
    ("min tokens", ["--temperature", "0", "--min-tokens", "20"], {"temperature": 0, "min_tokens": 20}),
    ("logit bias", ["--temperature", "0.7", "--seed", "2", "--logit-bias", "300:5", "--logit-bias", "46:-100"],
     {"temperature": 0.7, "seed": 2, "logit_bias": {"300": 5, "46": -100}}),
    ("single bytes, not always UTF-8", ["--temperature", "2", "--seed", "6", "--ignore-eos", "--logprobs", "4",
                                        *(word for one in BYTE_IDS for word in ("--logit-bias", f"{one}:20"))],
     {"temperature": 2, "seed": 6, "ignore_eos": True, "logprobs": 4,
      "logit_bias": {str(one): 20 for one in BYTE_IDS}}),
    ("everything", ["--temperature", "1.1", "--top-k", "50", "--top-p", "0.9", "--min-p", "0.01", "--seed", "123456789",
                    "--repetition-penalty", "1.1", "--presence-penalty", "0.3", "--frequency-penalty", "0.2",
                    "--min-tokens", "5", "--stop", "the", "--logprobs", "2"],
     {"temperature": 1.1, "top_k": 50, "top_p": 0.9, "min_p": 0.01, "seed": 123456789, "repetition_penalty": 1.1,
      "presence_penalty": 0.3, "frequency_penalty": 0.2, "min_tokens": 5, "stop": "the", "logprobs": 2}),
)
# Of those some that hold most of what a request can ask for, for prompts that take long.
LONG_GROUPS = ("greedy, logprobs 3", "stop strings", "top-p", "everything")

# The shape of Llama 3.2 1B, for random weights.
CONFIG_1B = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192,
             "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256,
             "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": True,
             "torch_dtype": "bfloat16", "bos_token_id": 128000, "eos_token_id": 128001, "hidden_act": "silu"}


@dataclass
class Case:
    name: str
    fields: dict        # of the request, beside its prompt
    prompt: object      # text, or token ids
    line: dict          # what `generate` says
    wanted: dict = field(default_factory=dict)  # that in the form of asked(), once spell() has run


def cases_of(herd, prompts=PROMPTS, model=(DEMO_MODEL,), groups=None, new_tokens=24, flags=()):
    """What `generate` says to every prompt with every group of flags."""
    found = []
    for name, own, fields in GROUPS:
        if groups and name not in groups:
            continue
        lines = generated(herd, model, prompts, [*own, *flags], new_tokens)
        found += [Case(f"{name}, prompt {at}", {"max_tokens": new_tokens, **fields}, prompt, line)
                  for at, (prompt, line) in enumerate(zip(prompts, lines))]
    return found


def generated(herd, model, prompts, flags, new_tokens):
    words = [str(herd), "generate", *map(str, model), "--quiet", "--output", "json"]
    if "--max-new-tokens" not in flags:
        words += ["--max-new-tokens", str(new_tokens)]
    for prompt in prompts:
        words += ["--prompt", prompt] if isinstance(prompt, str) else ["--prompt-token-ids", ",".join(map(str, prompt))]
    run = subprocess.run([*words, *flags], capture_output=True, timeout=600, check=True)
    return [json.loads(line) for line in run.stdout.decode().splitlines()]


def random_prompts(count, tokens, vocabulary):
    """Of token ids, each with a beginning of its own."""
    rng = random.Random(600)
    return [[rng.randrange(vocabulary // 4, vocabulary) for _ in range(tokens)] for _ in range(count)]


def bits(logprob):
    return float32(logprob if math.isfinite(logprob) else -9999.0)


class TokenTexts:
    """Texts of ids, as the server spells them: keys of top_logprobs."""

    def __init__(self, server):
        self.server, self.known = server, {}

    def __call__(self, token):
        if token not in self.known:
            answer = self.server.post("/detokenize", {"tokens": [token]}).json()
            self.known[token] = answer.get("prompt", "")  # of a model without a tokenizer each is empty
        return self.known[token]


def spell(cases, server):
    """What each case has to come to, with texts of tokens as that server spells them."""
    texts = TokenTexts(server)
    for case in cases:
        case.wanted = wanted_of(case.line, texts)


def wanted_of(line, texts):
    """A line of `generate` in the form of asked()."""
    logprobs = [(bits(entry["logprob"]), top_of(entry, texts)) for entry in line.get("logprobs", [])]
    return {"prompt": line["prompt_token_ids"], "ids": line["token_ids"], "text": line["text"],
            "finish": line["finish_reason"], "logprobs": logprobs}


def top_of(entry, texts):
    """{text: bits} of the most likely tokens and the chosen one; of equal texts the likelier one's."""
    top = {}
    for token, logprob in [*entry["top"], [entry["token_id"], entry["logprob"]]]:
        top.setdefault(texts(token), bits(logprob))
    return top


def logprobs_of(choice):
    if choice["logprobs"] is None:
        return []
    parts = choice["logprobs"]
    assert len(parts["tokens"]) == len(parts["token_logprobs"]) == len(parts["text_offset"])
    return [(float32(chosen), {text: float32(value) for text, value in top.items()})
            for chosen, top in zip(parts["token_logprobs"], parts["top_logprobs"])]


def asked(server, case, streamed):
    """One request; its outcome, or what went wrong as a string."""
    body = {"prompt": case.prompt, "return_token_ids": True, **case.fields}
    if not streamed:
        answer = server.post("/v1/completions", body)
        if answer.status != 200:
            return f"status {answer.status}: {answer.body[:300]}"
        choice = answer.json()["choices"][0]
        return {"prompt": choice["prompt_token_ids"], "ids": choice["token_ids"], "text": choice["text"],
                "finish": choice["finish_reason"], "logprobs": logprobs_of(choice)}
    end = server.stream("/v1/completions", {**body, "stream": True})
    if not getattr(end, "whole", False) or not end.events[-1].done:
        return f"not a whole stream: {end}"[:300]
    choices = [event.json()["choices"][0] for event in end.events[:-1]]
    if any(len(choice["token_ids"]) != 1 for choice in choices):
        return f"a frame without its own token: {[choice['token_ids'] for choice in choices]}"
    if any(choice["finish_reason"] for choice in choices[:-1]):
        return "a finish_reason before the end"
    return {"prompt": choices[0]["prompt_token_ids"], "ids": [choice["token_ids"][0] for choice in choices],
            "text": "".join(choice["text"] for choice in choices), "finish": choices[-1]["finish_reason"],
            "logprobs": [one for choice in choices for one in logprobs_of(choice)]}


def compare(checks, server, name, cases, threads, streamed):
    """All cases at once on so many threads; `streamed(index)` says which ones are. One line for all that are equal, one for each
    that is not."""
    def outcome_of(indexed):
        index, case = indexed
        return asked(server, case, streamed(index))

    with ThreadPoolExecutor(threads) as pool:
        outcomes = list(pool.map(outcome_of, enumerate(cases)))
    wrong = 0
    for case, outcome in zip(cases, outcomes):
        if outcome == case.wanted:
            continue
        wrong += 1
        what = outcome
        if isinstance(outcome, dict):
            what = {key: (outcome[key], case.wanted[key]) for key in outcome if outcome[key] != case.wanted[key]}
        checks.check(f"{name}: {case.name}", False, what)
    checks.check(f"{name}: {len(cases) - wrong} of {len(cases)} equal", wrong == 0 and len(cases) > 0)
