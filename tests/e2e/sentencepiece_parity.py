#!/usr/bin/env python3
"""herd's SentencePiece models against PyPI `sentencepiece` and `tokenizers`: every id of every text must be equal.

    sentencepiece_parity.py TOKENIZER_DUMP [--texts 20000]

Eight vocabularies are trained here: BPE and unigram; with byte fallback, control and user-defined tokens; with and without
the space in front, spaces kept or removed, characters replaced or not, spaces behind words, pieces across words. Each is
read as tokenizer.model; one of BPE also as the vocabulary of a GGUF file; those that replace no characters also as the
tokenizer.json that says the same.
The texts are the same in every run. Exit code 0: all equal; 1: something differs, printed.
"""

import argparse
import io
import json
import os
import random
import sys
import tempfile

import sentencepiece
import tokenizers
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers

from tokenizer_parity import EMOJI, WORDS, Comparison, ids_line, make_texts, training_corpus

SPACE = "\u2581"
SPECIALS = ["<unk>", "<s>", "</s>"]
USER_DEFINED = ["<sep>", "foo bar", "日本", "<s", "  "]
VOCABULARIES = {
    "BPE as Llama 2's": dict(
        model_type="bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        split_digits=True, allow_whitespace_only_pieces=True, character_coverage=0.98, vocab_size=3000),
    "BPE, NFKC, control and user-defined tokens": dict(
        model_type="bpe", normalization_rule_name="nmt_nfkc", control_symbols=["<ctl>", "[INST]"],
        user_defined_symbols=USER_DEFINED, character_coverage=0.98, vocab_size=1600),
    "BPE, case folded, spaces behind words": dict(
        model_type="bpe", normalization_rule_name="nfkc_cf", treat_whitespace_as_suffix=True, character_coverage=0.98,
        vocab_size=1600),
    "unigram as trained by default": dict(
        model_type="unigram", user_defined_symbols=USER_DEFINED[:3], character_coverage=0.98, vocab_size=1600),
    "unigram, bytes, no space in front": dict(
        model_type="unigram", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=False, split_digits=True, character_coverage=0.98, vocab_size=2000),
    "BPE, unknown characters, extra spaces removed": dict(
        model_type="bpe", normalization_rule_name="identity", character_coverage=0.98, vocab_size=1600),
    "unigram, extra spaces removed": dict(
        model_type="unigram", normalization_rule_name="identity", split_digits=True, character_coverage=0.98, vocab_size=1600),
    "unigram, NFKC, pieces across words": dict(
        model_type="unigram", normalization_rule_name="nfkc", split_by_whitespace=False, byte_fallback=True,
        remove_extra_whitespaces=False, character_coverage=0.98, vocab_size=2000),
}
EXTRA = ["<sep>a<sep> b", "foo bar  foo  bar", "a日本b", "<s>x</s>", "<unk>", "<0x41>", SPACE + "a" + SPACE * 3 + "b" + SPACE,
         "   ", " <sep> ", "ＡＢＣ　ﷺ ㌀ ½ ﬁ", "か゛ｶﾞ", "<ctl>[INST] hi", "\t\ttabs\n\nlines\r\n", "a" * 3000, "aab" * 1500]


def train(corpus, options):
    model = io.BytesIO()
    SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=model, minloglevel=2, num_threads=2,
                               max_sentence_length=1 << 16, hard_vocab_limit=False, **options)
    return model.getvalue()


def sentences():
    """Lines to train on: code, English, and words of many scripts."""
    lines = [line for part in training_corpus([]) for line in part.split("\n") if line.strip()]
    rng = random.Random(3)
    lines += [" ".join(rng.choices(WORDS + EMOJI, k=rng.randrange(3, 20))) for _ in range(3000)]
    rng.shuffle(lines)
    return lines[:12_000]


def model_cases(oracle, options, texts):
    """Ids, ids behind BOS, and what ids decode to, at once and one by one."""
    encoded = oracle.encode(texts)
    cases = [("p", text, ids_line(ids)) for text, ids in zip(texts, encoded)]
    bos = oracle.bos_id()
    cases += [("b", text, ids_line([bos, *ids])) for text, ids in zip(texts[::10], encoded[::10])]
    # Not compared: how unknown is spelled (herd leaves it out like HF), bytes that are no character (herd follows Unicode's
    # practice of one U+FFFD for a maximal part), and, where extra spaces are removed, what begins with more than one token
    # of them: only texts that spell U+2581 themselves encode to that.
    unknown = oracle.unk_id()
    rng = random.Random(1)
    ordinary = [i for i in range(oracle.get_piece_size()) if not oracle.is_byte(i) and i != unknown]
    word = next(i for i in ordinary if oracle.id_to_piece(i).isalpha())
    chosen = [ids for ids, text in zip(encoded[:6000], texts) if ids and unknown not in ids and not text.startswith(SPACE)]
    chosen += [[word, *rng.choices(ordinary, k=rng.randrange(30))] for _ in range(2000)]
    for ids, text in zip(chosen, oracle.decode(chosen)):
        cases += [(mode, ids_line(ids), text.encode().hex()) for mode in "di"]
    return cases


def gguf_vocabulary(oracle):
    def kind(i):
        return (2 if oracle.is_unknown(i) else 3 if oracle.is_control(i) else 6 if oracle.is_byte(i) else
                5 if oracle.is_unused(i) else 1)

    ids = range(oracle.get_piece_size())
    return {"model": "llama", "pre": "default", "tokens": [oracle.id_to_piece(i) for i in ids],
            "token_types": [kind(i) for i in ids], "scores": [oracle.get_score(i) for i in ids], "merges": [],
            "bos_id": oracle.bos_id(), "eos_id": oracle.eos_id(), "add_bos": True}


def merges_of(oracle):
    """As transformers writes them: all ways to split a piece into two, the best piece first."""
    vocab = {oracle.id_to_piece(i): i for i in range(oracle.get_piece_size())}
    merges = []
    for piece, i in vocab.items():
        found = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece)) if piece[:cut] in vocab and piece[cut:] in vocab]
        merges += [(oracle.get_score(i), vocab[left], vocab[right], left, right) for left, right in found]
    merges.sort(key=lambda merge: (-merge[0], merge[1], merge[2]))
    return vocab, [(left, right) for _, _, _, left, right in merges]


def tokenizer_json(oracle, options):
    """What HF's converters make of such a model."""
    bytes_fall_back = options.get("byte_fallback", False)
    if options["model_type"] == "bpe":
        vocab, merges = merges_of(oracle)
        model = models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=bytes_fall_back)
    else:
        pieces = [(oracle.id_to_piece(i), oracle.get_score(i)) for i in range(oracle.get_piece_size())]
        model = models.Unigram(pieces, oracle.unk_id(), byte_fallback=bytes_fall_back)
    tokenizer = Tokenizer(model)
    steps = [normalizers.Replace(" ", SPACE)]
    if options.get("add_dummy_prefix", True):
        steps.insert(0, normalizers.Prepend(SPACE))
    if options.get("remove_extra_whitespaces", True):
        steps = [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " "), *steps]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(content=" ", left=1)])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIALS])
    return tokenizer


def json_cases(oracle, texts):
    cases = []
    oracle.encode_special_tokens = True
    # The unigram model of tokenizers spells control tokens out of any text, which herd never does.
    plain = [text for text in texts if not any(special in text for special in SPECIALS)]
    cases += [("p", text, ids_line(oracle.encode(text, add_special_tokens=False).ids)) for text in plain]
    oracle.encode_special_tokens = False
    cases += [("s", text, ids_line(oracle.encode(text, add_special_tokens=False).ids)) for text in texts]
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tokenizer_dump")
    parser.add_argument("--texts", type=int, default=20_000)
    arguments = parser.parse_args()
    texts = make_texts(arguments.texts, ["<s>", "</s>", "<unk>", "<sep>", "[INST]", "<0x0A>", "<|eot_id|>"]) + EXTRA
    corpus = sentences()
    comparison = Comparison(arguments.tokenizer_dump, 0)
    library = f"sentencepiece {sentencepiece.__version__}"
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, options) in enumerate(VOCABULARIES.items()):
            model = train(corpus, options)
            path = os.path.join(folder, f"{number}.model")
            with open(path, "wb") as file:
                file.write(model)
            oracle = SentencePieceProcessor(model_proto=model)
            comparison.run(f"{name} ({library})", "model", path, model_cases(oracle, options, texts))
            if name.startswith("BPE as Llama"):
                path = os.path.join(folder, "gguf.json")
                with open(path, "w", encoding="utf-8") as file:
                    json.dump(gguf_vocabulary(oracle), file)
                comparison.run(f"{name}, as GGUF has it", "vocab-json", path,
                               [("p", text, ids_line(ids)) for text, ids in zip(texts, oracle.encode(texts))])
            if options.get("normalization_rule_name") == "identity":
                path = os.path.join(folder, f"{number}.json")
                tokenizer = tokenizer_json(oracle, options)
                tokenizer.save(path)
                comparison.run(f"{name}, as tokenizer.json (tokenizers {tokenizers.__version__})", "json", path,
                               json_cases(tokenizer, texts))
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main())
