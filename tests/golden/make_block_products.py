"""Writes block_products.inc: digests of products with weights in blocks, by rules 2 to 4 of docs/numerics.md, and of the numbers
that those blocks stand for, by the Python package `gguf`.

    python tests/golden/make_block_products.py > tests/golden/block_products.inc
    python tests/golden/make_block_products.py --check      compares instead, exit code 1 where the file says something else

An independent reading of the rules: blocks are unpacked from the table of kernels/weight_format.h, sums of integers are products
of float64 matrices, an fp32 multiply-add is float64 arithmetic rounded to odd, then once to 24 bits. Inputs are made of
SplitMix64 words by whole-number arithmetic, as tests/kernels/block_golden_test.cc makes them. The script first holds its own
arithmetic against fractions and its own numbers against gguf's, and writes nothing where they differ.
"""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize

F, D, U32, U64, I64 = np.float32, np.float64, np.uint32, np.uint64, np.int64
BLOCK = 32
FORMATS = {  # elements and bytes of a block, offsets of its f16 numbers, gguf's name
    "kQ8_0": (32, 34, (0,), GGMLQuantizationType.Q8_0),
    "kQ4_0": (32, 18, (0,), GGMLQuantizationType.Q4_0),
    "kQ4_1": (32, 20, (0, 2), GGMLQuantizationType.Q4_1),
    "kQ5_0": (32, 22, (0,), GGMLQuantizationType.Q5_0),
    "kQ5_1": (32, 24, (0, 2), GGMLQuantizationType.Q5_1),
    "kQ4_K": (256, 144, (0, 2), GGMLQuantizationType.Q4_K),
    "kQ5_K": (256, 176, (0, 2), GGMLQuantizationType.Q5_K),
    "kQ6_K": (256, 210, (208,), GGMLQuantizationType.Q6_K),
}


# ---- inputs ----


def words(seed, begin, count):
    """Words begin … of the SplitMix64 sequence of a seed."""
    x = U64(seed) + (np.arange(begin + 1, begin + count + 1, dtype=U64)) * U64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> U64(27))) * U64(0x94D049BB133111EB)
    return x ^ (x >> U64(31))


def field(word, shift, modulus):
    return ((word >> U64(shift)) % U64(modulus)).astype(I64)


END_BYTES = np.array([0x00, 0xFF, 0x7F, 0x80, 0x0F, 0xF0, 0x81], np.uint8)
END_SCALES = np.array([0x0001, 0x8001, 0x03FF, 0x7BFF, 0xFBFF, 0x0000, 0x8000, 0x3C00, 0x001D], np.uint16)
NON_FINITE_SCALES = np.array([0x7C00, 0xFC00, 0x7E00], np.uint16)


def stored_blocks(seed, name, kind, count):
    """[count, bytes of a block]"""
    _, size, offsets, _ = FORMATS[name]
    word = words(seed, 0, count * size)
    data = (word >> U64(56)).astype(np.uint8)
    if kind == "kEnds":
        data = np.where(word % U64(8) != 0, END_BYTES[field(word, 8, 7)], data)
    data = data.reshape(count, size)
    word = words(seed, count * size, count * len(offsets))
    scale = ((word & U64(0x83FF)) | ((U64(3) + (word >> U64(16)) % U64(12)) << U64(10))).astype(np.uint16)
    if kind == "kEnds":
        scale = np.where(field(word, 48, 2) == 1, END_SCALES[field(word, 56, 9)], scale)
    if kind == "kNonFinite":
        scale = np.where(field(word, 48, 64) == 0, NON_FINITE_SCALES[field(word, 56, 3)], scale)
    scale = scale.reshape(count, len(offsets))
    for i, offset in enumerate(offsets):
        data[:, offset : offset + 2] = scale[:, i : i + 1].view(np.uint8)
    return data


# Divided by 127 it is s = 9256395 · 2^-130, and s · 29 · 2^-24 (a scale of END_SCALES) is 2^-126 · (1 - 2^-28): it rounds to a
# normal number, so that flushing after rounding keeps it and flushing before does not.
FLUSH_BORDER = 0x0D8C234F


def activations(seed, kind, dtype, rows, k):
    """[rows, k] fp32, of which bf16 keeps the upper half."""
    blocks = rows * k // BLOCK
    of_block = np.repeat(words(seed, 0, blocks), BLOCK)
    word = words(seed, blocks, rows * k)
    first = np.arange(rows * k) % BLOCK == 0
    sign, mantissa = (word >> U64(63)).astype(I64) << 31, (word & U64(0x7FFFFF)).astype(I64)
    step = field(word, 32, 16)

    def bits(exponent, fraction=mantissa):
        return sign | (exponent << 23) | fraction

    x = bits(120 + step % 9)
    if kind == "kMagnitudes":
        x = bits(10 + field(of_block, 0, 240) - step % 10)
    if kind == "kBorder":
        x = bits(24 + field(of_block, 0, 6) - step % 3, np.where(field(of_block, 8, 2) == 1, 0, mantissa))
        x = np.where(field(of_block, 16, 4) == 0, bits(np.zeros_like(step)), x)
        x = np.where(field(of_block, 24, 3) == 0, np.where(first, FLUSH_BORDER, bits(26 - step % 3)), x)
    if kind == "kHuge":
        x = bits(254 - step % 4)
    if kind == "kZeros":
        x = np.where((field(of_block, 8, 3) == 0) | (step % 2 == 0), sign, x)
    if kind == "kTies":
        twice = np.where(first, 254, field(word, 32, 507) - 253)
        x = np.ldexp(twice.astype(F), (field(of_block, 0, 20) - 11).astype(np.int32)).view(U32).astype(I64)
    if kind == "kLargest":
        signs = np.stack([np.zeros_like(sign), np.full_like(sign, 1 << 31), sign, (np.arange(rows * k) % 32 // 16) << 31])
        x = np.take_along_axis(signs, field(of_block, 8, 4)[None], 0)[0] | ((110 + field(of_block, 0, 20)) << 23) | 0x400000
    if kind == "kNonFinite":
        special = np.array([0x7F800000, 0xFF800000, 0x7FC00000])[field(word, 52, 3)]
        x = np.where(field(word, 40, 1000) == 0, special, x)
    if dtype == "kBF16":
        x &= 0xFFFF0000
    return x.astype(U32).view(F).reshape(rows, k)


# ---- fp32 arithmetic of kernel threads: to nearest even, subnormal operands and results are zeros of their sign ----


def to_fp32(exact):
    """float64 that lost nothing, or was rounded to odd, to fp32. Results are judged small after they are rounded."""
    bits = exact.view(I64)
    rounded = ((bits + 0x0FFFFFFF + (bits >> 29 & 1)) & ~0x1FFFFFFF).view(D)
    rounded = np.where(np.isfinite(exact), rounded, exact)
    return np.where(np.abs(rounded) < 2.0**-126, np.copysign(0.0, exact), rounded).astype(F)


def operand(x):
    x = np.asarray(x, F)
    return np.where(np.abs(x) < F(2.0**-126), np.copysign(F(0), x), x).astype(D)


def fma(a, b, c):
    product, c = operand(a) * operand(b), operand(c)  # 48 bits: exact
    product, c = np.broadcast_arrays(product, c)
    total = product + c
    back = total - product
    error = (product - (total - back)) + (c - back)
    bits = total.view(I64).copy()
    odd = np.isfinite(total) & (error != 0) & (bits & 1 == 0)  # to odd: towards the side of the exact sum
    bits[odd] += np.where((error > 0) == (total > 0), 1, -1)[odd]
    return to_fp32(bits.view(D))


def mul(a, b):
    return to_fp32(np.asarray(operand(a) * operand(b)))


def add(a, b):
    return fma(a, F(1), b)


def divide(a, b):  # 53 bits are enough for a quotient of 24 to be rounded twice and right
    return to_fp32(np.asarray(operand(a) / operand(b)))


def fp32_of_fraction(value):
    """To nearest even, exponent unbounded below; 0 below 2^-126."""
    if value == 0:
        return 0.0
    magnitude, exponent = abs(value), 0
    while magnitude >= 2**24:
        magnitude, exponent = magnitude / 2, exponent + 1
    while magnitude < 2**23:
        magnitude, exponent = magnitude * 2, exponent - 1
    rounded = Fraction(round(magnitude)) * Fraction(2) ** exponent  # round() of a fraction: half to even
    if rounded >= 2**128:
        return np.inf if value > 0 else -np.inf
    return 0.0 if rounded < Fraction(1, 2**126) else float(rounded if value > 0 else -rounded)


def check_arithmetic():
    """fma against fractions: operands whose sum cancels, ends half way, or lies at the border of what is flushed."""
    word = words(7, 0, 3 * 3000).reshape(3, -1)
    few = field(word, 40, 2) == 0  # few bits: exact ties
    mantissa = np.where(few, (word & U64(0x700001)).astype(I64), (word & U64(0x7FFFFF)).astype(I64))
    exponent = np.stack([100 + field(word[0], 48, 50), 20 + field(word[1], 48, 90), np.zeros(3000, I64)])
    near = exponent[0] + exponent[1] - 127 + field(word[2], 48, 60) - 30
    exponent[2] = np.clip(near, 1, 254)
    a, b, c = (((word >> U64(63)).astype(I64) << 31) | (exponent << 23) | mantissa).astype(U32).view(F)
    c[::5] = -(a * b)[::5]
    got = fma(a, b, c)
    fractions = [[Fraction(float(v)) for v in operand(x)] for x in (a, b, c)]
    for i, (p, q, r) in enumerate(zip(*fractions)):
        if float(got[i]) != fp32_of_fraction(p * q + r):
            sys.exit(f"fma({float(a[i]).hex()}, {float(b[i]).hex()}, {float(c[i]).hex()}) is not {float(got[i]).hex()}")


# ---- blocks ----


def unpack(name, data):
    """Whole numbers q [n, elements], scales [n] of blocks (d), minimum [n] (m or dmin) or None, scales of groups or None, their
    minimums or None."""
    count = len(data)

    def half(offset):
        return data[:, offset : offset + 2].copy().view(np.float16).reshape(count).astype(F)

    def nibbles(packed):
        return np.concatenate([packed & 15, packed >> 4], axis=1).astype(I64)

    d, m = half(FORMATS[name][2][0]), half(2) if len(FORMATS[name][2]) > 1 else None
    if name == "kQ8_0":
        return data[:, 2:].view(np.int8).astype(I64), d, m, None, None
    if name == "kQ4_0":
        return nibbles(data[:, 2:]) - 8, d, m, None, None
    if name == "kQ4_1":
        return nibbles(data[:, 4:]), d, m, None, None
    if name in ("kQ5_0", "kQ5_1"):
        begin = 2 if m is None else 4
        fifth = data[:, begin : begin + 4].copy().view(U32) >> np.arange(32, dtype=U32) & U32(1)
        return nibbles(data[:, begin + 4 :]) + fifth.astype(I64) * 16 - (16 if m is None else 0), d, m, None, None
    if name in ("kQ4_K", "kQ5_K"):
        six = data[:, 4:16].astype(I64)
        first, second, third = six[:, 0:4], six[:, 4:8], six[:, 8:12]
        scales = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1)
        minimums = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1)
        packed = data[:, -128:].reshape(count, 4, 32)
        q = np.stack([packed & 15, packed >> 4], axis=2).reshape(count, 256).astype(I64)
        if name == "kQ5_K":
            part = np.arange(8, dtype=np.uint8)[None, :, None]
            q += (data[:, 16:48].reshape(count, 1, 32) >> part & 1).reshape(count, 256).astype(I64) * 16
        return q, d, m, scales, minimums
    j = np.arange(256)
    part, i = j // 32 % 4, j % 32
    low = data[:, 64 * (j // 128) + 32 * (part % 2) + i] >> (4 * (part // 2)).astype(np.uint8) & 15
    high = data[:, 128 + 32 * (j // 128) + i] >> (2 * part).astype(np.uint8) & 3
    return (low + high * 16).astype(I64) - 32, d, m, data[:, 192:208].view(np.int8).astype(I64), None


def same(a, b):
    return np.array_equal(np.where(np.isnan(a), F(0), a).view(U32), np.where(np.isnan(b), F(0), b).view(U32)) and np.array_equal(
        np.isnan(a), np.isnan(b)
    )


def values_of(name, data):
    """What gguf makes of blocks, [n, elements] fp32, having been found equal to what unpack() makes of them."""
    q, d, m, groups, minimums = unpack(name, data)
    scale = d[:, None] if groups is None else np.repeat(d[:, None] * groups.astype(F), 256 // groups.shape[1], axis=1)
    own = scale * q.astype(F)
    if minimums is not None:
        own = own - np.repeat(m[:, None] * minimums.astype(F), 32, axis=1)
    elif m is not None:
        own = own + m[:, None]
    theirs = dequantize(data.reshape(1, -1), FORMATS[name][3]).reshape(len(data), -1).astype(F)
    if not same(own, theirs):
        sys.exit(f"{name}: numbers differ from gguf's")
    return theirs


# ---- products ----


def quantize(x):
    """int8 of [rows, blocks, 32] and their scales [rows, blocks]."""
    x = x.reshape(len(x), -1, BLOCK)
    absmax = np.abs(x).max(axis=2)
    bad = ~np.isfinite(x).all(axis=2)
    zero = bad | (absmax < F(2.0**-100))
    absmax = np.where(zero, F(1), absmax)
    q = np.rint(mul(x, divide(F(127), absmax)[:, :, None]).astype(D))
    q = np.where(zero[:, :, None], 0, np.clip(np.where(np.isfinite(q), q, 0), -127, 127)).astype(I64)
    return q, np.where(bad, F(np.nan), np.where(zero, F(0), divide(absmax, F(127))))


def rest_of(x, taken):
    """What int8 and a scale leave over of x."""
    q, scale = taken
    return fma(-scale[:, :, None], q, x.reshape(q.shape)).reshape(x.shape)


def leaf_sum(weights, x, begin, end, before):
    """[rows, outputs] of blocks [begin, end) of the matrix; its first block is number `before` of a super-block."""
    w, d, m, groups, minimums = weights  # [outputs, blocks, 32], [outputs, blocks] …, groups [outputs, blocks, 1 or 2], [outputs, blocks]
    q, scale = x
    acc = within = taken = np.zeros((len(q), len(w)), F)
    for b in range(begin, end):
        a = scale[:, b, None]
        scaled_sum = mul(a, q[:, b].sum(axis=1)[:, None])
        if groups is None:
            dot = q[:, b].astype(D) @ w[:, b].astype(D).T
            acc = fma(dot, mul(d[:, b], a), acc)
            if m is not None:
                acc = fma(m[:, b], scaled_sum, acc)
            continue
        size = 32 // groups.shape[2]
        for g in range(groups.shape[2]):
            part = slice(size * g, size * g + size)
            dot = q[:, b, part].astype(D) @ w[:, b, part].astype(D).T
            within = fma(dot, mul(groups[:, b, g], a), within)
        if minimums is not None:
            taken = fma(minimums[:, b], scaled_sum, taken)
        if b + 1 == end or (before + b + 1) % 8 == 0:
            acc = fma(d[:, b], within, acc)
            if minimums is not None:
                acc = fma(-m[:, b], taken, acc)
            within = taken = np.zeros_like(within)
    return acc


def tree(parts):
    """Rule 3's; None is an empty leaf."""
    if len(parts) == 1:
        return parts[0]
    left, right = tree(parts[: len(parts) // 2]), tree(parts[len(parts) // 2 :])
    return right if left is None else left if right is None else add(left, right)


def digest(values):
    """FNV-1a over the bits, lowest byte first; every NaN as 0x7fc00000."""
    value = 0xCBF29CE484222325
    for byte in np.where(np.isnan(values), U32(0x7FC00000), values.astype(F).view(U32)).astype("<u4").tobytes():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def matrix(case):
    """The weights of a case as leaf_sum() wants them, and the numbers they stand for, [outputs, k]."""
    elements = FORMATS[case["format"]][0]
    outputs, k, skip = case["outputs"], case["k"], case["before"] * BLOCK
    per_row = -(-(skip + k) // elements)
    data = stored_blocks(2 * case["seed"], case["format"], case["weights"], outputs * per_row)
    values = values_of(case["format"], data).reshape(outputs, -1)[:, skip : skip + k]
    q, d, m, groups, minimums = unpack(case["format"], data)

    def columns(per_element, width):  # of those of whole rows, the matrix's own
        return per_element.reshape(outputs, -1, width)[:, case["before"] : case["before"] + k // BLOCK]

    d, m = (None if v is None else columns(np.repeat(v, elements // BLOCK), 1)[:, :, 0] for v in (d, m))
    per_block = None if groups is None else groups.shape[1] // 8
    groups = None if groups is None else columns(groups, per_block)
    minimums = None if minimums is None else columns(minimums, 1)[:, :, 0]
    return (columns(q, BLOCK), d, m, groups, minimums), values


def product(case):
    weights, values = matrix(case)
    x = activations(2 * case["seed"] + 1, case["x"], case["dtype"], case["rows"], case["k"])
    parts = [quantize(x)]
    if case["parts"] == 2:
        parts.append(quantize(rest_of(x, parts[0])))
    borders = case["leaves"]
    sums = []
    for part in parts:
        sums.append(tree([None if a == b else leaf_sum(weights, part, a, b, case["before"]) for a, b in zip(borders, borders[1:])]))
    return digest(values), digest(sums[0] if len(sums) == 1 else add(*sums))


# ---- cases ----

X_KINDS = ["kOrdinary", "kMagnitudes", "kBorder", "kHuge", "kZeros", "kTies", "kLargest", "kNonFinite"]
WEIGHT_KINDS = ["kAny", "kEnds", "kAny", "kEnds", "kNonFinite"]
ROWS = [1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 17, 23, 24, 25, 31]
OUTPUTS = [1, 3, 7, 15, 16, 17, 19, 31, 33, 47, 49, 63, 65]
LARGE = [(64, 16, 7), (97, 17, 9), (512, 5, 17), (600, 17, 3)]


def cases():
    seed = 0
    for name in FORMATS:
        for number in range(48):
            seed += 1
            word = [int(w) for w in words(seed, 1000, 20)]
            rows, outputs, blocks = ROWS[word[0] % 20], OUTPUTS[word[1] % 13], 1 + word[2] % 40
            if number < len(LARGE):
                rows, outputs, blocks = LARGE[number]
            count = 1 << (word[13] % 4)
            borders = [0] + sorted(word[4 + i] % (blocks + 1) for i in range(count - 1)) + [blocks]
            if number % 7 < 2:  # x in parts: whole along k
                borders = [0, blocks]
            yield {
                "format": name,
                "rows": rows,
                "outputs": outputs,
                "k": blocks * BLOCK,
                "before": word[3] % 8 if FORMATS[name][0] == 256 and number % 3 != 0 else 0,
                "parts": 2 if number % 7 < 2 else 1,
                "leaves": borders,
                "weights": WEIGHT_KINDS[number % 5],
                "x": X_KINDS[number % 8],
                "dtype": "kBF16" if word[12] % 2 else "kF32",
                "seed": seed,
            }


def line(case):
    shape = ", ".join(str(case[name]) for name in ("rows", "outputs", "k", "before", "parts"))
    leaves = ", ".join(str(border) for border in case["leaves"])
    values, result = product(case)
    return (
        f"{{WeightFormat::{case['format']}, {shape}, {{{leaves}}}, Weights::{case['weights']}, X::{case['x']}, "
        f"DType::{case['dtype']}, {case['seed']}, 0x{values:016x}, 0x{result:016x}}},"
    )


def main():
    np.seterr(all="ignore")
    check_arithmetic()
    lines = [
        "// Written by make_block_products.py; do not edit. format, rows, outputs, k, chunks before it, parts of x, leaves, weights, x, type of x,",
        "// seed, digest of the weights as numbers, digest of the product",
    ]
    lines += [line(case) for case in cases()]
    if sys.argv[1:] != ["--check"]:
        print("\n".join(lines))
        return 0
    stored = Path(__file__).with_name("block_products.inc").read_text().splitlines()
    differ = [ours for ours, theirs in zip(lines, stored) if ours != theirs]
    print("\n".join(differ[:5] + [f"{len(lines)} lines, {len(stored)} in the file, {len(differ)} differ"]))
    return int(lines != stored)


if __name__ == "__main__":
    sys.exit(main())
