#!/usr/bin/env python3
"""What `--quantization-encoding` does to models in plain numbers and in blocks: which encodings are computed, which are refused and
where that is said, and that a stream of one encoding is not gone on with in another. Standard library only.

    encodings_test.py HERD_BINARY [--smollm2 GGUF]
"""
import argparse
import json
import re
import struct
import subprocess
import sys

from block_models import BLOCKS, MOST, model, write_models
from herd_process import ids_text
from serve_process import DEMO_MODEL, Answer, Checks, Server, StreamEnd, TestFolder

NEW_TOKENS = 8
PROMPT = [72, 101, 114, 100, 32, 105, 115]
COMPLETION = "/v1/completions"
ENCODING = "--quantization-encoding"
checks = Checks()


class Herd:
    def __init__(self, binary):
        self.binary = binary

    def run(self, *words, code=0):
        """(stdout, stderr) of a run that ends with `code`."""
        done = subprocess.run([self.binary, *map(str, words)], capture_output=True, timeout=300, stdin=subprocess.DEVNULL)
        said = done.stderr.decode(errors="replace")
        checks.check(f"{' '.join(map(str, words))[-90:]} ends with {code}", done.returncode == code,
                     f"{done.returncode}: {said[-700:]}")
        return done.stdout.decode(errors="replace"), said

    def generate(self, path, *flags, prompt=PROMPT):
        """(the JSON of one prompt, what weights are computed in as stderr says)"""
        out, said = self.run("generate", path, "--output", "json", "--ignore-eos", "--max-new-tokens", NEW_TOKENS, "--logprobs", 3,
                             "--prompt-token-ids", ids_text(prompt), *flags)
        found = re.search(r"weights [\d.]+ \S+ (\w+), loaded in", said)
        return (json.loads(out) if out.strip() else {}), found[1] if found else said[-500:]

    def refused(self, name, path, *flags, named):
        _, said = self.run("generate", path, "--prompt-token-ids", "1", "--max-new-tokens", 1, *flags, code=2)
        checks.check(f"{name}: names {', '.join(named)}", all(word in said for word in named), said[-700:])


def logprobs(line):
    return [token["logprob"] for token in line["logprobs"]]


def close(a, b, bound):
    """First tokens' log-probabilities, which are of the same context."""
    return abs(logprobs(a)[0] - logprobs(b)[0]) < bound


def blocks(herd, paths):
    """Each file is computed as it is stored, alone and on eight ranks; or widened, which is the same model."""
    for name, path in paths.items():
        stored = MOST.get(name, name)
        alone, encoding = herd.generate(path)
        checks.equal(f"{name}: computed in", encoding, stored)
        asked, encoding = herd.generate(path, ENCODING, stored)
        checks.equal(f"{name}: asked for by name", (asked["token_ids"], encoding), (alone["token_ids"], stored))
        eight, _ = herd.generate(path, "-tp", 8)
        checks.equal(f"{name}: on eight ranks", (eight["token_ids"], eight["logprobs"]), (alone["token_ids"], alone["logprobs"]))
        exact, encoding = herd.generate(path, ENCODING, "float32")
        checks.equal(f"{name}: widened to float32", encoding, "float32")
        checks.check(f"{name}: int8 activations cost little", close(alone, exact, 0.3), (logprobs(alone)[0], logprobs(exact)[0]))
        checks.check(f"{name}: but are not nothing", logprobs(alone) != logprobs(exact))
        listed = json.loads(herd.run("inspect", path, "--output", "json")[0])
        checks.equal(f"{name}: inspect says", listed["encoding"], stored)
        for other in ("q8_0", "q4_k", "q6_k"):
            if other != stored:
                herd.refused(f"{name} as {other}", path, ENCODING, other, named=(other, stored, "herd convert"))
    chosen, encoding = herd.generate(paths["q5_k"].parent, ENCODING, "q5_k")
    checks.equal("q5_k: chosen by name among a folder's models", (chosen["token_ids"], encoding),
                 (herd.generate(paths["q5_k"])[0]["token_ids"], "q5_k"))
    for name in ("q4_k", "q6_k"):
        wide, encoding = herd.generate(paths[name], ENCODING, "bfloat16")
        checks.equal(f"{name} widened to bfloat16", encoding, "bfloat16")
        checks.check(f"{name} widened to bfloat16 is the same model", close(wide, herd.generate(paths[name])[0], 0.3))


def quantised_at_load(herd):
    """bfloat16 files are quantised while they are read, to what herd quantises to."""
    plain, encoding = herd.generate(DEMO_MODEL)
    checks.equal("demo model: computed in", encoding, "bfloat16")
    for name in ("q8_0", "q4_0", "q4_k", "q6_k"):
        made, encoding = herd.generate(DEMO_MODEL, ENCODING, name)
        checks.equal(f"demo model as {name}: computed in", encoding, name)
        checks.check(f"demo model as {name}: another model, but near", made["logprobs"] != plain["logprobs"] and close(made, plain, 1.5),
                     (logprobs(made)[0], logprobs(plain)[0]))
        ranks, _ = herd.generate(DEMO_MODEL, ENCODING, name, "-tp", 4)
        checks.equal(f"demo model as {name}: on four ranks", ranks["logprobs"], made["logprobs"])
    for name in ("q4_1", "q5_0", "q5_1", "q5_k"):
        herd.refused(f"demo model as {name}", DEMO_MODEL, ENCODING, name, named=(name, "bfloat16", "q8_0", "q4_0", "GGUF"))


def not_finite(herd, folder):
    """A scale or minimum that is infinite is said with its tensor's name, and no token comes of it."""
    for name, field in (("q4_1", 0), ("q4_k", 0), ("q4_k", 2), ("q5_k", 2), ("q6_k", 0)):
        broken = model(name, 1)
        tensor = broken.tensor("blk.0.ffn_down.weight")
        made = BLOCKS[name]
        at = 5 * made.size + made.scale + field
        tensor.data = tensor.data[:at] + struct.pack("<e", float("inf")) + tensor.data[at + 2:]
        broken.write(folder / "broken.gguf")
        _, said = herd.run("generate", folder / "broken.gguf", "--prompt-token-ids", "1", "--max-new-tokens", 1, code=3)
        checks.check(f"{name}: an infinite {'minimum' if field else 'scale'} is named", "tensor model.layers.0.mlp.down_proj.weight holds NaN or infinite" in said, said[-500:])


def streams(herd, folder):
    """An event id carries its numerics: a server with another encoding refuses it and names both."""
    body = {"prompt": "Once upon a time", "temperature": 1, "seed": 5, "max_tokens": 12, "ignore_eos": True, "stream": True}
    names = ("bfloat16", "q8_0", "q4_0")
    begun = {}
    for name in names:
        with Server(herd.binary, ENCODING, name, folder=folder, checks=checks) as server:
            server.await_event_ids()
            whole = server.stream(COMPLETION, json.dumps(body))
            checks.check(f"{name}: a whole stream", isinstance(whole, StreamEnd) and whole.whole, whole)
            begun[name] = whole.events
    for name in names:
        with Server(herd.binary, ENCODING, name, "-tp", "2", folder=folder, checks=checks) as server:
            server.await_event_ids()
            for of, events in begun.items():
                rest = server.stream(COMPLETION, json.dumps(body), {"Last-Event-ID": events[4].id})
                if of == name:
                    checks.check(f"{name}: gone on with on two ranks", isinstance(rest, StreamEnd) and
                                 [event.raw for event in rest.events] == [event.raw for event in events[5:]], rest)
                    continue
                refused = isinstance(rest, Answer) and rest.status == 400 and rest.error().get("param") == "Last-Event-ID"
                checks.check(f"a stream of {of} is refused in {name}", refused, rest)
                why = rest.error().get("message", "") if isinstance(rest, Answer) else ""
                parts = [f"/{one}/{'bfloat16' if one == 'bfloat16' else 'int8'}/" for one in (name, of)]
                checks.check("the refusal names this server's numerics", "made under numerics" in why and parts[0] in why, why)


def smollm2(herd, path):
    """A real file in q4_1, with a q8_0 embedding."""
    prompt = [1, 4093, 198, 1780, 359, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198]
    own, encoding = herd.generate(path, prompt=prompt)
    checks.equal("SmolLM2: computed in", encoding, "q4_1")
    wide, encoding = herd.generate(path, ENCODING, "bfloat16", prompt=prompt)
    checks.equal("SmolLM2 widened: computed in", encoding, "bfloat16")
    checks.check("SmolLM2: int8 activations cost little", close(own, wide, 0.5), (logprobs(own)[0], logprobs(wide)[0]))
    herd.refused("SmolLM2 as q8_0", path, ENCODING, "q8_0", named=("q8_0", "q4_1", "herd convert"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--smollm2", metavar="GGUF")
    options = parser.parse_args()
    herd = Herd(options.herd)
    with TestFolder() as folder:
        blocks(herd, write_models(folder, layers=1))
        quantised_at_load(herd)
        not_finite(herd, folder)
        streams(herd, folder)
    if options.smollm2:
        smollm2(herd, options.smollm2)
    else:
        checks.skip("SmolLM2 in q4_1", "no file was named")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
