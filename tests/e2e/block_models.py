#!/usr/bin/env python3
"""Random models whose matrices are in blocks, one GGUF file a format and two of several. The same bytes on every machine: blocks
are made of Python's own random bytes, nothing is rounded. Standard library only.

    block_models.py FOLDER [--layers N]       writes FOLDER/q8_0.gguf, q4_0, …, mixed, mixed_k; prints their paths

Rows are whole blocks of 256, three of them; eight tensor-parallel ranks have three heads and 96 inputs of the MLP each, so that
their slices begin inside blocks. Elements are about 1 / sqrt(768), as of a trained model.
"""
import argparse
import random
import struct
from pathlib import Path

from model_files import ARRAY, F32, GGML_F32, STRING, U32, Gguf, GgufTensor, gguf_byte_tokenizer

HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM, LAYERS, VOCABULARY = 768, 768, 24, 4, 32, 2, 259
SPECIAL = ("<|end|>", "<|begin|>", "<|other|>")


class Format:
    """number: ggml's. scale: offset of the f16 d in a block, exponent: of its f16 bits, minimum: of m's beside d's, or None."""

    def __init__(self, number, elements, size, scale, exponent, minimum=None):
        self.number, self.elements, self.size = number, elements, size
        self.scale, self.exponent, self.minimum = scale, exponent, minimum

    def blocks(self, source, count):
        """Random quants; scales of one binade and either sign, of q6_k subnormal as the small ones of real models are. A minimum
        takes the mean off: it has the other sign, or the same one in super-blocks, where it is subtracted."""
        data = bytearray(source.randbytes(count * self.size))
        high = self.scale + 1
        data[high::self.size] = data[high::self.size].translate(in_binade(self.exponent))
        if self.minimum is not None:
            sign = 0 if self.elements == 256 else 0x80
            of_minimum = bytes((byte ^ sign) + (self.minimum << 2) & 0xff for byte in range(256))
            data[high + 2::self.size] = data[high::self.size].translate(of_minimum)
        return bytes(data)


def in_binade(exponent):
    """Of the high bytes of f16 numbers: sign and mantissa stay."""
    return bytes(byte & 0x83 | exponent << 2 for byte in range(256))


BLOCKS = {"q8_0": Format(8, 32, 34, 0, 3), "q4_0": Format(2, 32, 18, 0, 7), "q4_1": Format(3, 32, 20, 0, 7, minimum=3),
          "q5_0": Format(6, 32, 22, 0, 6), "q5_1": Format(7, 32, 24, 0, 6, minimum=4), "q4_k": Format(12, 256, 144, 0, 1, minimum=3),
          "q5_k": Format(13, 256, 176, 0, 1, minimum=4), "q6_k": Format(14, 256, 210, 208, 0)}
GGML_F16, GGML_BF16 = 1, 30
PARTS = {"attn_q": (HEADS * HEAD_DIM, HIDDEN), "attn_k": (KV_HEADS * HEAD_DIM, HIDDEN), "attn_v": (KV_HEADS * HEAD_DIM, HIDDEN),
         "attn_output": (HIDDEN, HEADS * HEAD_DIM), "ffn_gate": (FFN, HIDDEN), "ffn_up": (FFN, HIDDEN), "ffn_down": (HIDDEN, FFN)}
# Of q, k, v, o, gate, up, down. mixed: the first layer has a format for each, the next is as converters leave it, the third half
# plain. mixed_k: a layer as llama.cpp's Q4_K_M has it, one with q5_k, one with what it takes for rows of no whole super-blocks.
MIXED = {"mixed": (("q4_0", "q8_0", "q6_k", "q4_1", "q5_0", "q5_1", "q6_k"), ("q4_0", "q4_0", "q6_k", "q4_0", "q4_0", "q4_0", "q4_1"),
                   ("bf16", "f16", "f32", "q4_0", "q4_0", "bf16", "f16")),
         "mixed_k": (("q4_k", "q4_k", "q6_k", "q4_k", "q4_k", "q4_k", "q6_k"), ("q5_k", "q5_k", "q6_k", "q4_k", "q4_k", "q4_k", "q5_k"),
                     ("q4_k", "q5_0", "q8_0", "q5_k", "q4_k", "q5_0", "q8_0"))}
ENDS = {"mixed": ("q8_0", "q6_k"), "mixed_k": ("q4_k", "q6_k")}  # the embedding and the head
MOST = {"mixed": "q4_0", "mixed_k": "q4_k"}  # what most matrices are in


def numbers(source, kind, count):
    """(ggml's number, bytes): of either sign, in one or two binades about 1 / sqrt(768)."""
    size = 4 if kind == "f32" else 2
    data = bytearray(source.randbytes(count * size))
    # The high byte of bf16 and f32 ends inside the exponent: its last bit stays random.
    table = in_binade(10) if kind == "f16" else bytes(byte & 0x80 | 0x3d for byte in range(256))
    data[size - 1::size] = data[size - 1::size].translate(table)
    return {"f32": GGML_F32, "f16": GGML_F16, "bf16": GGML_BF16}[kind], bytes(data)


def matrix(name, kind, rows, cols):
    source = random.Random(f"{name} {kind}")
    if kind in BLOCKS:
        made = BLOCKS[kind]
        return GgufTensor(name, [cols, rows], made.blocks(source, rows * cols // made.elements), made.number)
    number, data = numbers(source, kind, rows * cols)
    return GgufTensor(name, [cols, rows], data, number)


def norm(name):
    source = random.Random(name)
    return GgufTensor(name, [HIDDEN], struct.pack(f"<{HIDDEN}f", *(1 + source.randrange(-64, 65) / 256 for _ in range(HIDDEN))))


def model(name, layers=LAYERS):
    """`name`: a format, or one of MIXED."""
    metadata = [("general.architecture", STRING, "llama"), ("llama.context_length", U32, 2048), ("llama.embedding_length", U32, HIDDEN),
                ("llama.block_count", U32, layers), ("llama.feed_forward_length", U32, FFN), ("llama.attention.head_count", U32, HEADS),
                ("llama.attention.head_count_kv", U32, KV_HEADS), ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
                ("llama.rope.freq_base", F32, 10000.0), ("llama.vocab_size", U32, VOCABULARY), *gguf_byte_tokenizer(SPECIAL)]
    embedding, head = ENDS.get(name, (name, name))
    tensors = [matrix("token_embd.weight", embedding, VOCABULARY, HIDDEN), norm("output_norm.weight"),
               matrix("output.weight", head, VOCABULARY, HIDDEN)]
    of_layers = MIXED.get(name, ((name,) * len(PARTS),))
    for layer in range(layers):
        tensors += [norm(f"blk.{layer}.attn_norm.weight"), norm(f"blk.{layer}.ffn_norm.weight")]
        for (part, (rows, cols)), kind in zip(PARTS.items(), of_layers[layer % len(of_layers)]):
            tensors.append(matrix(f"blk.{layer}.{part}.weight", kind, rows, cols))
    return Gguf(metadata, tensors)


def write_models(folder, layers=LAYERS):
    """{name: path}"""
    paths = {name: Path(folder) / f"{name}.gguf" for name in (*BLOCKS, *MIXED)}
    for name, path in paths.items():
        model(name, layers + (name in MIXED)).write(path)
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the models in one format; the mixed ones have one more")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for path in write_models(options.folder, options.layers).values():
        print(path)


if __name__ == "__main__":
    main()
