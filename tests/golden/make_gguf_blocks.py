"""Writes gguf_blocks.inc: quantised blocks and what the Python package `gguf` expands them to, as float bits.

    python tests/golden/make_gguf_blocks.py > tests/golden/gguf_blocks.inc

Each format has four blocks; scales: ordinary, smallest subnormal, negative, largest finite.
"""

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize

SCALES = [0x2E66, 0x0001, 0xB555, 0x7BFF]
MINIMUMS = [0xB4CD, 0x8003, 0x3FFF, 0x0000]


def blocks(quants: int, has_minimum: bool) -> np.ndarray:
    out = bytearray()
    for block, (scale, minimum) in enumerate(zip(SCALES, MINIMUMS)):
        out += scale.to_bytes(2, "little")
        if has_minimum:
            out += minimum.to_bytes(2, "little")
        out += bytes((37 * i + 11 + 101 * block) & 255 for i in range(quants))
    return np.frombuffer(bytes(out), dtype=np.uint8)


def array(kind: str, name: str, values, width: int, per_line: int) -> None:
    print(f"constexpr {kind} {name}[] = {{")
    for i in range(0, len(values), per_line):
        print("    " + " ".join(f"0x{int(v):0{width}x}," for v in values[i : i + per_line]))
    print("};")


print("// Written by make_gguf_blocks.py; do not edit.")
for name, kind, quants, has_minimum in [
    ("Q8_0", GGMLQuantizationType.Q8_0, 32, False),
    ("Q4_0", GGMLQuantizationType.Q4_0, 16, False),
    ("Q4_1", GGMLQuantizationType.Q4_1, 16, True),
]:
    data = blocks(quants, has_minimum)
    floats = dequantize(data, kind).astype(np.float32)
    array("unsigned char", f"k{name}Bytes", data, 2, 20)
    array("std::uint32_t", f"k{name}Floats", floats.view(np.uint32), 8, 10)
