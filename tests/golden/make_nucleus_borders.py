"""Writes nucleus_borders.inc: what min-p, top-k and top-p keep of rows of logits, by rule 6 of docs/numerics.md.

    python tests/golden/make_nucleus_borders.py > tests/golden/nucleus_borders.inc

An independent reading of the rule: the whole row is sorted, weights and goals are Python integers, exp and log are computed
with NumPy's doubles rounded to odd, which rounds a fused multiply-add to float once.
"""

import re
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

F, D = np.float32, np.float64
CONSTANTS = {
    name: F(float.fromhex(value))
    for name, value in re.findall(
        r"float (k\w+) = (-?0x[0-9a-f.]+p[+-]?\d+)F",
        (Path(__file__).parents[2] / "kernels/math.h").read_text(),
    )
}


def fma(a, b, c):
    product, c = D(a) * D(b), np.asarray(c, dtype=F).astype(D)  # the product of two floats is exact
    total = product + c
    back = total - product
    error = (product - (total - back)) + (c - back)
    bits = np.atleast_1d(total).view(np.int64).copy()
    odd = (np.atleast_1d(error) != 0) & (bits & 1 == 0)  # round to odd: towards the exact sum's side
    towards = np.where(np.sign(np.atleast_1d(error)) == np.sign(np.atleast_1d(total)), 1, -1)
    bits[odd] += towards[odd]
    return bits.view(D).astype(F)


def exp(x):
    k = CONSTANTS
    t = fma(x, k["kLog2E"], k["kRoundMagic"])
    n = t - k["kRoundMagic"]
    r = fma(n, -k["kLn2Lo"], fma(n, -k["kLn2Hi"], x))
    q = k["kExp4"]
    for c in (k["kExp3"], k["kExp2"], k["kExp1"], k["kExp0"], F(1), F(1)):
        q = fma(q, r, c)
    y = (q.view(np.uint32) + (t.view(np.uint32) << np.uint32(23))).view(F)
    return np.where(x < k["kExpMin"], F(0), y)


def log(x):
    k = CONSTANTS
    bits = int(np.array(x, F).view(np.uint32))
    e = (bits - 0x3F3504F3) >> 23
    f = np.array(bits - (e << 23), np.uint32).view(F) - F(1)
    q = k["kLog8"]
    for i in range(7, -1, -1):
        q = fma(q, f, k[f"kLog{i}"])
    q = fma(q, f, F(-0.5))
    return fma(F(e), k["kLn2Hi"], f + fma(F(e), k["kLn2Lo"], (f * f) * q))[0]


def splitmix64(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def row(kind, vocab, seed):
    word = splitmix64((np.arange(vocab, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15))
    bell = sum(((word >> np.uint64(16 * i)) & np.uint64(0xFFFF)).astype(np.int64) for i in range(4)) - 131070
    x = bell.astype(F) * F(2**-14)
    if kind == "kTies":
        x = (bell >> 12).astype(F) * F(0.25)
    if kind == "kEqual":
        x[:] = 1.5
    if kind == "kOne":
        x[:] = -np.inf
        x[vocab // 3] = -2
    if kind == "kPeak":
        x[vocab // 2] = 20
    if kind == "kCluster":
        x = F(-5) + (bell & 4095).astype(F) * F(2**-20)
        x[vocab - 1] = 0
    if kind == "kHuge":
        x = x * F(2.0**112)
    if kind == "kMasked":
        x[::3] = F(-1e30)
    return x


def kept(x, temperature, min_p, top_k, top_p):
    t = x / F(temperature)
    order = sorted((i for i in range(len(x)) if t[i] > -np.inf), key=lambda i: (-x[i], i))
    if not order:
        return 0, -1
    top = t[order[0]]
    if min_p > 0:
        floor = top + log(F(min_p))
        order = [i for i in order if t[i] >= floor]
    if top_k > 0:
        order = order[:top_k]
    if top_p < 1:
        left = t[order]
        w = np.where(left >= top, F(2.0**40), exp(np.where(left >= top, F(0), left - top)) * F(2.0**40))
        weights = [int(v) for v in w]
        total = sum(weights)
        # fp64: one rounded product, then ceil
        goal = min(max(ceil(Fraction(float(D(F(top_p)) * D(total)))), 1), total)
        count, reached = 0, 0
        while reached < goal:
            reached += weights[count]
            count += 1
        order = order[:count]
    return len(order), order[-1]


JUST_UNDER_1 = float(np.nextafter(F(1), F(0)))
SETTINGS = [  # temperature, min_p, top_k, top_p
    (0.8, 0, 0, 0.95),
    (1.0, 0, 0, 0.0),
    (1.0, 0, 0, 2.0**-149),
    (1.0, 0, 0, JUST_UNDER_1),
    (100.0, 0, 0, 0.9),
    (1e-5, 0, 0, 0.9),
    (0.3, 0, 0, 0.5),
    (1.0, 0.02, 0, 0.9),
    (1.0, 0, 40, 0.9),
    (1.0, 0, 1500, 0.97),
    (1.5, 0, 2000, 1.0),
    (1.2, 0.001, 1200, 0.99),
    (100.0, 0.5, 3000, 0.3),
]
print("// Written by make_nucleus_borders.py; do not edit. kind, vocabulary, seed, temperature, min_p, top_k, top_p, kept, last")
with np.errstate(all="ignore"):
    for vocab in (331, 6000, 128256):
        for seed, kind in enumerate(["kBell", "kTies", "kEqual", "kOne", "kPeak", "kCluster", "kHuge", "kMasked"]):
            x = row(kind, vocab, seed)
            for setting in SETTINGS if vocab < 128256 else SETTINGS[:1] + SETTINGS[3:6] + SETTINGS[9:12]:
                temperature, min_p, top_k, top_p = setting
                count, last = kept(x, *setting)
                values = [float(F(v)).hex() + "F" for v in (temperature, min_p)] + [str(top_k), float(F(top_p)).hex() + "F"]
                print(f"{{Kind::{kind}, {vocab}, {seed}, {', '.join(values)}, {count}, {last}}},")
