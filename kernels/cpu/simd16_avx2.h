#pragma once
// 16 fp32 lanes as two ymm registers: the AVX2 half of the abstraction that the *-inl.h kernels are written in.
// Needs AVX2, FMA, F16C. Per-ISA file: intrinsics only, internal linkage (see kernel_table.h).

#include <immintrin.h>

#include <cstdint>

#include "kernels/dtype.h"

namespace herd {
namespace avx2 {
namespace {

#define HERD_SIMD [[gnu::always_inline]] static inline

struct V16 {
  __m256 a, b;  // lanes 0-7, 8-15
};
struct I16 {
  __m256i a, b;
};
struct M16 {  // all bits of a lane set or clear
  __m256 a, b;
};

HERD_SIMD V16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
HERD_SIMD V16 set1(float x) {
  const __m256 v = _mm256_set1_ps(x);
  return {v, v};
}
HERD_SIMD V16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
HERD_SIMD void store(float* p, V16 v) {
  _mm256_storeu_ps(p, v.a);
  _mm256_storeu_ps(p + 8, v.b);
}
HERD_SIMD V16 add(V16 x, V16 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
HERD_SIMD V16 sub(V16 x, V16 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
HERD_SIMD V16 mul(V16 x, V16 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
HERD_SIMD V16 div(V16 x, V16 y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
HERD_SIMD V16 fma(V16 x, V16 y, V16 z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
HERD_SIMD V16 max(V16 x, V16 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
HERD_SIMD V16 neg(V16 x) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_xor_ps(x.a, sign), _mm256_xor_ps(x.b, sign)};
}

HERD_SIMD I16 iset1(std::int32_t x) {
  const __m256i v = _mm256_set1_epi32(x);
  return {v, v};
}
HERD_SIMD I16 ilanes() {  // 0, 1, … 15
  return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)};
}
HERD_SIMD I16 iload(const void* p) {
  return {_mm256_loadu_si256(static_cast<const __m256i*>(p)), _mm256_loadu_si256(static_cast<const __m256i*>(p) + 1)};
}
HERD_SIMD void istore(void* p, I16 v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), v.a);
  _mm256_storeu_si256(static_cast<__m256i*>(p) + 1, v.b);
}
HERD_SIMD I16 iadd(I16 x, I16 y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
HERD_SIMD I16 isub(I16 x, I16 y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
HERD_SIMD I16 iand(I16 x, I16 y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
HERD_SIMD I16 ior(I16 x, I16 y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
HERD_SIMD I16 ixor(I16 x, I16 y) { return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)}; }
template <int N>
HERD_SIMD I16 shl(I16 x) {
  return {_mm256_slli_epi32(x.a, N), _mm256_slli_epi32(x.b, N)};
}
template <int N>
HERD_SIMD I16 shr(I16 x) {
  return {_mm256_srli_epi32(x.a, N), _mm256_srli_epi32(x.b, N)};
}
template <int N>
HERD_SIMD I16 sar(I16 x) {
  return {_mm256_srai_epi32(x.a, N), _mm256_srai_epi32(x.b, N)};
}
HERD_SIMD V16 as_float(I16 x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
HERD_SIMD I16 as_int(V16 x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
HERD_SIMD V16 to_f32(I16 x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
// Nearest fp32 of an unsigned number: both halves convert exactly, their sum rounds once.
HERD_SIMD V16 to_f32_unsigned(I16 x) { return fma(to_f32(shr<16>(x)), set1(65536.0F), to_f32(iand(x, iset1(0xffff)))); }
// 32 x 32 -> 64 bit unsigned product with a constant, halves apart.
HERD_SIMD void mul_hi_lo(__m256i x, __m256i m, __m256i* hi, __m256i* lo) {
  const __m256i even = _mm256_mul_epu32(x, m);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), m);
  *lo = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
  *hi = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
HERD_SIMD void mul_hi_lo(I16 x, std::uint32_t m, I16* hi, I16* lo) {
  const __m256i factor = _mm256_set1_epi32(static_cast<int>(m));
  mul_hi_lo(x.a, factor, &hi->a, &lo->a);
  mul_hi_lo(x.b, factor, &hi->b, &lo->b);
}

template <int Predicate>
HERD_SIMD M16 compare(V16 x, V16 y) {
  return {_mm256_cmp_ps(x.a, y.a, Predicate), _mm256_cmp_ps(x.b, y.b, Predicate)};
}
HERD_SIMD M16 ilt(I16 x, I16 y) {
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(y.a, x.a)), _mm256_castsi256_ps(_mm256_cmpgt_epi32(y.b, x.b))};
}
HERD_SIMD M16 mand(M16 x, M16 y) { return {_mm256_and_ps(x.a, y.a), _mm256_and_ps(x.b, y.b)}; }
HERD_SIMD M16 mor(M16 x, M16 y) { return {_mm256_or_ps(x.a, y.a), _mm256_or_ps(x.b, y.b)}; }
HERD_SIMD M16 mnone() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
HERD_SIMD std::uint32_t mbits(M16 m) {
  return static_cast<std::uint32_t>(_mm256_movemask_ps(m.a)) | static_cast<std::uint32_t>(_mm256_movemask_ps(m.b)) << 8;
}
HERD_SIMD V16 select(M16 m, V16 yes, V16 no) {
  return {_mm256_blendv_ps(no.a, yes.a, m.a), _mm256_blendv_ps(no.b, yes.b, m.b)};
}
HERD_SIMD I16 iselect(M16 m, I16 yes, I16 no) { return as_int(select(m, as_float(yes), as_float(no))); }

// Rule 2's tree: lane[i] += lane[i + 8], then + 4, + 2, + 1.
HERD_SIMD float tree_sum(V16 v) {
  const __m256 eight = _mm256_add_ps(v.a, v.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
HERD_SIMD float max_lane(V16 v) {
  const __m256 eight = _mm256_max_ps(v.a, v.b);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// ---- bytes: a lane holds four of them, neighbours along k ----
// Sums of two neighbouring products, 16 bits each, of unsigned with signed bytes; they saturate.
HERD_SIMD I16 maddubs(I16 u, I16 s) { return {_mm256_maddubs_epi16(u.a, s.a), _mm256_maddubs_epi16(u.b, s.b)}; }
HERD_SIMD I16 add16(I16 x, I16 y) { return {_mm256_add_epi16(x.a, y.a), _mm256_add_epi16(x.b, y.b)}; }
// Both 16-bit halves of each lane, added.
HERD_SIMD I16 add_halves(I16 x) {
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_madd_epi16(x.a, ones), _mm256_madd_epi16(x.b, ones)};
}
// Holds a sum of integers where it is in the program: compilers regroup such sums, into more registers than there are.
HERD_SIMD void hold(I16* x) { asm("" : "+x"(x->a), "+x"(x->b)); }
HERD_SIMD I16 abs8(I16 x) { return {_mm256_abs_epi8(x.a), _mm256_abs_epi8(x.b)}; }
// x with its bytes negated where `by` is negative; bytes where `by` is 0 are unspecified.
HERD_SIMD I16 sign8(I16 x, I16 by) { return {_mm256_sign_epi8(x.a, by.a), _mm256_sign_epi8(x.b, by.b)}; }
HERD_SIMD V16 load_i8(const void* p) {
  const __m128i v = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(v, 8)))};
}
HERD_SIMD V16 load_u8(const void* p) {
  const __m128i v = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(v, 8)))};
}
HERD_SIMD I16 imax(I16 x, I16 y) { return {_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)}; }
HERD_SIMD std::int32_t imax_lane(I16 x) {
  const __m256i eight = _mm256_max_epi32(x.a, x.b);
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0x55)));
}
// Lanes rounded to the nearest integer, to even where two are as near; within a signed byte.
HERD_SIMD __m128i round_to_bytes(V16 v) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b)), 0xd8);
  return _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

// ---- formats ----
// Upper halves of fp32 lanes, rounded as to_bf16() does, in the low 16 bits.
HERD_SIMD I16 bf16_bits(V16 v) {
  const I16 bits = as_int(v);
  const I16 upper = shr<16>(bits);
  const I16 rounded = shr<16>(iadd(iadd(bits, iset1(0x7fff)), iand(upper, iset1(1))));
  return iselect(compare<_CMP_UNORD_Q>(v, v), ior(upper, iset1(0x40)), rounded);
}
HERD_SIMD V16 load_bf16(const std::uint16_t* p) {
  const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const I16 wide = {_mm256_cvtepu16_epi32(_mm256_castsi256_si128(v)),
                    _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1))};
  return as_float(shl<16>(wide));
}
HERD_SIMD __m256i narrow(I16 v) {  // low 16 bits of each lane; they are zero-extended
  return _mm256_permute4x64_epi64(_mm256_packus_epi32(v.a, v.b), 0xd8);
}
HERD_SIMD void store_bf16(std::uint16_t* p, V16 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(bf16_bits(v)));
}
HERD_SIMD V16 load_f16(const std::uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
HERD_SIMD I16 f16_bits(V16 v) {
  return {_mm256_cvtepu16_epi32(_mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT)),
          _mm256_cvtepu16_epi32(_mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT))};
}
// Even and odd elements of 16 dwords (low half = even).
HERD_SIMD V16 bf16_even(I16 v) { return as_float(shl<16>(v)); }
HERD_SIMD V16 bf16_odd(I16 v) { return as_float(iand(v, iset1(static_cast<std::int32_t>(0xffff0000U)))); }
HERD_SIMD V16 f16_even(I16 v) {
  const __m256i both = narrow(iand(v, iset1(0xffff)));
  return {_mm256_cvtph_ps(_mm256_castsi256_si128(both)), _mm256_cvtph_ps(_mm256_extracti128_si256(both, 1))};
}
HERD_SIMD V16 f16_odd(I16 v) { return f16_even(shr<16>(v)); }
HERD_SIMD void f16_split(__m256i v, __m256* even, __m256* odd) {
  const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5, 8, 9, 12, 13,
                                         2, 3, 6, 7, 10, 11, 14, 15);
  const __m256i halves = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(v, order), 0xd8);
  *even = _mm256_cvtph_ps(_mm256_castsi256_si128(halves));
  *odd = _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1));
}
HERD_SIMD void f16_even_odd(I16 v, V16* even, V16* odd) {
  f16_split(v.a, &even->a, &odd->a);
  f16_split(v.b, &even->b, &odd->b);
}

// The first n lanes (0 <= n <= 16); the others are +0 and their memory is not touched.
HERD_SIMD V16 load_first(const float* p, std::int64_t n) {
  alignas(32) float lanes[16] = {};
  for (std::int64_t i = 0; i < n; i++) lanes[i] = p[i];
  return load(lanes);
}
HERD_SIMD void store_first(float* p, V16 v, std::int64_t n) {
  alignas(32) float lanes[16];
  store(lanes, v);
  for (std::int64_t i = 0; i < n; i++) p[i] = lanes[i];
}
HERD_SIMD V16 load_bf16_first(const std::uint16_t* p, std::int64_t n) {
  alignas(32) std::uint16_t lanes[16] = {};
  for (std::int64_t i = 0; i < n; i++) lanes[i] = p[i];
  return load_bf16(lanes);
}
HERD_SIMD void store_bf16_first(std::uint16_t* p, V16 v, std::int64_t n) {
  alignas(32) std::uint16_t lanes[16];
  store_bf16(lanes, v);
  for (std::int64_t i = 0; i < n; i++) p[i] = lanes[i];
}

// 4 vectors of 4 x 4 blocks: in each 128-bit lane, element (i, j) goes to (j, i).
HERD_SIMD void transpose4(__m256i* v0, __m256i* v1, __m256i* v2, __m256i* v3) {
  const __m256i a = _mm256_unpacklo_epi32(*v0, *v1);
  const __m256i b = _mm256_unpackhi_epi32(*v0, *v1);
  const __m256i c = _mm256_unpacklo_epi32(*v2, *v3);
  const __m256i d = _mm256_unpackhi_epi32(*v2, *v3);
  *v0 = _mm256_unpacklo_epi64(a, c);
  *v1 = _mm256_unpackhi_epi64(a, c);
  *v2 = _mm256_unpacklo_epi64(b, d);
  *v3 = _mm256_unpackhi_epi64(b, d);
}
HERD_SIMD void transpose4(I16 v[4]) {
  transpose4(&v[0].a, &v[1].a, &v[2].a, &v[3].a);
  transpose4(&v[0].b, &v[1].b, &v[2].b, &v[3].b);
}

}  // namespace
}  // namespace avx2
}  // namespace herd
