#pragma once
// 16 fp32 lanes as one zmm register: the AVX-512 half of the abstraction that the *-inl.h kernels are written in.
// Needs AVX-512 F, BW, DQ, VL. Per-ISA file: intrinsics only, internal linkage (see kernel_table.h).

#include <immintrin.h>

#include <cstdint>

#include "kernels/dtype.h"

namespace herd {
namespace avx512 {
namespace {

#define HERD_SIMD [[gnu::always_inline]] static inline

struct V16 {
  __m512 v;
};
struct I16 {
  __m512i v;
};
struct M16 {
  __mmask16 m;
};

HERD_SIMD V16 zero() { return {_mm512_setzero_ps()}; }
HERD_SIMD V16 set1(float x) { return {_mm512_set1_ps(x)}; }
HERD_SIMD V16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
HERD_SIMD void store(float* p, V16 v) { _mm512_storeu_ps(p, v.v); }
HERD_SIMD V16 add(V16 x, V16 y) { return {_mm512_add_ps(x.v, y.v)}; }
HERD_SIMD V16 sub(V16 x, V16 y) { return {_mm512_sub_ps(x.v, y.v)}; }
HERD_SIMD V16 mul(V16 x, V16 y) { return {_mm512_mul_ps(x.v, y.v)}; }
HERD_SIMD V16 div(V16 x, V16 y) { return {_mm512_div_ps(x.v, y.v)}; }
HERD_SIMD V16 fma(V16 x, V16 y, V16 z) { return {_mm512_fmadd_ps(x.v, y.v, z.v)}; }
HERD_SIMD V16 max(V16 x, V16 y) { return {_mm512_max_ps(x.v, y.v)}; }
HERD_SIMD V16 neg(V16 x) { return {_mm512_xor_ps(x.v, _mm512_set1_ps(-0.0F))}; }

HERD_SIMD I16 iset1(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
HERD_SIMD I16 ilanes() { return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)}; }
HERD_SIMD I16 iload(const void* p) { return {_mm512_loadu_si512(p)}; }
HERD_SIMD void istore(void* p, I16 v) { _mm512_storeu_si512(p, v.v); }
HERD_SIMD I16 iadd(I16 x, I16 y) { return {_mm512_add_epi32(x.v, y.v)}; }
HERD_SIMD I16 isub(I16 x, I16 y) { return {_mm512_sub_epi32(x.v, y.v)}; }
HERD_SIMD I16 iand(I16 x, I16 y) { return {_mm512_and_si512(x.v, y.v)}; }
HERD_SIMD I16 ior(I16 x, I16 y) { return {_mm512_or_si512(x.v, y.v)}; }
HERD_SIMD I16 ixor(I16 x, I16 y) { return {_mm512_xor_si512(x.v, y.v)}; }
template <int N>
HERD_SIMD I16 shl(I16 x) {
  return {_mm512_slli_epi32(x.v, N)};
}
template <int N>
HERD_SIMD I16 shr(I16 x) {
  return {_mm512_srli_epi32(x.v, N)};
}
template <int N>
HERD_SIMD I16 sar(I16 x) {
  return {_mm512_srai_epi32(x.v, N)};
}
HERD_SIMD V16 as_float(I16 x) { return {_mm512_castsi512_ps(x.v)}; }
HERD_SIMD I16 as_int(V16 x) { return {_mm512_castps_si512(x.v)}; }
HERD_SIMD V16 to_f32(I16 x) { return {_mm512_cvtepi32_ps(x.v)}; }
HERD_SIMD V16 to_f32_unsigned(I16 x) { return {_mm512_cvtepu32_ps(x.v)}; }
// 32 x 32 -> 64 bit unsigned product with a constant, halves apart.
HERD_SIMD void mul_hi_lo(I16 x, std::uint32_t m, I16* hi, I16* lo) {
  const __m512i factor = _mm512_set1_epi32(static_cast<int>(m));
  const __m512i even = _mm512_mul_epu32(x.v, factor);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(x.v, 32), factor);
  lo->v = _mm512_mask_mov_epi32(even, 0xaaaa, _mm512_slli_epi64(odd, 32));
  hi->v = _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xaaaa, odd);
}

template <int Predicate>
HERD_SIMD M16 compare(V16 x, V16 y) {
  return {_mm512_cmp_ps_mask(x.v, y.v, Predicate)};
}
HERD_SIMD M16 ilt(I16 x, I16 y) { return {_mm512_cmplt_epi32_mask(x.v, y.v)}; }
HERD_SIMD M16 mand(M16 x, M16 y) { return {static_cast<__mmask16>(x.m & y.m)}; }
HERD_SIMD M16 mor(M16 x, M16 y) { return {static_cast<__mmask16>(x.m | y.m)}; }
HERD_SIMD M16 mnone() { return {0}; }
HERD_SIMD std::uint32_t mbits(M16 m) { return m.m; }
HERD_SIMD V16 select(M16 m, V16 yes, V16 no) { return {_mm512_mask_mov_ps(no.v, m.m, yes.v)}; }
HERD_SIMD I16 iselect(M16 m, I16 yes, I16 no) { return {_mm512_mask_mov_epi32(no.v, m.m, yes.v)}; }

// Rule 2's tree: lane[i] += lane[i + 8], then + 4, + 2, + 1.
HERD_SIMD float tree_sum(V16 v) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v.v), _mm512_extractf32x8_ps(v.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
HERD_SIMD float max_lane(V16 v) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(v.v), _mm512_extractf32x8_ps(v.v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// ---- bytes: a lane holds four of them, neighbours along k ----
// Sums of two neighbouring products, 16 bits each, of unsigned with signed bytes; they saturate.
HERD_SIMD I16 maddubs(I16 u, I16 s) { return {_mm512_maddubs_epi16(u.v, s.v)}; }
HERD_SIMD I16 add16(I16 x, I16 y) { return {_mm512_add_epi16(x.v, y.v)}; }
// Both 16-bit halves of each lane, added.
HERD_SIMD I16 add_halves(I16 x) { return {_mm512_madd_epi16(x.v, _mm512_set1_epi16(1))}; }
// Holds a sum of integers where it is in the program: compilers regroup such sums, into more registers than there are.
HERD_SIMD void hold(I16* x) { asm("" : "+v"(x->v)); }
HERD_SIMD I16 abs8(I16 x) { return {_mm512_abs_epi8(x.v)}; }
// x with its bytes negated where `by` is negative; bytes where `by` is 0 are unspecified.
HERD_SIMD I16 sign8(I16 x, I16 by) {
  return {_mm512_mask_sub_epi8(x.v, _mm512_movepi8_mask(by.v), _mm512_setzero_si512(), x.v)};
}
HERD_SIMD V16 load_i8(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))))};
}
HERD_SIMD V16 load_u8(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))))};
}
HERD_SIMD I16 imax(I16 x, I16 y) { return {_mm512_max_epi32(x.v, y.v)}; }
HERD_SIMD std::int32_t imax_lane(I16 x) { return _mm512_reduce_max_epi32(x.v); }
// Lanes rounded to the nearest integer, to even where two are as near; within a signed byte.
HERD_SIMD __m128i round_to_bytes(V16 v) { return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v.v)); }

// ---- formats ----
// Upper halves of fp32 lanes, rounded as to_bf16() does, in the low 16 bits. (Not vcvtneps2bf16: it flushes
// denormals.)
HERD_SIMD I16 bf16_bits(V16 v) {
  const I16 bits = as_int(v);
  const I16 upper = shr<16>(bits);
  const I16 rounded = shr<16>(iadd(iadd(bits, iset1(0x7fff)), iand(upper, iset1(1))));
  return iselect(compare<_CMP_UNORD_Q>(v, v), ior(upper, iset1(0x40)), rounded);
}
HERD_SIMD V16 load_bf16(const std::uint16_t* p) {
  return as_float(shl<16>({_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))}));
}
HERD_SIMD __m256i narrow(I16 v) { return _mm512_cvtepi32_epi16(v.v); }
HERD_SIMD void store_bf16(std::uint16_t* p, V16 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(bf16_bits(v)));
}
HERD_SIMD V16 load_f16(const std::uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
HERD_SIMD I16 f16_bits(V16 v) { return {_mm512_cvtepu16_epi32(_mm512_cvtps_ph(v.v, _MM_FROUND_TO_NEAREST_INT))}; }
// Even and odd elements of 16 dwords (low half = even).
HERD_SIMD V16 bf16_even(I16 v) { return as_float(shl<16>(v)); }
HERD_SIMD V16 bf16_odd(I16 v) { return as_float(iand(v, iset1(static_cast<std::int32_t>(0xffff0000U)))); }
HERD_SIMD V16 f16_even(I16 v) { return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(v.v))}; }
HERD_SIMD V16 f16_odd(I16 v) { return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(v.v, 16)))}; }
HERD_SIMD void f16_even_odd(I16 v, V16* even, V16* odd) {
  *even = f16_even(v);
  *odd = f16_odd(v);
}

// The first n lanes (0 <= n <= 16); the others are +0 and their memory is not touched.
HERD_SIMD __mmask16 first(std::int64_t n) { return static_cast<__mmask16>((1U << n) - 1U); }
HERD_SIMD V16 load_first(const float* p, std::int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
HERD_SIMD void store_first(float* p, V16 v, std::int64_t n) { _mm512_mask_storeu_ps(p, first(n), v.v); }
HERD_SIMD V16 load_bf16_first(const std::uint16_t* p, std::int64_t n) {
  return as_float(shl<16>({_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), p))}));
}
HERD_SIMD void store_bf16_first(std::uint16_t* p, V16 v, std::int64_t n) {
  _mm256_mask_storeu_epi16(p, first(n), narrow(bf16_bits(v)));
}

// 4 vectors of 4 x 4 blocks: in each 128-bit lane, element (i, j) goes to (j, i).
HERD_SIMD void transpose4(I16 v[4]) {
  const __m512i a = _mm512_unpacklo_epi32(v[0].v, v[1].v);
  const __m512i b = _mm512_unpackhi_epi32(v[0].v, v[1].v);
  const __m512i c = _mm512_unpacklo_epi32(v[2].v, v[3].v);
  const __m512i d = _mm512_unpackhi_epi32(v[2].v, v[3].v);
  v[0].v = _mm512_unpacklo_epi64(a, c);
  v[1].v = _mm512_unpackhi_epi64(a, c);
  v[2].v = _mm512_unpacklo_epi64(b, d);
  v[3].v = _mm512_unpackhi_epi64(b, d);
}

}  // namespace
}  // namespace avx512
}  // namespace herd
