#!/usr/bin/env python3
"""`herd convert`: the file computes what the checkpoint does, bit for bit, quantised at load or before; the PyPI package gguf reads
it; what it cannot hold is refused; a run that is killed leaves nothing. numpy and gguf.

    convert_test.py HERD_BINARY [--kills N]
"""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import gguf
import numpy as np

from block_models import model, write_models
from chat_vocabularies import VOCABULARIES, write_checkpoint
from herd_process import GOLDEN, ids_text
from model_files import Safetensors
from serve_process import DEMO_MODEL, Checks, TestFolder

ENCODING = "--quantization-encoding"
PROMPT = [72, 101, 114, 100, 32, 105, 115]
MODELS = sorted(path.parent for path in (GOLDEN / "models").glob("*/config.json"))
QUANTIZED = ("q8_0", "q4_0", "q4_k", "q6_k")
checks = Checks()


class Herd:
    def __init__(self, binary):
        self.binary = binary

    def run(self, *words, code=0):
        done = subprocess.run([self.binary, *map(str, words)], capture_output=True, timeout=300, stdin=subprocess.DEVNULL)
        said = done.stderr.decode(errors="replace")
        checks.check(f"{words[0]} {Path(words[1]).name} ends with {code}", done.returncode == code,
                     f"{words}: {done.returncode}: {said[-700:]}")
        return done.stdout.decode(errors="replace"), said

    def convert(self, source, out, *flags, code=0):
        return self.run("convert", source, out, *flags, code=code)[1]

    def computed(self, path, *flags, prompt=("--prompt-token-ids", ids_text(PROMPT))):
        """Ids of the prompt and the output, and log-probabilities, of a greedy run."""
        out, _ = self.run("generate", path, "--output", "json", "--ignore-eos", "--max-new-tokens", 6, "--logprobs", 3, "-q",
                          *prompt, *flags)
        line = json.loads(out) if out.strip() else {}
        return line.get("prompt_token_ids"), line.get("token_ids"), line.get("logprobs")


def same_logits(herd, root):
    """Of every kind of checkpoint that there are golden logits of: scaled RoPE, biases, tied heads, shards, each dtype."""
    compared = set()
    for folder in MODELS:
        out = root / (folder.name + ".gguf")
        herd.convert(folder, out, "-q")
        wanted = herd.computed(folder)
        checks.equal(f"{folder.name}: the file computes what the folder does", herd.computed(out), wanted)
        again, third = root / "again.gguf", root / "third.gguf"  # keys of a file that is read are in alphabetical order
        herd.convert(out, again, "-q", "--overwrite")
        herd.convert(again, third, "-q", "--overwrite")
        checks.check(f"{folder.name}: converted again it is the same file", again.read_bytes() == third.read_bytes())
        checks.equal(f"{folder.name}: and computes the same", herd.computed(again), wanted)
        for encoding in ("float32", "q8_0", "q4_k"):
            quantized = root / "quantized.gguf"
            herd.convert(folder, quantized, ENCODING, encoding, "--overwrite", "-q")
            if json.loads(herd.run("inspect", quantized, "--output", "json")[0])["encoding"] not in (encoding, "q5_0"):
                continue  # rows of most matrices are no multiple of 32, so that the file is one of plain numbers
            compared.add(encoding)
            checks.equal(f"{folder.name}: {encoding} in the file and at load",
                         herd.computed(quantized, *((ENCODING, "float32") if encoding == "float32" else ())),
                         herd.computed(folder, ENCODING, encoding))
    checks.equal("every encoding was compared", compared, {"float32", "q8_0", "q4_k"})


def demo(herd, root):
    """With its tokenizer: a text becomes the same ids, and the file says the same of chats and ends as the folder."""
    text = ("--prompt", "What is a herd?  Über 1234\n")
    for encoding in ("", *QUANTIZED):
        out = root / f"demo-{encoding}.gguf"
        flags = (ENCODING, encoding) if encoding else ()
        herd.convert(DEMO_MODEL, out, *flags)
        checks.equal(f"demo model {encoding}: in the file and at load", herd.computed(out, prompt=text),
                     herd.computed(DEMO_MODEL, *flags, prompt=text))
    of_file, of_folder = (json.loads(herd.run("inspect", path, "--output", "json")[0]) for path in (root / "demo-.gguf", DEMO_MODEL))
    for key in ("parameters", "tokenizer", "chat_format", "chat_samples", "tie_word_embeddings", "max_position_embeddings"):
        checks.equal(f"demo model: inspect's {key}", of_file[key], of_folder[key])
    if (Path(DEMO_MODEL) / "generation_config.json").exists():
        stated = gguf.GGUFReader(root / "demo-.gguf").fields["herd.generation_config"].contents()
        checks.equal("demo model: its sampling defaults", stated, (Path(DEMO_MODEL) / "generation_config.json").read_text())


def interleaved(rows, heads):
    """The row order of llama files, as convert_hf_to_gguf.py makes it."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def floats(stored, entry, name):
    raw = np.frombuffer(stored.tensor(name), dtype={"F32": "<f4", "F16": "<f2", "BF16": "<u2"}[entry["dtype"]])
    if entry["dtype"] == "BF16":
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32).reshape(entry["shape"])


def other_readers(herd, root):
    """Names, shapes, values and order of rows as the package gguf finds them."""
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "mlp.down_proj": "ffn_down",
             "input_layernorm": "attn_norm"}
    for folder in MODELS:
        if not (folder / "model.safetensors").exists():
            continue
        config = json.loads((folder / "config.json").read_text())
        reader = gguf.GGUFReader(root / (folder.name + ".gguf"))
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        stored = Safetensors(folder / "model.safetensors")
        for name, entry in stored.header.items():
            layer, _, part = name.removeprefix("model.layers.").partition(".")
            short, _, suffix = part.rpartition(".")
            if short not in names:
                continue
            values = floats(stored, entry, name)
            if short[-6:] in ("q_proj", "k_proj"):
                heads = config["num_attention_heads"]
                heads = heads if short[-6] == "q" else config.get("num_key_value_heads", heads)
                values = interleaved(values, heads)
            found = tensors[f"blk.{layer}.{names[short]}.{suffix}"]
            read = gguf.quants.dequantize(found.data, found.tensor_type).reshape(values.shape)
            checks.check(f"{folder.name}: {name} as gguf reads it", np.array_equal(read, values))
        checks.equal(f"{folder.name}: architecture", reader.fields["general.architecture"].contents(), "llama")
        checks.equal(f"{folder.name}: layers", reader.fields["llama.block_count"].contents(), config["num_hidden_layers"])
        checks.equal(f"{folder.name}: has divisors where RoPE is scaled", "rope_freqs.weight" in tensors,
                     "llama3" in json.dumps(config))
    types = {"q8_0": 7, "q4_0": 2, "q4_k": 15, "q6_k": 18}
    for encoding, number in types.items():
        reader = gguf.GGUFReader(root / f"demo-{encoding}.gguf")
        checks.equal(f"{encoding}: general.file_type", reader.fields["general.file_type"].contents(), number)
        vectors = {tensor.tensor_type.name for tensor in reader.tensors if "norm" in tensor.name}
        checks.equal(f"{encoding}: norms are float32", vectors, {"F32"})


def of_blocks(herd, root):
    """A file in blocks: kept as it is, or quantised a second time, which is said."""
    (root / "blocks").mkdir()
    paths = write_models(root / "blocks")
    for name in ("mixed", "mixed_k"):
        out = root / f"{name}-copy.gguf"
        herd.convert(paths[name], out)
        ours, theirs = ({tensor.name: (tensor.tensor_type, tensor.data.tobytes()) for tensor in gguf.GGUFReader(path).tensors}
                        for path in (out, paths[name]))
        checks.check(f"{name}: every tensor is copied as it is", ours == theirs)
        checks.equal(f"{name}: computed alike", herd.computed(out), herd.computed(paths[name]))
    said = herd.convert(paths["q8_0"], root / "twice.gguf", ENCODING, "q4_0")
    checks.check("a second quantisation is told", "second time" in said and "q8_0" in said, said)
    checks.equal("and gives the encoding that was asked for", herd.computed(root / "twice.gguf", ENCODING, "q4_0")[1] is not None, True)
    parts = root / "parts"
    parts.mkdir()
    shutil.copy(paths["q4_0"], parts / "whole.gguf")
    shutil.copy(Path(DEMO_MODEL) / "tokenizer.json", parts)
    said = herd.convert(parts, root / "of-folder.gguf")
    checks.check("what lies beside a GGUF file is not carried over, which is said", "not carried over" in said, said)
    checks.equal("the GGUF file of a folder", herd.computed(root / "of-folder.gguf"), herd.computed(paths["q4_0"]))


TEXTS = ["The capital of France is Paris. It's  12345 o'clock,\n\n\tisn't it?", "日本語 안녕 привет 😀 naïve", " leading and trailing ", "<|eot_id|>x",
         "def f(x):\n    return x ** 2"]
CANNOT = {"Qwen2, ChatML": "normalizer"}  # those of characters: "tokenizer.model"


def put_weights(folder):
    """Random ones of the shapes that config.json wants."""
    config = json.loads((folder / "config.json").read_text())
    hidden, mlp, rows = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    q, kv = (config["head_dim"] * config[key] for key in ("num_attention_heads", "num_key_value_heads"))
    layer = "model.layers.0."
    shapes = {"model.embed_tokens.weight": (rows, hidden), "lm_head.weight": (rows, hidden), "model.norm.weight": (hidden,),
              layer + "input_layernorm.weight": (hidden,), layer + "post_attention_layernorm.weight": (hidden,),
              layer + "self_attn.q_proj.weight": (q, hidden), layer + "self_attn.k_proj.weight": (kv, hidden),
              layer + "self_attn.v_proj.weight": (kv, hidden), layer + "self_attn.o_proj.weight": (hidden, q),
              layer + "mlp.gate_proj.weight": (mlp, hidden), layer + "mlp.up_proj.weight": (mlp, hidden),
              layer + "mlp.down_proj.weight": (hidden, mlp)}
    header, data, chance = {}, b"", np.random.default_rng(1)
    for name, shape in shapes.items():
        values = chance.standard_normal(shape, dtype=np.float32).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


def vocabularies(herd, root):
    """Of each kind: the file makes the folder's ids of texts and its prompts of chats, or is refused."""
    held = 0
    for number, name in enumerate(VOCABULARIES):
        folder = write_checkpoint(root / f"vocabulary-{number}", name)[0]
        put_weights(folder)
        by_characters = not any(kind in name for kind in ("Llama 3", "Qwen2", "SmolLM2"))
        why = "tokenizer.model" if by_characters else CANNOT.get(name)
        out = root / f"vocabulary-{number}.gguf"
        said = herd.convert(folder, out, code=3 if why else 0)
        if why:
            checks.check(f"{name}: refused", "GGUF cannot hold this tokenizer" in said and why in said, said[-400:])
            continue
        held += 1
        for text in TEXTS:
            checks.equal(f"{name}: {text!r}", herd.computed(out, prompt=("--prompt", text)), herd.computed(folder, prompt=("--prompt", text)))
        of_file, of_folder = (json.loads(herd.run("inspect", path, "--output", "json")[0]) for path in (out, folder))
        checks.equal(f"{name}: chats", of_file["chat_samples"], of_folder["chat_samples"])
        checks.check(f"{name}: a chat has a prompt", any(sample["prompt"] for sample in of_file["chat_samples"]))
    checks.equal("vocabularies that GGUF holds", held, 3)


def refusals(herd, root):
    empty = root / "refused"
    empty.mkdir()
    out = empty / "out.gguf"
    kept = root / "kept.gguf"
    kept.write_bytes(b"somebody's work")

    def refused(name, source, to, *flags, code, words):
        said = herd.convert(source, to, *flags, code=code)
        checks.check(f"{name}: the message", all(word in said for word in words), said[-500:])
        checks.equal(f"{name}: nothing is left", sorted(os.listdir(empty)), [])

    refused("an existing file", DEMO_MODEL, kept, code=2, words=("kept.gguf", "--overwrite"))
    checks.equal("it is as it was", kept.read_bytes(), b"somebody's work")
    refused("a folder", DEMO_MODEL, empty, code=2, words=("is a folder",))
    refused("no such folder", DEMO_MODEL, empty / "none" / "out.gguf", code=4, words=("out.gguf", "No such file"))
    for encoding in ("q5_1", "q4_k_m", "Q4_K", "int4"):
        refused(f"encoding {encoding}", DEMO_MODEL, out, ENCODING, encoding, code=2, words=(encoding, "q4_k", "bfloat16"))
    refused("threads", DEMO_MODEL, out, "--threads", -1, code=2, words=("--threads",))
    refused("no model", root / "nothing", out, code=4, words=("nothing",))
    with_gaps = broken_copy(root, "gaps")
    (with_gaps / "config.json").write_text("{")
    refused("a broken config", with_gaps, out, code=3, words=("config.json",))
    for name, value, encoding in (("NaN", 0x7fc0, ()), ("infinity", 0x7f80, (ENCODING, "q4_k")), ("large", 0x7f00, (ENCODING, "float16")),
                                  ("large for a scale", 0x7f00, (ENCODING, "q8_0"))):
        folder = broken_copy(root, name.replace(" ", "-"))
        put_first(folder, "model.layers.0.mlp.up_proj.weight", value)
        refused(name, folder, out, *encoding, code=3, words=("up_proj", "rows [0,", "not finite, or too large"))
    for name, edit, words in (
            ("a normalizer", {"normalizer": {"type": "NFC"}}, ("normalizer",)),
            ("an unknown cut", {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": "[a-y]+"}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}}, ("tokenizer.ggml.pre",))):
        folder = broken_copy(root, name.replace(" ", "-"))
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        (folder / "tokenizer.json").write_text(json.dumps({**tokenizer, **edit}))
        refused(name, folder, out, code=3, words=("GGUF cannot hold this tokenizer", *words))
    plain = broken_copy(root, "no-tokenizer")
    (plain / "tokenizer.json").unlink()
    said = herd.convert(plain, root / "no-tokenizer.gguf")
    checks.check("without a tokenizer: told", "no tokenizer" in said, said)
    checks.equal("without a tokenizer: computed", herd.computed(root / "no-tokenizer.gguf"), herd.computed(plain))


def broken_copy(root, name):
    folder = root / "broken" / name
    shutil.copytree(DEMO_MODEL, folder)
    return folder


def put_first(folder, name, bits):
    """The first element of a bfloat16 tensor."""
    path = folder / "model.safetensors"
    file = Safetensors(path)
    assert file.header[name]["dtype"] == "BF16"
    file.replace_tensor(name, bits.to_bytes(2, "little") + file.tensor(name)[2:])
    file.write(path)


def has_nameless_files(folder):
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
        return True
    except OSError:
        return False


def killed(herd, root, kills):
    """At any moment: what is there is the file that was there before, or a whole new one. A file system without files that have no
    name may keep the unfinished one, under another name."""
    source = root / "large.gguf"
    model("mixed_k", 12).write(source)
    folder = root / "killed"
    folder.mkdir()
    out = folder / "out.gguf"
    begin = time.monotonic()
    herd.convert(source, out, ENCODING, "q6_k", "-q")
    lasts_s = time.monotonic() - begin
    whole = out.read_bytes()
    chance = random.Random(1)
    others = set() if has_nameless_files(folder) else {".out.gguf.unfinished"}
    early = 0
    for kill in range(kills):
        before = b"before" if kill % 2 else None
        out.unlink(missing_ok=True)
        if before:
            out.write_bytes(before)
        process = subprocess.Popen([herd.binary, "convert", source, out, ENCODING, "q6_k", "-q", "--overwrite"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0, 1.1 * lasts_s))
        process.send_signal(chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
        process.wait()
        there = out.read_bytes() if out.exists() else None
        early += there != whole
        checks.check(f"killed, {kill}: no half file", there in (before, whole) and set(os.listdir(folder)) <= {"out.gguf"} | others,
                     f"{os.listdir(folder)}, {len(there or b'')} bytes")
    checks.check("kills came before the end", early >= kills / 2, f"{early} of {kills}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--kills", type=int, default=12)
    arguments = parser.parse_args()
    herd = Herd(arguments.herd)
    with TestFolder() as root:
        same_logits(herd, root)
        demo(herd, root)
        other_readers(herd, root)
        of_blocks(herd, root)
        vocabularies(herd, root)
        refusals(herd, root)
        killed(herd, root, arguments.kills)
    checks.finish()


if __name__ == "__main__":
    main()
