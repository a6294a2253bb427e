// exp, log, log1p and Philox + Gumbel on 16 lanes: math.h and philox.h line by line, `?:` as a blend. Included once
// per instruction set.

namespace herd {
namespace HERD_ISA {
namespace {

HERD_SIMD V16 exp16(V16 x) {
  const V16 t = fma(x, set1(math::kLog2E), set1(math::kRoundMagic));
  const V16 n = sub(t, set1(math::kRoundMagic));
  V16 r = fma(n, set1(-math::kLn2Hi), x);
  r = fma(n, set1(-math::kLn2Lo), r);
  V16 q = set1(math::kExp4);
  q = fma(q, r, set1(math::kExp3));
  q = fma(q, r, set1(math::kExp2));
  q = fma(q, r, set1(math::kExp1));
  q = fma(q, r, set1(math::kExp0));
  q = fma(q, r, set1(1.0F));
  q = fma(q, r, set1(1.0F));
  V16 y = as_float(iadd(as_int(q), shl<23>(as_int(t))));
  y = select(compare<_CMP_LT_OQ>(x, set1(math::kExpMin)), zero(), y);
  y = select(compare<_CMP_GT_OQ>(x, set1(math::kExpMax)), set1(math::kInf), y);
  return select(compare<_CMP_UNORD_Q>(x, x), x, y);
}

HERD_SIMD V16 log_reduced16(V16 k, V16 f) {
  V16 q = set1(math::kLog8);
  q = fma(q, f, set1(math::kLog7));
  q = fma(q, f, set1(math::kLog6));
  q = fma(q, f, set1(math::kLog5));
  q = fma(q, f, set1(math::kLog4));
  q = fma(q, f, set1(math::kLog3));
  q = fma(q, f, set1(math::kLog2));
  q = fma(q, f, set1(math::kLog1));
  q = fma(q, f, set1(math::kLog0));
  q = fma(q, f, set1(-0.5F));
  const V16 tail = fma(k, set1(math::kLn2Lo), mul(mul(f, f), q));
  return fma(k, set1(math::kLn2Hi), add(f, tail));
}

// Of positive, normal, finite lanes: log_f32 without its special cases.
HERD_SIMD V16 log_normal16(V16 x) {
  const I16 bits = as_int(x);
  const I16 k = sar<23>(isub(bits, iset1(static_cast<std::int32_t>(math::kSqrtHalfBits))));
  const V16 m = as_float(isub(bits, shl<23>(k)));
  return log_reduced16(to_f32(k), sub(m, set1(1.0F)));
}

HERD_SIMD V16 log1p_small16(V16 u) {
  const I16 bits = as_int(add(set1(1.0F), u));
  const I16 k = sar<23>(isub(bits, iset1(static_cast<std::int32_t>(math::kSqrtHalfBits))));
  const V16 scale = as_float(shl<23>(isub(iset1(127), k)));
  return log_reduced16(to_f32(k), fma(u, scale, sub(scale, set1(1.0F))));
}

HERD_SIMD V16 silu16(V16 z) { return div(z, add(set1(1.0F), exp16(neg(z)))); }

HERD_SIMD V16 uniform16(I16 x) {
  const V16 u = fma(to_f32_unsigned(x), set1(0x1p-32F), set1(0x1p-33F));
  const V16 below_one = set1(1.0F - 0x1p-24F);
  return select(compare<_CMP_LT_OQ>(u, below_one), u, below_one);
}
// -log(-log1p(-u)); both arguments of a log are positive and normal for u in [2^-33, 1 - 2^-24].
HERD_SIMD V16 gumbel16(V16 u) { return neg(log_normal16(neg(log1p_small16(neg(u))))); }

// 16 Philox blocks, counter words c[0..3] in, words out.
HERD_SIMD void philox16(I16 c[4], std::uint32_t key0, std::uint32_t key1) {
#pragma GCC unroll 10
  for (int round = 0; round < kPhiloxRounds; round++) {
    I16 hi0;
    I16 lo0;
    I16 hi1;
    I16 lo1;
    mul_hi_lo(c[0], kPhiloxM0, &hi0, &lo0);
    mul_hi_lo(c[2], kPhiloxM1, &hi1, &lo1);
    c[0] = ixor(ixor(hi1, c[1]), iset1(static_cast<std::int32_t>(key0)));
    c[1] = lo1;
    c[2] = ixor(ixor(hi0, c[3]), iset1(static_cast<std::int32_t>(key1)));
    c[3] = lo0;
    key0 += kPhiloxW0;
    key1 += kPhiloxW1;
  }
}

}  // namespace
}  // namespace HERD_ISA
}  // namespace herd
