"""tokenizer.json definitions over all kinds of components, for tokenizer_parity.py: vocabularies trained here, each with
normalizers, pre-tokenizers, post-processors, decoders and added tokens of its own. REFUSED lists those that herd refuses,
with the words of the refusal."""
import base64
import io
import json

from sentencepiece import SentencePieceTrainer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
NEOX = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
             r"|\s*[\r\n]+|\s+(?!\S)|\s+")
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
ODD = r"\b(?=[A-Z])|(?<=\d)(?=\D)|(?<![\w-])-+|\h{2}++|[[:punct:]&&[^-]]|^\s|\s$|(?>\s+)\w|.{40}?"
SPECIALS = ["<unk>", "<s>", "</s>"]
REFUSED = {"BertNormalizer": "normalizer.type: 'BertNormalizer'", "WordLevel": "model.type: 'WordLevel'"}


def bpe_bytes(corpus):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=4000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=SPECIALS, show_progress=False))
    return json.loads(tokenizer.to_str())


def bpe_characters(corpus):
    """As Llama 2's file: U+2581 for spaces, bytes for what has no token."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=4000, limit_alphabet=400, special_tokens=SPECIALS + [f"<0x{b:02X}>" for b in range(256)], show_progress=False))
    tokenizer.pre_tokenizer = None
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    definition = json.loads(tokenizer.to_str())
    definition["added_tokens"] = [t for t in definition["added_tokens"] if not t["content"].startswith("<0x")]
    return definition


def words(corpus):
    """Characters without any fallback: what has no token is <unk>, or nothing."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=3000, limit_alphabet=200, special_tokens=SPECIALS,
                                                              show_progress=False))
    return json.loads(tokenizer.to_str())


def unigram(corpus):
    """As converters write SentencePiece's: scores, no fallback."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    few = ("".join(c for c in text if c < "\u0180") for text in corpus)  # all characters of the corpus get a token
    tokenizer.train_from_iterator(few, trainers.UnigramTrainer(vocab_size=2000, special_tokens=SPECIALS, unk_token="<unk>",
                                                                  show_progress=False))
    return json.loads(tokenizer.to_str())


def fields(message):
    """Number and bytes of each length-delimited field of a protobuf message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            size = varint()
            yield key >> 3, message[at:at + size]
            at += size
        elif key & 7 == 5:
            at += 4
        else:
            varint()


def charsmap():
    """SentencePiece's map of characters for NFKC, as a file carries it."""
    model = io.BytesIO()
    SentencePieceTrainer.train(sentence_iterator=iter(["some words to train on"] * 9), model_writer=model, vocab_size=99, hard_vocab_limit=False,
                               normalization_rule_name="nmt_nfkc", minloglevel=2)
    spec = next(data for number, data in fields(model.getvalue()) if number == 3)
    return base64.b64encode(next(data for number, data in fields(spec) if number == 2)).decode()


def part(component):
    """A component as the file spells it."""
    return json.loads(component.__getstate__())


def byte_level(*stages):
    return part(pre_tokenizers.Sequence([*stages, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def around(*pieces):
    ids = {"<s>": 1, "</s>": 2}
    return part(processors.TemplateProcessing(single=" ".join(pieces), pair=None, special_tokens=list(ids.items())))


def added(*tokens):
    """Each (content, flags): 'l' and 'r' strip, 'n' normalized, 'w' single word, 's' special."""
    return [dict(content=content, lstrip="l" in flags, rstrip="r" in flags, normalized="n" in flags, single_word="w" in flags,
                 special="s" in flags) for content, flags in tokens]


def definitions(corpus):
    """Name -> definition, in the order of the names."""
    made = {}
    by, ch, wo, un = bpe_bytes(corpus), bpe_characters(corpus), words(corpus), unigram(corpus)

    def add(name, base, new_tokens=(), model=None, **parts):
        definition = json.loads(json.dumps(base))
        definition.update(parts)
        definition["model"].update(model or {})
        vocabulary = definition["model"]["vocab"]
        ids = vocabulary if isinstance(vocabulary, dict) else {piece: i for i, (piece, _) in enumerate(vocabulary)}
        next_id = max([*ids.values(), *(t["id"] for t in definition["added_tokens"])]) + 1
        for token in new_tokens:
            known = ids.get(token["content"])
            definition["added_tokens"].append({"id": next_id if known is None else known, **token})
            next_id += known is None
        definition["added_tokens"].sort(key=lambda token: token["id"])
        made[name] = definition

    for name, pattern in (("Llama 3", LLAMA3), ("Qwen2", QWEN2), ("o200k", O200K), ("Tekken", TEKKEN), ("GPT-NeoX", NEOX),
                          ("Kimi", KIMI), ("odd", ODD)):
        add(f"Split, {name}", by, pre_tokenizer=byte_level(split(pattern)))
    add("ignore_merges", by, model={"ignore_merges": True}, pre_tokenizer=byte_level(split(LLAMA3)))
    add("StarCoder", by, pre_tokenizer=part(pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])))
    add("DeepSeek V3", by, pre_tokenizer=byte_level(split(r"\p{N}{1,3}"), split(r"[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK3)))
    for behavior in ("removed", "contiguous", "merged_with_previous", "merged_with_next"):
        add(f"Split, {behavior}", by, pre_tokenizer=byte_level(split(r"\s|\d\d?|[aeiou]", behavior)))
        add(f"Split, {behavior}, inverted", by, pre_tokenizer=byte_level(split(r"\w+|\s", behavior, True)))
    add("Split, a text", by, pre_tokenizer=byte_level(pre_tokenizers.Split("a.", "isolated"), pre_tokenizers.Split(" ", "removed")))
    add("Whitespace, Punctuation", by, pre_tokenizer=byte_level(pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("contiguous")))
    add("WhitespaceSplit, Digits", by, pre_tokenizer=byte_level(pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(False)))
    add("BertPreTokenizer", by, pre_tokenizer=byte_level(pre_tokenizers.BertPreTokenizer()))
    add("CharDelimiterSplit", by, pre_tokenizer=byte_level(pre_tokenizers.CharDelimiterSplit("e")))
    add("ByteLevel first", by, pre_tokenizer=part(pre_tokenizers.Sequence([
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False), pre_tokenizers.Split("Ġ", "merged_with_next")])))
    add("NFC", by, normalizer=part(normalizers.NFC()), post_processor=around("<s>", "$A", "</s>"),
        new_tokens=added(("é", "n"), ("<nfd>e\u0301", "sn")))
    add("NFKC, Lowercase", by, normalizer=part(normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])),
        new_tokens=added(("THE", "n"), ("The", ""), ("<UP>", "sn")))
    add("NFD, Strip", by, normalizer=part(normalizers.Sequence([normalizers.NFD(), normalizers.Strip(left=True, right=False)])))
    add("NFKD, Replace", by, normalizer=part(normalizers.Sequence([
        normalizers.NFKD(), normalizers.Replace(Regex(r"\s{2,}|(?<=\d),(?=\d)"), " "), normalizers.Replace("'", "’"),
        normalizers.Strip()])))
    add("added tokens", by, new_tokens=added(("<l>", "ls"), ("<r>", "rs"), ("<lr>", "lrs"), ("\n\n", ""), ("  ", "r"), ("word", "w"),
                                             ("the", "w"), ("of", ""), ("<n>", "ns"), ("norm", "n"), ("<l><r>", "s"), ("is", "wl")))
    add("added tokens, prefix space", by, pre_tokenizer=part(pre_tokenizers.ByteLevel(add_prefix_space=True)),
        new_tokens=added(("<l>", "ls"), ("<r>", "rs"), ("the", "wr"), ("norm", "n")),
        post_processor=part(processors.RobertaProcessing(("</s>", 2), ("<s>", 1))))
    add("Llama 2", ch, post_processor=around("<s>", "$A"), new_tokens=added(("<r>", "rs"), ("the", "n")))
    add("Llama 2, no fusing, no fallback", ch, model={"fuse_unk": False, "byte_fallback": False})
    add("Llama 2, fused unknowns", ch, model={"byte_fallback": False}, normalizer=part(normalizers.Replace(" ", "▁")))
    for scheme in ("always", "first", "never"):
        metaspace = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=scheme != "never")
        add(f"Metaspace, {scheme}", ch, normalizer=None, pre_tokenizer=part(metaspace),
            decoder=part(decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])),
            new_tokens=added(("<r>", "rs"), ("<l>", "l"), ("of", "n")))
    add("Metaspace and its decoder", wo, pre_tokenizer=part(pre_tokenizers.Metaspace(replacement="_")),
        decoder=part(decoders.Metaspace(replacement="_")))
    add("words", wo, new_tokens=added(("two words", ""), ("of", "w")))
    add("words, fused unknowns", wo, model={"fuse_unk": True}, post_processor=part(processors.BertProcessing(("</s>", 2), ("<s>", 1))),
        pre_tokenizer=part(pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.WhitespaceSplit()])))
    add("words without an unknown token", wo, model={"unk_token": None}, normalizer=part(normalizers.Lowercase()))
    add("decoder in steps", by, decoder=part(decoders.Sequence([decoders.ByteLevel(), decoders.Fuse()])))
    add("a merge twice", by, model={"merges": by["model"]["merges"] + by["model"]["merges"][:40]})
    precompiled = {"type": "Precompiled", "precompiled_charsmap": charsmap()}
    add("Unigram", un, new_tokens=added(("<r>", "rs"), ("two words", "")), post_processor=around("$A", "</s>"))
    add("Unigram, Precompiled", un, normalizer={"type": "Sequence", "normalizers": [
        precompiled, part(normalizers.Replace(Regex(" {2,}"), " "))]})
    add("Precompiled before bytes", by, normalizer=precompiled)
    add("BertNormalizer", by, normalizer=part(normalizers.BertNormalizer()))
    add("WordLevel", wo, model={"type": "WordLevel", "merges": None})
    return made
