// Products with weights in blocks against a second reading of the rules: tests/golden/make_block_products.py, in NumPy, made the
// same inputs of the same seeds and left digests of what the rules say. reference/ and every backend of this CPU give them, and
// the blocks stand for the numbers that the Python package `gguf` makes of them.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/backends.h"
#include "tests/kernels/block_fixtures.h"

namespace herd {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

// kAny: any quants, scales from 2^-12 to 1. kEnds: quants and scales at the ends of what a format holds. kNonFinite: as kAny, but
// one scale of 64 is an infinity or a NaN.
enum class Weights { kAny, kEnds, kNonFinite };
// What a block of 32 activations is like. kMagnitudes: from 2^-117 to 2^122. kBorder: around 2^-100, zeros and subnormal numbers.
// kTies: odd multiples of half a step. kLargest: one magnitude. kNonFinite: one number of 1000.
enum class X { kOrdinary, kMagnitudes, kBorder, kHuge, kZeros, kTies, kLargest, kNonFinite };

struct GoldenCase {
  WeightFormat format;
  std::int64_t rows, outputs, k;
  int chunks_before, x_parts;
  std::vector<std::int32_t> leaf_chunk;
  Weights weights;
  X x;
  DType act;
  std::uint64_t seed;
  std::uint64_t numbers_digest, product_digest;
};

const std::vector<GoldenCase>& golden_cases() {
  static const std::vector<GoldenCase> cases = {
#include "tests/golden/block_products.inc"
  };
  return cases;
}

std::int64_t field(std::uint64_t word, int shift, std::uint64_t modulus) { return static_cast<std::int64_t>((word >> shift) % modulus); }

std::vector<std::byte> golden_blocks(const GoldenCase& c, std::int64_t count) {
  constexpr unsigned char kEnds[] = {0x00, 0xff, 0x7f, 0x80, 0x0f, 0xf0, 0x81};
  constexpr std::uint16_t kEndScales[] = {0x0001, 0x8001, 0x03ff, 0x7bff, 0xfbff, 0x0000, 0x8000, 0x3c00, 0x001d};
  constexpr std::uint16_t kNonFiniteScales[] = {0x7c00, 0xfc00, 0x7e00};
  Random random(2 * c.seed);
  const std::int64_t size = block_bytes(c.format);
  std::vector<std::byte> bytes(static_cast<std::size_t>(count * size));
  for (std::byte& byte : bytes) {
    const std::uint64_t word = random.next();
    const bool end = c.weights == Weights::kEnds && word % 8 != 0;
    byte = static_cast<std::byte>(end ? kEnds[field(word, 8, 7)] : static_cast<unsigned char>(word >> 56));
  }
  for (std::int64_t block = 0; block < count; block++) {
    for (const std::size_t offset : scale_offsets(c.format)) {
      const std::uint64_t word = random.next();
      auto scale = static_cast<std::uint16_t>((word & 0x83ffU) | static_cast<std::uint64_t>(3 + field(word, 16, 12)) << 10);
      if (c.weights == Weights::kEnds && field(word, 48, 2) == 1) scale = kEndScales[field(word, 56, 9)];
      if (c.weights == Weights::kNonFinite && field(word, 48, 64) == 0) scale = kNonFiniteScales[field(word, 56, 3)];
      std::memcpy(bytes.data() + static_cast<std::size_t>(block * size) + offset, &scale, 2);
    }
  }
  return bytes;
}

// Bits of element i of its block: `word` is its own, `block` that of its block.
std::uint32_t golden_activation(X kind, std::int64_t i, std::uint64_t word, std::uint64_t block) {
  constexpr std::uint32_t kFlushBorder = 0x0d8c234f;  // make_block_products.py says of what
  constexpr std::uint32_t kNonFinite[] = {0x7f800000, 0xff800000, 0x7fc00000};
  const std::uint32_t sign = (word >> 63) != 0 ? 0x80000000U : 0U;
  const auto mantissa = static_cast<std::uint32_t>(word & 0x7fffffU);
  const std::int64_t step = field(word, 32, 16);
  const auto bits = [&](std::int64_t exponent, std::uint32_t fraction) {
    return sign | static_cast<std::uint32_t>(exponent) << 23 | fraction;
  };
  const std::uint32_t ordinary = bits(120 + step % 9, mantissa);
  switch (kind) {
    case X::kOrdinary:
      return ordinary;
    case X::kMagnitudes:
      return bits(10 + field(block, 0, 240) - step % 10, mantissa);
    case X::kBorder:
      if (field(block, 24, 3) == 0) return i == 0 ? kFlushBorder : bits(26 - step % 3, mantissa);
      if (field(block, 16, 4) == 0) return bits(0, mantissa);
      return bits(24 + field(block, 0, 6) - step % 3, field(block, 8, 2) == 1 ? 0 : mantissa);
    case X::kHuge:
      return bits(254 - step % 4, mantissa);
    case X::kZeros:
      return field(block, 8, 3) == 0 || step % 2 == 0 ? sign : ordinary;
    case X::kTies: {
      const std::int64_t twice = i == 0 ? 254 : field(word, 32, 507) - 253;
      const float value = std::ldexp(static_cast<float>(twice), static_cast<int>(field(block, 0, 20)) - 11);
      return __builtin_bit_cast(std::uint32_t, value);
    }
    case X::kLargest: {
      const std::uint32_t signs[] = {0, 0x80000000U, sign, i / 16 != 0 ? 0x80000000U : 0U};
      return signs[field(block, 8, 4)] | static_cast<std::uint32_t>(110 + field(block, 0, 20)) << 23 | 0x400000U;
    }
    case X::kNonFinite:
      return field(word, 40, 1000) == 0 ? kNonFinite[field(word, 52, 3)] : ordinary;
  }
  return 0;
}

Tensor golden_x(const GoldenCase& c) {
  Random random(2 * c.seed + 1);
  std::vector<std::uint64_t> block(static_cast<std::size_t>(c.rows * c.k / kChunkK));
  for (std::uint64_t& word : block) word = random.next();
  Tensor x(c.act, c.rows, c.k);
  for (std::int64_t at = 0; at < c.rows * c.k; at++) {
    const std::uint32_t bits = golden_activation(c.x, at % kChunkK, random.next(), block[static_cast<std::size_t>(at / kChunkK)]);
    if (c.act == DType::kF32) {
      static_cast<std::uint32_t*>(x.view.data)[at] = bits;
    } else {
      static_cast<std::uint16_t*>(x.view.data)[at] = static_cast<std::uint16_t>(bits >> 16);
    }
  }
  return x;
}

// FNV-1a over the bits, lowest byte first; every NaN as 0x7fc00000.
class Digest {
 public:
  void add(float value) {
    const std::uint32_t bits = value != value ? 0x7fc00000U : __builtin_bit_cast(std::uint32_t, value);
    for (int shift = 0; shift < 32; shift += 8) value_ = (value_ ^ (bits >> shift & 0xffU)) * 0x100000001b3ULL;
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

std::uint64_t product_digest(Ops& ops, const GoldenCase& c, const PackedMatrix& w, const Tensor& x) {
  Tensor out(DType::kF32, c.rows, c.outputs, w.outputs_padded());
  ops.matmul(x.view, w, nullptr, out.view);
  Digest digest;
  for (std::int64_t r = 0; r < c.rows; r++) {
    for (std::int64_t n = 0; n < c.outputs; n++) digest.add(out.at(r, n));
  }
  return digest.value();
}

BlockMatrix golden_matrix(const GoldenCase& c) {
  Random unused(0);
  BlockMatrix w(unused, c.format, c.outputs, c.k, c.leaf_chunk, c.chunks_before, BlockFill::kPlain);
  w.packed.x_parts = c.x_parts;
  w.rows = golden_blocks(c, c.outputs * stored_row_bytes(w.packed) / block_bytes(c.format));
  w.pack(reference());
  return w;
}

std::string name_of(const GoldenCase& c) { return std::string(format_name(c.format)) + ", seed " + std::to_string(c.seed); }

TEST(BlockGolden, BlocksStandForTheNumbersOfGguf) {
  for (const GoldenCase& c : golden_cases()) {
    const BlockMatrix w = golden_matrix(c);
    Digest digest;
    std::vector<float> row(static_cast<std::size_t>(c.k));
    for (std::int64_t n = 0; n < c.outputs; n++) {
      unpack_row(w.packed, n, row.data());
      for (const float value : row) digest.add(value);
    }
    EXPECT_EQ(digest.value(), c.numbers_digest) << name_of(c);
  }
}

TEST(BlockGolden, ProductsOfTheReference) {
  EXPECT_GE(golden_cases().size(), 200U);
  for (const GoldenCase& c : golden_cases())
    EXPECT_EQ(product_digest(reference(), c, golden_matrix(c).packed, golden_x(c)), c.product_digest) << name_of(c);
}

TEST(BlockGolden, ProductsOfEveryBackend) {
  for (const GoldenCase& c : golden_cases()) {
    const BlockMatrix w = golden_matrix(c);
    const Tensor x = golden_x(c);
    on_every_backend([&](Ops& ops) { EXPECT_EQ(product_digest(ops, c, w.packed, x), c.product_digest) << name_of(c); });
  }
}

}  // namespace
}  // namespace herd
