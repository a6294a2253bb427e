#!/usr/bin/env python3
"""A llama model whose rows are no multiple of 256 as one of the same function whose rows are: so that what super-blocks cost can be
measured on a small trained model. Weights become float32.

    pad_rows.py IN.gguf OUT.gguf

Hidden columns, MLP columns and heads are added, all zeros: they stay zero through every layer. A norm's mean is then over more
elements, so its weights and epsilon shrink by that share. Wants numpy and gguf.
"""
import math
import sys

import gguf
import numpy as np

BLOCK = 256
SKIPPED = ("GGUF.", "general.architecture", "general.file_type", "general.quantization_version", "split.")


def up(count):
    return -(-count // BLOCK) * BLOCK


def number(reader, key):
    return reader.fields[f"llama.{key}"].contents()


class Padding:
    def __init__(self, reader):
        self.hidden, self.mlp = number(reader, "embedding_length"), number(reader, "feed_forward_length")
        self.heads, self.kv_heads = number(reader, "attention.head_count"), number(reader, "attention.head_count_kv")
        self.head_dim = self.hidden // self.heads
        self.new_hidden, self.new_mlp = up(self.hidden), up(self.mlp)
        group = self.heads // self.kv_heads
        self.new_kv_heads = self.kv_heads
        while self.new_kv_heads * group * self.head_dim % BLOCK:
            self.new_kv_heads += 1
        self.new_heads = self.new_kv_heads * group
        self.share = self.hidden / self.new_hidden  # of a norm's elements that are not added

    def numbers(self):
        return {"embedding_length": self.new_hidden, "feed_forward_length": self.new_mlp, "attention.head_count": self.new_heads,
                "attention.head_count_kv": self.new_kv_heads, "attention.key_length": self.head_dim,
                "attention.value_length": self.head_dim, "rope.dimension_count": self.head_dim}

    def shape(self, name, shape):
        """(rows, cols) of a matrix when it is padded."""
        part = name.split(".")[-2]
        q, kv = self.new_heads * self.head_dim, self.new_kv_heads * self.head_dim
        rows = {"attn_q": q, "attn_k": kv, "attn_v": kv, "ffn_gate": self.new_mlp, "ffn_up": self.new_mlp,
                "token_embd": shape[0], "output": shape[0]}
        cols = {"attn_output": q, "ffn_down": self.new_mlp}
        return rows.get(part, self.new_hidden), cols.get(part, self.new_hidden)

    def pad(self, name, values):
        if name == "rope_freqs.weight":
            return values
        if values.ndim == 1:
            return np.pad(values * np.float32(math.sqrt(self.share)), (0, self.new_hidden - self.hidden))
        wanted = self.shape(name, values.shape)
        return np.pad(values, [(0, to - size) for to, size in zip(wanted, values.shape)])


def copy_metadata(reader, writer, changed):
    for name, field in reader.fields.items():
        if name.startswith(SKIPPED) or name in changed:
            continue
        writer.add_key_value(name, field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)


def main():
    source, target = sys.argv[1:]
    reader = gguf.GGUFReader(source)
    if any(tensor.name.endswith(".bias") for tensor in reader.tensors):
        raise SystemExit(f"{source}: biases are not padded")
    padding = Padding(reader)
    writer = gguf.GGUFWriter(target, "llama")
    changed = {f"llama.{key}": value for key, value in padding.numbers().items()}
    epsilon = "llama.attention.layer_norm_rms_epsilon"
    copy_metadata(reader, writer, {*changed, epsilon})
    for key, value in changed.items():
        writer.add_uint32(key, value)
    writer.add_float32(epsilon, reader.fields[epsilon].contents() * padding.share)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape([int(size) for size in reversed(tensor.shape)])
        writer.add_tensor(tensor.name, np.ascontiguousarray(padding.pad(tensor.name, values.astype(np.float32))))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
