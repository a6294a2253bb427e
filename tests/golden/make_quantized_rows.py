"""Writes quantized_rows.inc: blocks of floats, as bits, and what the Python package `gguf` quantises them to.

    python tests/golden/make_quantized_rows.py > tests/golden/quantized_rows.inc
"""

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import quantize
from make_gguf_blocks import array

rng = np.random.default_rng(11)
BLOCK = 32


def normal(scale):
    return rng.standard_normal(BLOCK) * scale


def with_element(index, value, rest):
    out = np.array(rest, dtype=np.float64)
    out[index] = value
    return out


STEPS = np.arange(BLOCK) - 15.5       # halves between whole numbers
HALVES = (np.arange(BLOCK) - 15) / 2  # and whole numbers
BLOCKS = [
    normal(1.0), normal(0.02), normal(0.02), normal(3.7), rng.uniform(-1, 1, BLOCK), rng.uniform(0, 1, BLOCK),
    -rng.uniform(0, 1, BLOCK),                        # the greatest magnitude is negative
    np.zeros(BLOCK), np.full(BLOCK, -0.0), with_element(0, 0.0, np.full(BLOCK, -0.0)),
    np.full(BLOCK, 0.3), np.full(BLOCK, -0.3),
    with_element(9, 127.0, STEPS), with_element(9, -127.0, STEPS),  # q8_0's scale is 1: every other element is a tie
    with_element(3, -8.0, HALVES), with_element(3, 8.0, HALVES),    # q4_0's is 1 or -1
    with_element(20, -5.0, with_element(4, 5.0, normal(1.0))),      # two of one magnitude: the first one's sign counts
    with_element(20, 5.0, with_element(4, -5.0, normal(1.0))),
    with_element(31, 1000.0, normal(0.1)),            # one that leaves nothing of the others
    normal(1e-6), normal(3e-7), normal(1e-30), normal(1e-35),  # scales that are subnormal in f16, and 0
    normal(1e5), normal(3e6), normal(1e8), normal(1e37),       # scales near f16's largest, and beyond
]

data = np.array(BLOCKS).astype(np.float32).reshape(1, -1)
print("// Written by make_quantized_rows.py; do not edit.")
array("std::uint32_t", "kRowBits", data.reshape(-1).view(np.uint32), 8, 10)
with np.errstate(over="ignore"):  # beyond f16
    for name in ("Q8_0", "Q4_0", "Q5_0"):
        array("unsigned char", f"kQuantized{name}", quantize(data, GGMLQuantizationType[name]).reshape(-1), 2, 20)
