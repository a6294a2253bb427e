#!/usr/bin/env python3
"""Writes a GGUF file of the shape of Llama 3.2 1B, or Llama 3.1 8B, with random weights: a model that herd and other programs read
alike.

    random_gguf.py FILE [--shape 1b|8b] [--layers N] [--encoding bf16|q8_0|q4_0|q4_1|q5_0|q5_1|q4_k|q5_k|q6_k|q4_k_m]

bf16: 2.5 GB, 16 GB. Blocks are made, not computed from numbers: random integers, and scales that give an element the size that a
bf16 one has. As in the files that people download, the embedding and the head beside 4- and 5-bit weights are q6_k; q4_k_m is mixed
as llama.cpp's Q4_K_M. The vocabulary has 128,256 ids: the 256 bytes, one merge, names that no text contains, and two control
tokens, so that a byte of plain text is a token. Wants the packages gguf and numpy.
"""
import argparse
import sys
from dataclasses import dataclass, replace

import gguf
import numpy as np

@dataclass(frozen=True)
class Shape:
    name: str
    layers: int
    hidden: int
    ffn: int
    heads: int
    head_dim: int
    tied: bool
    kv_heads: int = 8


SHAPES = {"1b": Shape("Llama 3.2 1B", 16, 2048, 8192, 32, 64, True), "8b": Shape("Llama 3.1 8B", 32, 4096, 14336, 32, 128, False)}
VOCAB = 128256
BEGIN, END = VOCAB - 2, VOCAB - 1
KIND_NORMAL, KIND_CONTROL = 1, 3
ROWS_AT_ONCE = 4096
Quants = gguf.GGMLQuantizationType
# Per encoding: elements and bytes of a block, where its f16 scale and minimum lie, the root of the mean square of its elements in
# units of the scale.
BLOCKS = {"q8_0": (32, 34, 0, None, 73.9), "q4_0": (32, 18, 0, None, 4.6), "q4_1": (32, 20, 0, 2, 4.6),
          "q5_0": (32, 22, 0, None, 9.2), "q5_1": (32, 24, 0, 2, 9.2), "q4_k": (256, 144, 0, 2, 258),
          "q5_k": (256, 176, 0, 2, 527), "q6_k": (256, 210, 208, None, 18.5 * 73.9)}
MIDDLE = {"q4_1": -7.5, "q5_1": -15.5, "q4_k": 7.5, "q5_k": 15.5}  # a minimum that takes the mean off: q4_k subtracts it
FILE_TYPES = {"q4_k": "Q4_K_S", "q5_k": "Q5_K_S"}


def byte_letters():
    """The letters that a byte-level vocabulary writes bytes with: printable ones are themselves, the others follow at 256."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


def add_vocabulary(writer):
    letters = byte_letters()
    tokens = [*letters, "ab"]
    tokens += [f"unused{i}" for i in range(len(tokens), BEGIN)] + ["<|begin_of_text|>", "<|end_of_text|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types([KIND_NORMAL] * BEGIN + [KIND_CONTROL] * 2)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(BEGIN)
    writer.add_eos_token_id(END)
    writer.add_add_bos_token(False)


def matrices(shape):
    """(name, outputs, inputs)"""
    yield "token_embd.weight", VOCAB, shape.hidden  # the head, too, where it is tied
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    for layer in range(shape.layers):
        for part, outputs, inputs in (("attn_q", query, shape.hidden), ("attn_k", key, shape.hidden), ("attn_v", key, shape.hidden),
                                      ("attn_output", shape.hidden, query), ("ffn_gate", shape.ffn, shape.hidden),
                                      ("ffn_up", shape.ffn, shape.hidden), ("ffn_down", shape.hidden, shape.ffn)):
            yield f"blk.{layer}.{part}.weight", outputs, inputs
    if not shape.tied:
        yield "output.weight", VOCAB, shape.hidden


def norms(shape):
    for layer in range(shape.layers):
        yield f"blk.{layer}.attn_norm.weight"
        yield f"blk.{layer}.ffn_norm.weight"
    yield "output_norm.weight"


def has_more_bits(layer, layers):
    """Of llama.cpp's Q4_K_M: the first and the last eighth of the layers, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def encoding_of(name, encoding, layers):
    if not name.startswith("blk."):
        return "q6_k" if encoding[:2] in ("q4", "q5") else encoding
    if encoding != "q4_k_m":
        return encoding
    _, layer, part, _ = name.split(".")
    return "q6_k" if part in ("attn_v", "ffn_down") and has_more_bits(int(layer), layers) else "q4_k"


def row_bytes(encoding, inputs):
    if encoding == "bf16":
        return inputs * 2
    elements, size, *_ = BLOCKS[encoding]
    return inputs // elements * size


def random_rows(random, encoding, outputs, inputs):
    """Uniform in ±sqrt(3 / inputs), or blocks whose elements are as large, as bytes: such rows keep the size of what they are
    multiplied with."""
    if encoding == "bf16":
        values = random.random((outputs, inputs), dtype=np.float32)
        values -= 0.5
        values *= 2 * (3 / inputs) ** 0.5
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    elements, size, scale_at, minimum_at, root = BLOCKS[encoding]
    blocks = random.integers(0, 256, (outputs * inputs // elements, size), dtype=np.uint8)
    scales = (random.random(len(blocks), dtype=np.float32) + 0.5) / (root * inputs ** 0.5)
    blocks[:, scale_at:scale_at + 2] = scales.astype(np.float16)[:, None].view(np.uint8)
    if minimum_at is not None:
        blocks[:, minimum_at:minimum_at + 2] = (MIDDLE[encoding] * scales).astype(np.float16)[:, None].view(np.uint8)
    return blocks.reshape(outputs, -1)


def quants_of(encoding):
    return Quants[encoding.upper()]


def write_model(path, shape=SHAPES["1b"], encoding="bf16"):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"random, shape of {shape.name}")
    writer.add_context_length(131072)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(500000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    writer.add_file_type(gguf.LlamaFileType["MOSTLY_" + FILE_TYPES.get(encoding, encoding.upper())])
    add_vocabulary(writer)
    for name in norms(shape):
        writer.add_tensor_info(name, (shape.hidden,), np.dtype(np.float32), shape.hidden * 4)
    for name, outputs, inputs in matrices(shape):
        own = encoding_of(name, encoding, shape.layers)
        size = row_bytes(own, inputs)
        writer.add_tensor_info(name, (outputs, size), np.dtype(np.uint8), outputs * size, quants_of(own))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _ in norms(shape):
        writer.write_tensor_data(np.ones(shape.hidden, dtype=np.float32))
    random = np.random.default_rng(1)
    for name, outputs, inputs in matrices(shape):
        own = encoding_of(name, encoding, shape.layers)
        rows = [random_rows(random, own, min(ROWS_AT_ONCE, outputs - row), inputs) for row in range(0, outputs, ROWS_AT_ONCE)]
        writer.write_tensor_data(np.concatenate(rows))
    writer.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--shape", choices=SHAPES, default="1b")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--encoding", choices=["bf16", *BLOCKS, "q4_k_m"], default="bf16")
    arguments = parser.parse_args()
    shape = SHAPES[arguments.shape]
    if arguments.layers:
        shape = replace(shape, layers=arguments.layers)
    write_model(arguments.file, shape, arguments.encoding)


if __name__ == "__main__":
    sys.exit(main())
