#!/usr/bin/env python3
"""GGUF files as the PyPI package gguf writes them: every metadata type, models in parts, folders of several models. Each
file holds the weights of one golden checkpoint, so that its tokens are known. numpy and gguf.

    gguf_files_test.py HERD_BINARY
"""
import json
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np

from herd_process import GOLDEN, ids_text
from model_files import Safetensors, byte_alphabet
from serve_process import Checks, TestFolder

HERD = sys.argv[1]
BASE = GOLDEN / "models" / "mha-d32-tied-f32"
CONFIG = json.loads((BASE / "config.json").read_text())
GOLDEN_TOKENS = json.loads((BASE / "golden.json").read_text())
NEW_TOKENS = 16
WANTED = GOLDEN_TOKENS["greedy_token_ids"][:NEW_TOKENS]
FLOAT32 = ("--quantization-encoding", "float32")
HEADS = CONFIG["num_attention_heads"]
KV_HEADS = CONFIG.get("num_key_value_heads", HEADS)
PARTS = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
checks = Checks()


def gguf_name(name):
    for long, short in {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
                        "model.layers": "blk", **PARTS}.items():
        name = name.replace(long, short)
    return name


def interleaved(rows, heads):
    """The row order of llama files: what Hugging Face keeps in two halves of a head lies in pairs."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def tensors():
    stored = Safetensors(BASE / "model.safetensors")
    result = {}
    for name, entry in stored.header.items():
        if name == "__metadata__":
            continue
        values = np.frombuffer(stored.tensor(name), dtype=np.float32).reshape(entry["shape"])
        if "q_proj" in name or "k_proj" in name:
            values = interleaved(values, HEADS if "q_proj" in name else KV_HEADS)
        result[gguf_name(name)] = np.ascontiguousarray(values)
    return result


TENSORS = tensors()
SIZES = {"context_length": CONFIG["max_position_embeddings"], "embedding_length": CONFIG["hidden_size"],
         "block_count": CONFIG["num_hidden_layers"], "feed_forward_length": CONFIG["intermediate_size"],
         "attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS, "vocab_size": CONFIG["vocab_size"]}


def write(path, *, add=lambda writer: None, size=gguf.GGUFWriter.add_uint32, kind=None, more=(), **how):
    """`add` adds keys, `size` writes the sizes, `kind` is what matrices are stored as, `more`: other tensors."""
    writer = gguf.GGUFWriter(str(path), "llama", **how)
    for key, value in SIZES.items():
        size(writer, f"llama.{key}", value)
    writer.add_layer_norm_rms_eps(CONFIG["rms_norm_eps"])
    writer.add_rope_freq_base(CONFIG["rope_theta"])
    add(writer)
    for name, values in {**TENSORS, **dict(more)}.items():
        if kind is None or values.ndim == 1 or values.shape[1] % 32:  # a row of whole blocks
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def herd(*words, code=0):
    done = subprocess.run([HERD, *map(str, words)], capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    said = done.stderr.decode(errors="replace")
    checks.check(f"{words[0]} ends with {code}", done.returncode == code, f"{words}: {done.returncode}: {said[-600:]}")
    return done.stdout.decode(errors="replace"), said


def tokens(model, *flags):
    out, said = herd("generate", model, "-q", "--output", "json", "--ignore-eos", "--max-new-tokens", NEW_TOKENS,
                     "--prompt-token-ids", ids_text(GOLDEN_TOKENS["prompt_token_ids"]), *flags)
    lines = out.splitlines()
    return json.loads(lines[0])["token_ids"] if lines else said


def check_tokens(name, model, *flags):
    checks.equal(f"tokens: {name}", tokens(model, *(flags or FLOAT32)), WANTED)


def check_refused(name, model, *parts, flags=("--prompt-token-ids", "1"), code=3):
    _, said = herd("generate", model, *flags, code=code)
    for part in parts:
        checks.check(f"{name}: {part}", part in said, said[-600:])


def every_type(writer):
    number = {"uint8": 200, "int8": -3, "uint16": 60000, "int16": -300, "uint32": 4 * 10**9, "int32": -70000,
              "uint64": 2**63, "int64": -2**40, "float32": 0.5, "float64": 1e-300, "bool": True, "string": "ü"}
    for kind, value in number.items():
        getattr(writer, f"add_{kind}")(f"test.{kind}", value)
    for name, values in {"ints": [1, -2], "floats": [0.5, 1.5], "texts": ["", "a", "ü" * 70], "bools": [True, False],
                         "bytes": b"\0\1\2", "nested": [[1, 2], [3]], "deeper": [[["x"], ["y", "z"]], [["w"]]]}.items():
        writer.add_array(f"test.{name}", values)


def metadata(root):
    check_tokens("every metadata type, arrays of arrays", write(root / "types.gguf", add=every_type))
    writers = gguf.GGUFWriter
    for size in (writers.add_uint16, writers.add_int16, writers.add_int32, writers.add_uint64, writers.add_int64):
        check_tokens(f"sizes by {size.__name__}", write(root / f"{size.__name__}.gguf", size=size))
    whole = write(root / "v3.gguf")
    second = root / "v2.gguf"
    second.write_bytes(b"GGUF\2" + whole.read_bytes()[5:])  # the same layout under an older number
    check_tokens("version 2", second)
    check_tokens("an alignment of its own", write(root / "aligned.gguf", add=lambda w: w.add_custom_alignment(1024)))
    layers = CONFIG["num_hidden_layers"]
    check_tokens("the heads of each layer", write(root / "list.gguf", add=lambda w: (
        w.add_head_count([HEADS] * layers), w.add_head_count_kv([KV_HEADS] * layers),
        w.add_feed_forward_length([CONFIG["intermediate_size"]] * layers)), size=lambda w, key, value:
            None if "head_count" in key or "feed_forward" in key else w.add_uint32(key, value)))
    big = write(root / "big.gguf", endianess=gguf.GGUFEndian.BIG)
    check_refused("big-endian", big, "big.gguf: is a big-endian GGUF file")
    _, said = herd("generate", write(root / "later.gguf", add=lambda w: w.add_uint32("llama.later_idea", 1)),
                   "--prompt-token-ids", "1", "--max-new-tokens", "1")
    checks.check("a key that is not known is named", "llama.later_idea: is not known here and not used" in said, said)


def positions(root):
    """Linear scaling is a division of every frequency, which rope_freqs.weight can state as well."""
    half = CONFIG["hidden_size"] // HEADS // 2
    divided = write(root / "divided.gguf", more={"rope_freqs.weight": np.full(half, 4, np.float32)})
    linear = write(root / "linear.gguf", add=lambda w: (w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR),
                                                        w.add_rope_scaling_factor(4.0)))
    expected = tokens(divided, *FLOAT32)
    checks.equal("linear scaling", tokens(linear, *FLOAT32), expected)
    checks.check("changes what is generated", expected != WANTED, expected)
    check_tokens("a factor of 1", write(root / "one.gguf", add=lambda w: w.add_rope_scaling_factor(1.0)))
    yarn = write(root / "yarn.gguf", add=lambda w: (w.add_rope_scaling_type(gguf.RopeScalingType.YARN),
                                                    w.add_rope_scaling_factor(4.0)))
    check_refused("yarn", yarn, 'llama.rope.scaling.type: "yarn" is not supported yet')


def parts(root):
    for number, how in enumerate(({"split_max_tensors": 4}, {"split_max_tensors": 4, "small_first_shard": True},
                                  {"split_max_size": 40_000})):
        folder = root / f"parts {number}"
        folder.mkdir()
        write(folder / "model.gguf", **how)
        files = sorted(folder.iterdir())
        checks.check(f"gguf writes several parts: {how}", len(files) > 2, files)
        check_tokens(f"the folder of parts: {how}", folder)
        for file in (files[0], files[1], files[-1]):
            check_tokens(f"{file.name} of {how}", file)
    out, _ = herd("inspect", files[1], "--output", "json")
    listed = json.loads(out)["tensors"]
    checks.equal("inspect lists the tensors of all parts", len(listed), len(TENSORS))
    checks.equal("and where they lie", {Path(one["file"]).name for one in listed}, {file.name for file in files})
    files[1].rename(folder / "elsewhere.gguf")
    check_refused("a part is missing", files[0], f"missing beside it: {files[1].name}", code=4)
    check_refused("a part without its name", folder / "elsewhere.gguf", "split.count: is one of ")


def encodings(root):
    folder = root / "encodings"
    folder.mkdir()
    kinds = {"q8_0": "Q8_0", "q4_0": "Q4_0", "q4_1": "Q4_1", "q5_0": "Q5_0", "q5_1": "Q5_1", "bfloat16": "BF16", "float16": "F16"}
    for name, kind in kinds.items():
        write(folder / f"m-{kind}.gguf", kind=gguf.GGMLQuantizationType[kind])
    check_refused("several models", folder, "has several GGUF models (m-BF16.gguf in bfloat16, m-F16.gguf in float16, ",
                  "--quantization-encoding")
    for name, kind in kinds.items():
        flags = ("--quantization-encoding", name)
        checks.equal(f"{name} chooses its file", tokens(folder, *flags), tokens(folder / f"m-{kind}.gguf", *flags))
        out, _ = herd("inspect", folder / f"m-{kind}.gguf", "--output", "json")
        checks.equal(f"whose encoding is {name}", json.loads(out)["encoding"], name)
    check_refused("none in float32", folder, "none of them in float32", flags=("--prompt-token-ids", "1", *FLOAT32))


def templates(root):
    """The package writes the default one under the old key and the others under their names."""
    def add(writer):
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("llama-bpe")
        writer.add_token_list([*byte_alphabet(), "<|end|>"])
        writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL])
        writer.add_eos_token_id(256)
        writer.add_add_bos_token(False)
        writer.add_chat_template([{"name": "tool_use", "template": "TOOLS"}, {"name": "default", "template": "USUAL"}])

    out, _ = herd("inspect", write(root / "templates.gguf", add=add))
    checks.check("of named templates the default one chats, the other one with tools", 0 < out.find("USUAL") < out.find("TOOLS"), out)


def main():
    with TestFolder() as root:
        for part in (metadata, positions, parts, encodings, templates):
            part(Path(root))
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
