"""Writes quantizer_errors.inc: how far the quantisers of ggml leave rows from what they were, to hold our own against.

    python tests/golden/make_quantizer_errors.py LIBGGML_BASE.so > tests/golden/quantizer_errors.inc

Rows are made of SplitMix64 words by arithmetic that rounds nothing, as tests/runtime/quantizing_source_test.cc makes them. An error
is the root of the mean square of what a row's elements lose. Wants the packages gguf and numpy, and llama.cpp's library.
"""
import ctypes
import sys

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from make_block_products import words

ELEMENTS = 256 * 64


def row(kind):
    """kUniform: in ±1/2. kHills: sums of four of them. kSpikes: one of 32 eight times as large. kPositive: in [0, 1]."""
    parts = (words(kind + 1, 0, 4 * ELEMENTS) >> np.uint64(44)).astype(np.int64).reshape(ELEMENTS, 4) - (1 << 19)
    one = parts[:, 0]
    if kind == 1:
        one = parts.sum(axis=1)
    if kind == 2:
        one = np.where(np.arange(ELEMENTS) % 32 == parts[:, 1] % 32, 8 * one, one)
    if kind == 3:
        one = one + (1 << 19)
    return (one / 2.0**20).astype(np.float32)


def main():
    ggml = ctypes.CDLL(sys.argv[1])
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    print("// Written by make_quantizer_errors.py; do not edit. format, row, error")
    for name in ("Q4_K", "Q5_K", "Q6_K"):
        encoding = GGMLQuantizationType[name]
        ggml.ggml_quantize_init(int(encoding))
        for kind in range(4):
            values = row(kind)
            elements, size = GGML_QUANT_SIZES[encoding]
            blocks = np.zeros(ELEMENTS // elements * size, np.uint8)
            ggml.ggml_quantize_chunk(int(encoding), values.ctypes.data, blocks.ctypes.data, 0, 1, ELEMENTS, None)
            lost = dequantize(blocks, encoding).astype(np.float64).ravel() - values
            print(f"{{WeightFormat::k{name}, {kind}, {np.sqrt(np.mean(lost**2)):.6e}}},")


if __name__ == "__main__":
    main()
