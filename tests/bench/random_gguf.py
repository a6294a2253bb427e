#!/usr/bin/env python3
"""Writes a GGUF file of the shape of Llama 3.2 1B with random bf16 weights: a model that herd and other programs read alike.

    random_gguf.py FILE [--layers 16]

2.5 GB. The vocabulary has 128,256 ids: the 256 bytes, one merge, names that no text contains, and two control tokens, so that a
byte of plain text is a token. Wants the packages gguf and numpy.
"""
import argparse
import sys

import gguf
import numpy as np

HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 2048, 8192, 32, 8, 64, 128256
BEGIN, END = VOCAB - 2, VOCAB - 1
KIND_NORMAL, KIND_CONTROL = 1, 3


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


def matrices(layers):
    """(name, outputs, inputs)"""
    yield "token_embd.weight", VOCAB, HIDDEN  # the head, too
    for layer in range(layers):
        for part, outputs, inputs in (("attn_q", HEADS * HEAD_DIM, HIDDEN), ("attn_k", KV_HEADS * HEAD_DIM, HIDDEN),
                                      ("attn_v", KV_HEADS * HEAD_DIM, HIDDEN), ("attn_output", HIDDEN, HEADS * HEAD_DIM),
                                      ("ffn_gate", FFN, HIDDEN), ("ffn_up", FFN, HIDDEN), ("ffn_down", HIDDEN, FFN)):
            yield f"blk.{layer}.{part}.weight", outputs, inputs


def norms(layers):
    for layer in range(layers):
        yield f"blk.{layer}.attn_norm.weight"
        yield f"blk.{layer}.ffn_norm.weight"
    yield "output_norm.weight"


def random_bf16(random, outputs, inputs):
    """Uniform in ±sqrt(3 / inputs), as bytes: such rows keep the size of what they are multiplied with."""
    values = random.random((outputs, inputs), dtype=np.float32)
    values -= 0.5
    values *= 2 * (3 / inputs) ** 0.5
    return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


def write_model(path, layers=16):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random, shape of Llama 3.2 1B")
    writer.add_context_length(131072)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(500000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    add_vocabulary(writer)
    for name in norms(layers):
        writer.add_tensor_info(name, (HIDDEN,), np.dtype(np.float32), HIDDEN * 4)
    for name, outputs, inputs in matrices(layers):
        writer.add_tensor_info(name, (outputs, inputs * 2), np.dtype(np.uint8), outputs * inputs * 2,
                               gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _ in norms(layers):
        writer.write_tensor_data(np.ones(HIDDEN, dtype=np.float32))
    random = np.random.default_rng(1)
    for _, outputs, inputs in matrices(layers):
        writer.write_tensor_data(random_bf16(random, outputs, inputs))
    writer.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--layers", type=int, default=16)
    arguments = parser.parse_args()
    write_model(arguments.file, arguments.layers)


if __name__ == "__main__":
    sys.exit(main())
