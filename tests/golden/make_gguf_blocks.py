"""Writes gguf_blocks.inc: quantised blocks and what the Python package `gguf` expands them to, as float bits.

    python tests/golden/make_gguf_blocks.py > tests/golden/gguf_blocks.inc

Of each format four blocks of a pattern, whose scales are ordinary, the smallest subnormal, negative and the largest finite one,
one of nothing but ones with the largest finite scale and minimum, of either sign, then blocks of random bytes with random finite
scales.
"""

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

SCALES = [0x2E66, 0x0001, 0xB555, 0x7BFF]
MINIMUMS = [0xB4CD, 0x8003, 0x3FFF, 0x0000]
LARGEST = [0x7BFF, 0xFBFF]
RANDOM_BLOCKS = {32: 4, 256: 2}
FORMATS = {"Q8_0": 1, "Q4_0": 1, "Q4_1": 2, "Q5_0": 1, "Q5_1": 2, "Q4_K": 2, "Q5_K": 2, "Q6_K": 1}  # scales of a block


def finite_f16(rng) -> int:
    bits = int(rng.integers(1 << 16))
    return bits if bits & 0x7C00 != 0x7C00 else bits & ~0x4000


def block(quants: bytes, scales: list[int], scale_last: bool) -> bytes:
    head = b"".join(scale.to_bytes(2, "little") for scale in scales)
    return quants + head if scale_last else head + quants


def blocks(kind: GGMLQuantizationType, count: int) -> np.ndarray:
    """q6_k has its scale at the end of a block, the others have one, or a scale and a minimum, at the begin."""
    elements, size = GGML_QUANT_SIZES[kind]
    last = kind == GGMLQuantizationType.Q6_K
    quants = size - 2 * count
    rng = np.random.default_rng(7)
    out = []
    for number, (scale, minimum) in enumerate(zip(SCALES, MINIMUMS)):
        pattern = bytes((37 * i + 11 + 101 * number) & 255 for i in range(quants))
        out.append(block(pattern, [scale, minimum][:count], last))
    out.append(block(b"\xff" * quants, LARGEST[:count], last))
    for _ in range(RANDOM_BLOCKS[elements]):
        scales = [finite_f16(rng) for _ in range(count)]
        out.append(block(rng.bytes(quants), scales, last))
    return np.frombuffer(b"".join(out), dtype=np.uint8)


def array(kind: str, name: str, values, width: int, per_line: int) -> None:
    print(f"constexpr {kind} {name}[] = {{")
    for i in range(0, len(values), per_line):
        print("    " + " ".join(f"0x{int(v):0{width}x}," for v in values[i : i + per_line]))
    print("};")


def main() -> None:
    print("// Written by make_gguf_blocks.py; do not edit.")
    for name, count in FORMATS.items():
        kind = GGMLQuantizationType[name]
        data = blocks(kind, count)
        floats = dequantize(data, kind).astype(np.float32)
        array("unsigned char", f"k{name}Bytes", data, 2, 20)
        array("std::uint32_t", f"k{name}Floats", floats.view(np.uint32), 8, 10)


if __name__ == "__main__":
    main()
