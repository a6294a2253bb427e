#!/usr/bin/env python3
"""What a checkpoint's files say about ids and defaults, and what becomes of it: end ids from every source, ids beyond
the vocabulary, tokenizers that cannot be used, generation_config.json, and what commands print about all that.

    model_words_test.py HERD_BINARY

The model is scripted: after each token comes the one the script names, so that an answer shows where it ended.
"""
import json
import subprocess
import sys
from pathlib import Path

from model_files import ARRAY, F32, STRING, U32, byte_alphabet, byte_tokenizer_json, gguf_of, write_script
from serve_process import Checks, Server, TestFolder

HERD = sys.argv[1]
NAMES = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>"]
BOS, EOS, EOT = 256, 257, 260
A, B, C, BREAK = ord("A"), ord("B"), ord("C"), ord("\n")
ROWS = 256 + len(NAMES)
LLAMA3 = ("{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + "
          "(m['content'] | trim) + '<|eot_id|>' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
TEXT = {"chat_template": LLAMA3, "bos_token": NAMES[0]}
# After the header of an answer: AB, the end of the turn, and what nobody should see.
SCRIPT = {BREAK: A, A: B, B: EOT, EOT: C, C: A}
checks = Checks()


def folder_of(root, name, *, rows=ROWS, script=SCRIPT, config=None, **files):
    """A checkpoint; files: name without .json -> its fields. None leaves a file out."""
    folder = Path(root, name)
    folder.mkdir()
    stated = write_script(folder, rows, script)
    (folder / "config.json").write_text(json.dumps({**stated, "eos_token_id": EOS, **(config or {})}))
    for file, fields in {"tokenizer": byte_tokenizer_json(NAMES), "tokenizer_config": TEXT, **files}.items():
        if fields is not None:
            (folder / f"{file}.json").write_text(fields if isinstance(fields, str) else json.dumps(fields))
    return folder


def gguf_file(source, path, **keys):
    """The folder's weights as GGUF, with its vocabulary; keys: of tokenizer.ggml -> id."""
    model = gguf_of(source)
    model.set("tokenizer.ggml.tokens", ARRAY, (STRING, [*byte_alphabet(), *NAMES]))
    model.set("tokenizer.ggml.token_type", ARRAY, (U32, [1] * 256 + [3] * len(NAMES)))
    model.set("tokenizer.chat_template", STRING, LLAMA3)
    model.remove("tokenizer.ggml.eos_token_id")
    for key, value in keys.items():
        model.set(f"tokenizer.ggml.{key}", U32, value)
    model.set("general.sampling.temp", F32, 0.7)
    model.write(path)
    return path


def herd(*words, code=0):
    done = subprocess.run([HERD, *map(str, words)], capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    said = done.stderr.decode(errors="replace")
    checks.check(f"{words[0]} ends with {code}", done.returncode == code, f"{words}: {done.returncode}: {said[-500:]}")
    return done.stdout.decode(errors="replace"), said


def generate(model, *words):
    out, said = herd("generate", model, "-q", "--output", "json", *words)
    return [json.loads(line) for line in out.splitlines()] or [{"text": None, "finish_reason": said, "token_ids": None}]


def check_answer(name, model, *words):
    answer = generate(model, "--instruct", "--prompt", "hi", "--max-new-tokens", "6", *words)[0]
    checks.equal(f"the answer ends with its turn: {name}", (answer["text"], answer["finish_reason"]), ("AB", "stop"))


def ends(root):
    no_names = byte_tokenizer_json(["<b>", "<e>", "<|start_header_id|>", "<|end_header_id|>", "<turn>", "<x>"])
    plain = folder_of(root, "plain")
    check_answer("the vocabulary's control tokens", plain)
    check_answer("generation_config names the document's end only",
                 folder_of(root, "document", generation_config={"eos_token_id": EOS}))
    # No well-known name: what a file declares alone.
    for name, files in (
            ("config", {"config": {"eos_token_id": [EOS, EOT]}, "generation_config": {"eos_token_id": EOS}}),
            ("generation_config", {"generation_config": {"eos_token_id": [EOT]}}),
            ("tokenizer_config, a text", {"tokenizer_config": {"eos_token": "<turn>"}}),
            ("tokenizer_config, an object", {"tokenizer_config": {"eos_token": {"content": "<turn>"}}}),
            ("special_tokens_map", {"special_tokens_map": {"eos_token": "<turn>"}}),
            ("a tokenizer that cannot be used", {"tokenizer": {"model": {"type": "WordPiece"}}, "tokenizer_config": {
                "eos_token": "<turn>", "added_tokens_decoder": {str(EOT): {"content": "<turn>", "special": True}}}})):
        model = folder_of(root, f"only {name}", **{"tokenizer": no_names, **files})
        answer = generate(model, "--prompt-token-ids", BREAK, "--max-new-tokens", "6")[0]
        checks.equal(f"named by {name}", (answer["token_ids"], answer["finish_reason"]), ([A, B, EOT], "stop"))
        both = generate(model, "--prompt-token-ids", f"{BREAK}", "--max-new-tokens", "6", "--ignore-eos")[0]
        checks.equal(f"--ignore-eos: named by {name}", both["token_ids"], [A, B, EOT, C, A, B])
    file = Path(root, "m.gguf")
    check_answer("GGUF with the document's end as eos", gguf_file(plain, file, eos_token_id=EOS, bos_token_id=BOS))
    beside = folder_of(root, "beside", generation_config={"eos_token_id": [EOS, EOT]}, tokenizer=no_names)
    (beside / "model.safetensors").unlink()
    for where, words in (("in the folder", ()), ("elsewhere", ("--weight-path", file))):
        if where == "in the folder":
            gguf_file(plain, beside / "weights.gguf", eos_token_id=EOS)
        answer = generate(beside, "--prompt-token-ids", BREAK, "--max-new-tokens", "6", *words)[0]
        checks.equal(f"the folder's generation_config counts, GGUF {where}", answer["token_ids"], [A, B, EOT])
        (beside / "weights.gguf").unlink(missing_ok=True)


def beyond(root):
    tokens = byte_tokenizer_json([*NAMES, "<pad>"])  # <pad> is one past the model's rows
    model = folder_of(root, "beyond", tokenizer=tokens, config={"eos_token_id": [EOS, 9999], "bos_token_id": 8888},
                      generation_config={"eos_token_id": [7777], "pad_token_id": ROWS})
    out, said = herd("generate", model, "-q", "--output", "json", "--prompt", "\n", "--max-new-tokens", "2")
    checks.equal("a model with ids beyond its vocabulary runs", json.loads(out)["text"], "AB")
    for part in ("9999", "7777", "8888", f"up to {ROWS}"):
        checks.check(f"and {part} is warned about", part in said, said)
    _, said = herd("generate", model, "--prompt", "a<pad>b", code=2)
    checks.check("a prompt that spells such a token is refused by its name", f"<pad> (token {ROWS})" in said, said)
    herd("generate", model, "--prompt-token-ids", ROWS, code=2)
    out, _ = herd("inspect", model)
    checks.check("inspect shows it", f"tokenizer {ROWS + 1} tokens" in out, out)
    many = folder_of(root, "many ends", generation_config={"eos_token_id": list(range(129))})
    _, said = herd("generate", many, "-q", "--prompt-token-ids", "1", code=3)
    checks.check("more ends than a request may have are refused at the start", "names 132 end ids" in said, said)
    file = gguf_file(folder_of(root, "whole"), Path(root, "ids.gguf"), eos_token_id=9999, bos_token_id=8888)
    _, said = herd("generate", file, "--prompt", "a", "--max-new-tokens", "1")
    checks.check("a GGUF's sampling defaults are named as not applied", "general.sampling.temp is not applied" in said, said)
    checks.equal("a GGUF with such ids runs", generate(file, "--prompt", "\n", "--max-new-tokens", "2")[0]["text"], "AB")


def unusable(root):
    """The reason is the tokenizer's, and only who asks for text hears of it."""
    pieces = byte_tokenizer_json(NAMES)
    pieces["model"]["type"] = "WordPiece"
    split = byte_tokenizer_json(NAMES)
    split["pre_tokenizer"] = {"type": "Split", "pattern": {"Regex": "(\\w+"}, "behavior": "Isolated", "invert": False}
    for name, fields, reason in (("word pieces", pieces, "WordPiece"), ("broken pattern", split, "split pattern")):
        model = folder_of(root, name, tokenizer=fields)
        herd("score", model, "-q", "--prompt-token-ids", "1,2")
        if fields is pieces:  # it measures the machine, which takes its time
            herd("bench", "latency", model, "-q", "--input-len", "8", "--output-len", "4", "--num-iters", "1")
        out, _ = herd("inspect", model)
        checks.check(f"inspect gives the reason: {name}", "tokenizer not usable" in out and reason in out, out)
        out, _ = herd("inspect", model, "--output", "json")
        checks.check(f"also as JSON: {name}", reason in json.loads(out)["tokenizer"], out[:300])
        answer = generate(model, "--prompt-token-ids", BREAK, "--max-new-tokens", "6")[0]
        checks.equal(f"ids run: {name}", answer["token_ids"], [A, B, EOT])
        for words in (["--prompt", "hi"], ["--prompt", "hi", "--instruct"]):
            _, said = herd("generate", model, *words, code=3)
            checks.check(f"text is refused with the reason: {name}", said.splitlines()[-1].find(reason) > 0, said)
        _, said = herd("generate", model, "--prompt-token-ids", "1", "--tokenizer-path", model / "tokenizer.json", code=3)
        checks.check(f"a tokenizer that was asked for must work: {name}", reason in said, said)
    cut = folder_of(root, "cut", tokenizer='{"model": {')
    for words in (["score", cut, "--prompt-token-ids", "1"], ["inspect", cut]):
        _, said = herd(*words, code=3)
        checks.check("a damaged file is an error", "tokenizer.json" in said, said)
    out, _ = herd("generate", Path(root, "word pieces"), "-q", "--prompt-token-ids", "10,65", "--max-new-tokens", "2")
    checks.equal("without text, text output shows ids", out, "10,65,66,260\n")
    out, _ = herd("generate", Path(root, "word pieces"), "-q", "--prompt-token-ids", "10", "--prompt-token-ids", "66",
                  "--max-new-tokens", "1")
    checks.equal("of several prompts, too", out, "=== prompt 1\n10,65\n=== prompt 2\n66,260\n")
    with TestFolder() as work, Server(HERD, folder=work, model=(Path(root, "word pieces"),), checks=checks) as server:
        answer = server.post("/v1/completions", {"prompt": [BREAK], "max_tokens": 6, "return_token_ids": True})
        checks.equal("the server completes ids", answer.json()["choices"][0]["token_ids"], [A, B, EOT])
        for path, body in (("/v1/completions", {"prompt": "hi"}), ("/tokenize", {"prompt": "hi"}),
                           ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})):
            answer = server.post(path, body)
            checks.check(f"{path} refuses text with the reason",
                         answer.status == 400 and "WordPiece" in answer.error().get("message", ""), answer.body)
            checks.check(f"{path} does not tell where the file lies", str(root) not in answer.body.decode(), answer.body)
        checks.check("the log says so at the start", "no text" in server.stderr(), server.stderr())


def defaults(root):
    """generation_config.json is the model's word; what no request may ask for must not fail every request."""
    random = {**SCRIPT, A: A}  # at a temperature of 100 anything follows anything
    model = folder_of(root, "greedy", script=random, generation_config={
        "do_sample": False, "temperature": 100.0, "no_repeat_ngram_size": 2, "stop_strings": ["x"]})
    ask = {"prompt": [A], "max_tokens": 8, "return_token_ids": True}
    with TestFolder() as work, Server(HERD, folder=work, model=(model,), checks=checks) as server:
        got = [server.post("/v1/completions", ask).json()["choices"][0]["token_ids"] for _ in range(3)]
        checks.equal("do_sample false is greedy", got, [[A] * 8] * 3)
        hot = [server.post("/v1/completions", {**ask, "temperature": 100, "seed": seed}) for seed in range(3)]
        checks.check("unless a request gives a temperature",
                     len({str(answer.json()["choices"][0]["token_ids"]) for answer in hot}) > 1)
        for key in ("no_repeat_ngram_size", "stop_strings"):
            checks.check(f"{key} is named as not applied", f"{key}: " in server.stderr(), server.stderr())
        begun = {"prompt": NAMES[0] + "\n", "max_tokens": 2}
        for _ in range(2):
            checks.equal("two beginnings are tokens as asked", server.post("/v1/completions", begun).status, 200)
    model = folder_of(root, "out of range", generation_config={"temperature": 500.0, "top_p": 7, "top_k": "all"})
    with TestFolder() as work, Server(HERD, folder=work, model=(model,), checks=checks) as server:
        answer = server.post("/v1/completions", {**ask, "temperature": 0})
        checks.equal("defaults out of range fail no request", answer.status, 200)
        answer = server.post("/v1/completions", ask)
        checks.equal("of neither kind", answer.status, 200)
        for key in ("temperature: 5E2", "top_p: 7", 'top_k: "all"'):
            checks.check(f"{key} is left out by name", key in server.stderr(), server.stderr())


def beginnings(root):
    prefixed = byte_tokenizer_json(NAMES)
    prefixed["post_processor"] = {"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": NAMES[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
        "special_tokens": {NAMES[0]: {"id": NAMES[0], "ids": [BOS], "tokens": [NAMES[0]]}}}
    model = folder_of(root, "prefixed", tokenizer=prefixed)
    out, said = herd("generate", model, "-q", "--output", "json", "--prompt", NAMES[0] + "\n", "--max-new-tokens", "1")
    checks.equal("two beginnings stay as asked", json.loads(out)["prompt_token_ids"], [BOS, BOS, BREAK])
    checks.check("and are warned about", "there are two" in said, said)
    many = [word for _ in range(4) for word in ("--prompt", NAMES[0] + "\n")]
    _, said = herd("generate", model, "-q", *many, "--max-new-tokens", "1")
    checks.equal("of many prompts the first is", said.splitlines()[1:], ["warning: so do 3 more prompts"])
    _, said = herd("generate", model, "-q", "--prompt", "\n", "--max-new-tokens", "1")
    checks.check("one is not", said == "", said)
    with TestFolder() as work, Server(HERD, folder=work, model=(model,), checks=checks) as server:
        for _ in range(3):
            server.post("/v1/completions", {"prompt": NAMES[0] + "\n", "max_tokens": 1})
        checks.equal("the server's log says so once", server.stderr().count("there are two"), 1)


def declared(root):
    """Added tokens that tokenizer.json does not have: transformers merges the files, and so does herd."""
    new, strip = "<|new|>", {"content": "<|eot_id|>", "rstrip": True, "special": True}
    decoder = {"added_tokens_decoder": {str(ROWS): {"content": new, "special": True}, str(EOT): strip}}
    for name, files, expected in (
            ("added_tokens_decoder", {"tokenizer_config": {**TEXT, **decoder}}, [A, ROWS, EOT, B]),
            ("added_tokens.json", {"added_tokens": {new: ROWS}}, [A, ROWS, EOT, ord(" "), B]),
            ("a special token of no other file", {"tokenizer_config": {**TEXT, "pad_token": new}}, [A, ROWS, EOT, ord(" "), B]),
            ("additional_special_tokens", {"tokenizer_config": {**TEXT, "additional_special_tokens": [new]}},
             [A, ROWS, EOT, ord(" "), B]),
            ("special_tokens_map.json", {"special_tokens_map": {"sep_token": {"content": new}}},
             [A, ROWS, EOT, ord(" "), B])):
        model = folder_of(root, f"declared in {name}", rows=ROWS + 1, **files)
        for words in ([], ["--tokenizer-path", model / "tokenizer.json"]):
            answer = generate(model, "--prompt", f"A{new}<|eot_id|> B", "--max-new-tokens", "1", *words)[0]
            checks.equal(f"one id for what is declared in {name}", answer.get("prompt_token_ids"), expected)


def main():
    with TestFolder() as root:
        for part in (ends, beyond, unusable, defaults, beginnings, declared):
            part(root)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
