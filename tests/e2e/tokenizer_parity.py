#!/usr/bin/env python3
"""herd's tokenizer against PyPI `tokenizers` and `tiktoken`: every id of every text must be equal.

    tokenizer_parity.py TOKENIZER_DUMP [--llama3 tokenizer.model] [--smollm2 FILE.gguf] [--texts 20000]
        [--definition-texts 200] [--definitions-only]

Definitions over all kinds of components of a tokenizer.json (tokenizer_definitions.py), so many texts each. Vocabularies with
more texts: three that are trained here (Llama 3's pattern; digits + GPT-2's pattern with bytes missing), and, where
the files are given, Meta's Llama 3 (as tiktoken and, converted, as tokenizer.json) and SmolLM2's out of its GGUF.
The texts are the same in every run. Exit code 0: all equal; 1: something differs, printed.
"""

import argparse
import base64
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

import jinja2
import tiktoken
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import tokenizer_definitions
from tokenizer_definitions import LLAMA3 as LLAMA3_PATTERN


# Numbers and cased letters of Unicode 17: Oniguruma, which reads the patterns, has 16, and Rust's own tables have 17.
NEWER = {0xA7CE, 0xA7D2, 0xA7D4, *range(0x11DE0, 0x11DEA), *range(0x16EA0, 0x16ED4), *range(0x16FF4, 0x16FF7)}


def unicode_alphabet():
    """Every code point, assigned or not, but surrogates, private ones and planes without any character."""
    codes = [*range(0xD800), *range(0xF900, 0x324B0), *range(0xE0000, 0xE0200)]
    return [chr(code) for code in codes if code not in NEWER]


def newer_than_decompositions():
    """Characters that came after the tables with which `tokenizers` decomposes (Unicode 12)."""
    nfkd = normalizers.NFKD()
    return {c for c in unicode_alphabet() if unicodedata.category(c) == "Cn" or
            nfkd.normalize_str(c) != unicodedata.normalize("NFKD", c)}


WORDS = """the of and to in a is that for it as was with be by on not he I his from at this but had her she you don't
can't WE'LL I'M they'd you've it's O'NEIL rock'n'roll 'tis naïve café Übergröße straße ﬁne ﬆop İstanbul ǅungla
日本語 テスト 안녕하세요 привет мир γειά שלום مرحبا สวัสดี नमस्ते ქართული 𝒜𝓑𝔠 Ⅷ ½ ² ௧௨ ٣٤ def return class
import None True self.x == != <= >= -> => { } [ ] ( ) ; : :: // /* */ # $ % & @ ~ ^ | \\ ` ' " … – — “ ” « »""".split()
SPACES = [" ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1f", "\x85", "\xa0", "\u1680",
          "\u180e", "\u2000", "\u200a", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff", " \n", "\n "]
EMOJI = ["🙂", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "❤️", "1️⃣", "☃", "🫠"]
MARKS = ["\u0301", "\u0308", "\u0338", "\u20dd", "\u093e", "\u0e34", "\ufe0f", "\u200d", "\u1ab0"]
APOSTROPHES = ["'", "’", "ʼ", "＇"]
SUFFIXES = ["s", "S", "ſ", "t", "T", "re", "RE", "rE", "ve", "VE", "m", "M", "ll", "LL", "lL", "d", "D", "x", "K", "ﬆ", ""]
CODE = ["def f(x):\n    return x**2\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\r\n}\r\n", "<a href=\"x\">y</a>",
        "SELECT * FROM t WHERE id=1;--", "{\"a\": [1, 2.5e-3, null]}", "x = y/*z*/+1 // end\n\n\n", "#!/bin/sh\n\\\n"]
FIXED = ["", " ", "  ", "\n", "\r\n", "a", "\x00", "\x00\x01\x7f", "'", "''''s'S", "\U0010ffff"[:0] + "\U0010fffd", "\ufffd",
         "�" * 7, " " * 100, "\n" * 100, " \n" * 50, "!" * 100, "1" * 100, "a" * 5000, "ab" * 3000, "é" * 3000, "漢" * 2000,
         "🙂" * 500, " a" * 3000, "\t" * 999 + "x", "a1" * 999, "=" * 333 + "\r\n" * 5, "ſ'ſ'S'ſ", "\u0130'\u017f"]
LONG = ["a" * 25_001, "b" + " " * 25_001 + "c", ("x" * 24_999 + " ") * 3, "abc " * 110_000, "漢字" * 13_000,
        "\x1c" * 25_001 + " " * 25_001, "ab\n" * 140_000]


def random_text(rng, alphabet, specials):
    kind = rng.randrange(12)
    if kind == 0:  # all planes
        return "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 40)))
    if kind == 1:  # one block, as in real scripts
        start = rng.randrange(len(alphabet))
        return "".join(alphabet[min(start + rng.randrange(60), len(alphabet) - 1)] + rng.choice(["", "", " "])
                       for _ in range(rng.randrange(1, 40)))
    if kind == 2:
        return "".join(rng.choice(SPACES) * rng.randrange(1, 5) + rng.choice(["", "a", "1", "!", "é", "'s"])
                       for _ in range(rng.randrange(1, 15)))
    if kind == 3:
        return "".join(rng.choice(["0", "12", "345", "6789", "1234567", " ", ".", ",", "٣", "Ⅷ", "½", "x"])
                       for _ in range(rng.randrange(1, 20)))
    if kind == 4:
        return rng.choice(["", " "]).join(rng.choice(CODE) for _ in range(rng.randrange(1, 4)))
    if kind == 5:
        return "".join(rng.choice(["I", "we", " x", "É", "1", "", "!"]) + rng.choice(APOSTROPHES) + rng.choice(SUFFIXES)
                       + rng.choice(["", " ", "a", "\n"]) for _ in range(rng.randrange(1, 10)))
    if kind == 6:
        parts = specials + ["<|", "|>", "<|eot_id", "eot_id|>", "<", "|", "text", " ", "\n\n"]
        return "".join(rng.choice(parts) for _ in range(rng.randrange(1, 10)))
    if kind == 7:
        return "".join(rng.choice(EMOJI + MARKS + ["a", " ", "e", "n"]) for _ in range(rng.randrange(1, 20)))
    if kind == 8:
        return "".join(rng.choice(["\r", "\n", "\r\n", " ", "a", ".", "\t"]) for _ in range(rng.randrange(1, 30)))
    if kind == 9:
        return rng.choice(["a", "=", "-", " ", "\n", "1", "é", "ab", "\r\n"]) * rng.randrange(1, 400) + rng.choice(["", "z", " "])
    words = [rng.choice(WORDS) for _ in range(rng.randrange(1, 40))]
    if kind == 10:
        return " ".join(words)
    return "".join(word + rng.choice(SPACES + [" "] * 30) for word in words)


def make_texts(count, specials):
    rng = random.Random(20240726)
    alphabet = unicode_alphabet()
    texts = list(FIXED)
    # Every character in four surroundings: no table of any engine may differ.
    for start in range(0, len(alphabet), 64):
        texts.append("".join(f"a{c}1{c} {c}'{c}\n" for c in alphabet[start:start + 64]))
    while len(texts) < count:
        texts.append(random_text(rng, alphabet, specials))
    return texts


def dump(program, kind, path, records):
    data = b"".join(mode.encode() + struct.pack("<I", len(text)) + text
                    for mode, text in ((m, t.encode()) for m, t in records))
    done = subprocess.run([program, kind, path], input=data, stdout=subprocess.PIPE, check=True)
    lines = done.stdout.decode().split("\n")[:-1]
    assert len(lines) == len(records), (len(lines), len(records))
    return lines


class Comparison:
    def __init__(self, program, definition_texts):
        self.program = program
        self.definition_texts = definition_texts
        self.failed = 0

    def refused(self, name, path, words):
        done = subprocess.run([self.program, "json", path], input=b"", capture_output=True)
        said = done.stderr.decode().strip()
        if done.returncode == 3 and words in said:
            print(f"{name}: refused by name")
        else:
            self.failed += 1
            print(f"{name}: exit {done.returncode}, not a refusal with {words!r}: {said}")

    def run(self, name, kind, path, cases):
        """cases: (mode, text, expected line)."""
        lines = dump(self.program, kind, path, [(mode, text) for mode, text, _ in cases])
        equal = sum(line.split() == expected.split() for line, (_, _, expected) in zip(lines, cases))
        print(f"{name}: {equal} of {len(cases)} equal ({100.0 * equal / len(cases):.4f} %)", flush=True)
        shown = 0
        for line, (mode, text, expected) in zip(lines, cases):
            if line.split() != expected.split() and shown < 5:
                shown += 1
                print(f"  mode {mode} {text[:200]!r}\n    herd {line[:300]}\n    want {expected[:300]}")
                first = next((i for i, (a, b) in enumerate(zip(line.split(), expected.split())) if a != b), -1)
                print(f"    first difference at item {first}")
        self.failed += len(cases) - equal


def ids_line(ids):
    return " ".join(map(str, ids))


def random_ids(rng, size):
    return [rng.randrange(size) if rng.random() < 0.7 else rng.randrange(min(size, 400)) for _ in range(rng.randrange(1, 30))]


def hf_cases(oracle, texts):
    """Plain (control tokens disallowed), parsed, with BOS; then decoding."""
    cases = []
    oracle.encode_special_tokens = True
    for text in texts:
        cases.append(("p", text, ids_line(oracle.encode(text, add_special_tokens=False).ids)))
    cases += [("b", t, ids_line(oracle.encode(t).ids)) for t in texts[::10]]
    oracle.encode_special_tokens = False
    cases += [("s", t, ids_line(oracle.encode(t, add_special_tokens=False).ids)) for t in texts]
    rng = random.Random(1)
    for _ in range(3000):
        ids = random_ids(rng, oracle.get_vocab_size())
        text = oracle.decode(ids, skip_special_tokens=True).encode().hex()
        cases += [("d", ids_line(ids), text), ("i", ids_line(ids), text)]
    return cases


def compare_definitions(comparison, texts, folder):
    """The whole alphabet once, then every definition on a sample of the texts that is its own."""
    corpus = training_corpus(texts[::7])
    rng = random.Random(3)
    pool = [text for text in texts if len(text) < 2000]
    newer = newer_than_decompositions()
    spelled = ["<l>", "<r>", " <lr> ", "<n>", "<l><r>", "\n\n", "two words", "norm", "NORM", "<UP>", "<up>", "<nfd>é", "<unk>",
               "word", "the", "The", "of", "is", "  ", "\t", "▁", "_", " ", "x", "é", "e\u0301", "ﬁ", "½", "가", "각", "\u0344"]
    for name, definition in tokenizer_definitions.definitions(corpus).items():
        path = os.path.join(folder, "definition.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(definition, file)
        refusal = tokenizer_definitions.REFUSED.get(name)
        if refusal:
            comparison.refused(name, path, refusal)
            continue
        oracle = Tokenizer.from_file(path)
        if any(form in json.dumps(definition["normalizer"]) for form in ("NFD", "NFKC", "NFKD")):
            sources = [text for text in pool if newer.isdisjoint(text)]
        elif definition["model"]["type"] == "Unigram":  # there the reference finds control tokens in the text of a user
            sources = [text for text in pool if not any(special in text for special in tokenizer_definitions.SPECIALS)]
        else:
            sources = pool
        sample = rng.sample(sources, comparison.definition_texts * 2 // 3)
        sample += ["".join(rng.choice(spelled) for _ in range(rng.randrange(1, 9))) for _ in range(comparison.definition_texts // 3)]
        if definition["model"]["type"] == "Unigram":
            sample = [text for text in sample if "<unk>" not in text]
        comparison.run(name, "json", path, definition_cases(oracle, sample))


def definition_cases(oracle, texts):
    cases = []
    for special in (True, False):
        oracle.encode_special_tokens = special
        cases += [("p" if special else "s", t, ids_line(oracle.encode(t, add_special_tokens=False).ids)) for t in texts]
    oracle.encode_special_tokens = True
    cases += [("b", t, ids_line(oracle.encode(t).ids)) for t in texts[::10]]
    for text in texts:
        ids = oracle.encode(text, add_special_tokens=False).ids
        decoded = oracle.decode(ids, skip_special_tokens=True).encode().hex()
        cases += [("d", ids_line(ids), decoded), ("i", ids_line(ids), decoded)]
    return cases


def training_corpus(texts):
    folder = os.path.dirname(os.__file__)
    corpus = list(texts)
    for name in ("argparse.py", "tarfile.py", "turtle.py", "typing.py", "decimal.py", "_pydecimal.py"):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            corpus += file.read().split("\n\n")
    return corpus


def train(style, corpus):
    tokenizer = Tokenizer(models.BPE(ignore_merges=style == "llama3"))
    specials = ["<|begin_of_text|>", "<|eot_id|>", "<|eot_id|>x"]
    if style == "llama3":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(LLAMA3_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=style == "prefix", use_regex=True)])
        alphabet = []  # bytes that the corpus lacks have no token
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=6000, initial_alphabet=alphabet, special_tokens=specials, show_progress=False,
                                  limit_alphabet=200 if style == "digits" else 1000)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_tokens([AddedToken("two words", normalized=False), AddedToken("norm", normalized=True),
                          AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False)])
    if style == "llama3":
        bos = tokenizer.token_to_id("<|begin_of_text|>")
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                                          special_tokens=[("<|begin_of_text|>", bos)])])
    return tokenizer


def compare_trained(comparison, texts, folder):
    extra = [" two words <left> norm <right>  x", "a <left><left>  <right>\n<right> two wordsnormtwo", "<|eot_id|>x <right>"]
    for style in ("llama3", "digits", "prefix"):
        oracle = train(style, training_corpus(texts[::7]))
        path = os.path.join(folder, style + ".json")
        oracle.save(path)
        comparison.run(f"trained, {style} (tokenizers {tokenizers.__version__})", "json", path, hf_cases(oracle, texts + extra))


def meta_slices(text):
    """Meta's wrapper: 400,000 characters at most, and no run of more than 25,000 of one kind."""
    for start in range(0, len(text), 400_000):
        part = text[start:start + 400_000]
        begin, run, space = 0, 0, part[0].isspace()
        for i, character in enumerate(part):
            if character.isspace() != space:
                run, space = 1, not space
            elif run == 25_000:
                yield part[begin:i]
                begin, run = i, 1
            else:
                run += 1
        yield part[begin:]


def llama3_specials():
    names = {0: "<|begin_of_text|>", 1: "<|end_of_text|>", 4: "<|finetune_right_pad_id|>", 6: "<|start_header_id|>",
             7: "<|end_header_id|>", 8: "<|eom_id|>", 9: "<|eot_id|>", 10: "<|python_tag|>"}
    reserved = iter(range(256))
    return [names.get(i) or f"<|reserved_special_token_{next(reserved)}|>" for i in range(256)]


def compare_llama3(comparison, model_path, texts, folder):
    with open(model_path, "rb") as file:
        ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in file)}
    specials = {name: len(ranks) + i for i, name in enumerate(llama3_specials())}
    oracle = tiktoken.Encoding("llama3", pat_str=LLAMA3_PATTERN, mergeable_ranks=ranks, special_tokens=specials)

    def encode(text, allowed):
        return ids_line(i for part in meta_slices(text)
                        for i in oracle.encode(part, allowed_special=allowed, disallowed_special=()))

    # "all" makes tiktoken list its 256 names on every call; these are the ones the texts spell out.
    allowed = {name for name in specials if any(name in text for text in texts)}
    cases = [("p", text, encode(text, set())) for text in texts + LONG]
    cases += [("s", text, encode(text, allowed)) for text in texts]
    cases += [("b", text, "128000 " + encode(text, set())) for text in texts[::10]]
    rng = random.Random(1)
    for _ in range(3000):
        ids = random_ids(rng, len(ranks))
        text = oracle.decode_bytes(ids).decode("utf-8", "replace").encode().hex()
        cases += [("d", ids_line(ids), text), ("i", ids_line(ids), text)]
    comparison.run(f"Llama 3 (tiktoken {tiktoken.__version__})", "model", model_path, cases)

    # The same vocabulary as HF publishes it: all splits of a token into two tokens are merges.
    spell = byte_spelling()
    vocab = {"".join(spell[b] for b in token): rank for token, rank in ranks.items()}
    merges = []
    for token, rank in ranks.items():
        found = [(ranks[token[:i]], ranks[token[i:]], token[:i], token[i:])
                 for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
        merges += [("".join(spell[b] for b in left), "".join(spell[b] for b in right)) for _, _, left, right in sorted(found)]
    print(f"Llama 3 as tokenizer.json: {len(merges)} merges", flush=True)
    hf = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    hf.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3_PATTERN), "isolated"),
                                                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    hf.decoder = decoders.ByteLevel()
    hf.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    path = os.path.join(folder, "llama3.json")
    hf.save(path)
    comparison.run(f"Llama 3 as tokenizer.json (tokenizers {tokenizers.__version__})", "json", path, hf_cases(hf, texts))


def byte_spelling():
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (b for b in range(256) if b not in own)
    return {**{b: chr(b) for b in own}, **{b: chr(0x100 + i) for i, b in enumerate(others)}}


def compare_smollm2(comparison, gguf_path, texts, folder):
    import gguf

    reader = gguf.GGUFReader(gguf_path)

    def field(name):
        return reader.fields["tokenizer." + name].contents()

    tokens, types, merges = field("ggml.tokens"), field("ggml.token_type"), field("ggml.merges")
    path = os.path.join(folder, "smollm2.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"model": field("ggml.model"), "pre": field("ggml.pre"), "tokens": tokens, "token_types": types,
                   "merges": merges, "bos_id": field("ggml.bos_token_id"), "eos_id": field("ggml.eos_token_id"),
                   "add_bos": field("ggml.add_bos_token")}, file)
    oracle = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[tuple(m.split(" ")) for m in merges]))
    oracle.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    oracle.decoder = decoders.ByteLevel()
    oracle.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, types) if kind == 3])
    comparison.run(f"SmolLM2 (tokenizers {tokenizers.__version__})", "vocab-json", path, hf_cases(oracle, texts))

    # Conversations: the template as HF renders it, then encoded with control tokens parsed.
    template_text = field("chat_template")
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(template_text)
    oracle.encode_special_tokens = False
    rng = random.Random(2)
    safe = [text for text in texts if "<|" not in text and not any(t in text for t in tokens[:17])]
    cases = []
    for _ in range(2000):
        roles = [rng.choice(["system", "user", "assistant"])] + [rng.choice(["user", "assistant"]) for _ in range(rng.randrange(4))]
        messages = [(role, rng.choice(safe)) for role in roles]
        rendered = template.render(messages=[{"role": r, "content": c} for r, c in messages], add_generation_prompt=True)
        cases.append(("c", json.dumps([template_text, messages]), ids_line(oracle.encode(rendered, add_special_tokens=False).ids)))
    comparison.run("SmolLM2, conversations", "vocab-json", path, cases)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tokenizer_dump")
    parser.add_argument("--llama3", help="Meta's tokenizer.model")
    parser.add_argument("--smollm2", help="a GGUF file of SmolLM2")
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--definition-texts", type=int, default=200)
    parser.add_argument("--definitions-only", action="store_true")
    arguments = parser.parse_args()

    specials = ["<|begin_of_text|>", "<|eot_id|>", "<|eot_id|>x", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
                "<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_0|>", "<file_sep>"]
    texts = make_texts(arguments.texts, specials)
    comparison = Comparison(arguments.tokenizer_dump, arguments.definition_texts)
    with tempfile.TemporaryDirectory() as folder:
        compare_definitions(comparison, texts, folder)
        if arguments.definitions_only:
            return 1 if comparison.failed else 0
        compare_trained(comparison, texts, folder)
        if arguments.llama3:
            compare_llama3(comparison, arguments.llama3, texts, folder)
        else:
            print("SKIPPED: Llama 3 (no --llama3)")
        if arguments.smollm2:
            compare_smollm2(comparison, arguments.smollm2, texts, folder)
        else:
            print("SKIPPED: SmolLM2 (no --smollm2)")
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main())
