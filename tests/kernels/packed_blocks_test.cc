// From a file's blocks to packed memory and back: every number, scale and minimum is the one that the stored row has there, also in
// slices that begin and end inside a super-block.

#include "kernels/packed_blocks.h"

#include <algorithm>
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

// What a file says of one element (weight_format.h).
struct StoredElement {
  float d = 0.0F;
  float m = 0.0F;
  int scale = 1;    // sc of a format with super-blocks
  int minimum = 1;  // mc
  int q = 0;
};

class StoredBlock {
 public:
  StoredBlock(WeightFormat format, const std::byte* bytes) : format_(format), bytes_(bytes) {}

  [[nodiscard]] StoredElement element(int j) const {
    switch (format_) {
      case WeightFormat::kQ8_0:
        return {half(0), 0.0F, 1, 1, signed_byte(2 + j)};
      case WeightFormat::kQ4_0:
        return {half(0), 0.0F, 1, 1, nibble(2, j) - 8};
      case WeightFormat::kQ4_1:
        return {half(0), half(2), 1, 1, nibble(4, j)};
      case WeightFormat::kQ5_0:
        return {half(0), 0.0F, 1, 1, nibble(6, j) + 16 * bit(2, j) - 16};
      case WeightFormat::kQ5_1:
        return {half(0), half(2), 1, 1, nibble(8, j) + 16 * bit(4, j)};
      case WeightFormat::kQ4_K:
        return with_minimum(j, nibble_of_64(16, j));
      case WeightFormat::kQ5_K:
        return with_minimum(j, nibble_of_64(48, j) + 16 * (byte(16 + j % 32) >> j / 32 & 1));
      default:
        return element_of_q6_k(j);
    }
  }

 private:
  [[nodiscard]] int byte(int at) const { return std::to_integer<int>(bytes_[at]); }
  [[nodiscard]] int signed_byte(int at) const { return byte(at) < 128 ? byte(at) : byte(at) - 256; }
  [[nodiscard]] float half(int at) const { return f16_to_float(static_cast<std::uint16_t>(byte(at) + 256 * byte(at + 1))); }
  [[nodiscard]] int nibble(int at, int j) const { return j < 16 ? byte(at + j) % 16 : byte(at + j - 16) / 16; }
  [[nodiscard]] int bit(int at, int j) const { return byte(at + j / 8) >> j % 8 & 1; }
  [[nodiscard]] int nibble_of_64(int at, int j) const {
    const int both = byte(at + 32 * (j / 64) + j % 32);
    return j % 64 < 32 ? both % 16 : both / 16;
  }
  // As the text of ggml's get_scale_min_k4() says it.
  [[nodiscard]] StoredElement with_minimum(int j, int q) const {
    const int g = j / 32;
    const auto six = [&](int i) { return byte(4 + i); };
    if (g < 4) return {half(0), -half(2), six(g) & 63, six(g + 4) & 63, q};
    return {half(0), -half(2), (six(g + 4) & 15) | (six(g - 4) >> 6) << 4, six(g + 4) >> 4 | (six(g) >> 6) << 4, q};
  }
  [[nodiscard]] StoredElement element_of_q6_k(int j) const {
    const int i = j % 32;
    const int part = j / 32 % 4;
    const int low = byte(64 * (j / 128) + 32 * (part % 2) + i) >> 4 * (part / 2) & 15;
    const int high = byte(128 + 32 * (j / 128) + i) >> 2 * part & 3;
    return {half(208), 0.0F, signed_byte(192 + j / 16), 1, low + 16 * high - 32};
  }

  WeightFormat format_;
  const std::byte* bytes_;
};

// Element k of an output, as the rows say that were packed.
StoredElement stored_element(const BlockMatrix& w, std::int64_t output, std::int64_t k) {
  const std::int64_t at = w.packed.chunks_before * kChunkK + k;
  const std::int64_t elements = block_elements(w.packed.format);
  const std::int64_t block = output * stored_row_bytes(w.packed) + at / elements * block_bytes(w.packed.format);
  return StoredBlock(w.packed.format, w.rows.data() + block).element(static_cast<int>(at % elements));
}

// The first element that is not as stored; empty: none.
std::string chunk_difference(const BlockMatrix& w, std::int64_t output, std::int64_t chunk) {
  const UnpackedChunk unpacked = unpack_chunk(w.packed, output, chunk);
  for (int i = 0; i < kChunkK; i++) {
    const StoredElement stored = stored_element(w, output, chunk * kChunkK + i);
    if (same_bits(unpacked.d, stored.d) && same_bits(unpacked.m, stored.m) && unpacked.sc[i / 16] == stored.scale &&
        unpacked.mc == stored.minimum && unpacked.q[i] == stored.q)
      continue;
    return "output " + std::to_string(output) + ", chunk " + std::to_string(chunk) + ", element " + std::to_string(i);
  }
  return "";
}

void expect_all_as_stored(const BlockMatrix& w) {
  SCOPED_TRACE(std::string(format_name(w.packed.format)) + ", " + std::to_string(w.packed.outputs) + " outputs of " +
               std::to_string(w.packed.chunks()) + " chunks after " + std::to_string(w.packed.chunks_before));
  for (std::int64_t output = 0; output < w.packed.outputs; output++) {
    for (std::int64_t chunk = 0; chunk < w.packed.chunks(); chunk++) ASSERT_EQ(chunk_difference(w, output, chunk), "");
  }
  EXPECT_TRUE(w.border_intact());
}

TEST(PackedBlocks, HoldWhatTheFileHolds) {
  Random random(1);
  for (const WeightFormat format : kBlockFormats) {
    for (int i = 0; i < 24; i++) {
      const std::int64_t chunks = has_super_blocks(format) ? 8 * (1 + random.below(3)) : 1 + random.below(20);
      const BlockFill fill = i % 2 == 0 ? BlockFill::kPlain : BlockFill::kExtreme;
      BlockMatrix w(random, format, 1 + random.below(40), chunks * kChunkK, {}, 0, fill);
      w.pack(reference());
      expect_all_as_stored(w);
    }
  }
}

constexpr WeightFormat kSuperFormats[] = {WeightFormat::kQ4_K, WeightFormat::kQ5_K, WeightFormat::kQ6_K};

TEST(PackedBlocks, SlicesBeginAndEndInsideSuperBlocks) {
  Random random(2);
  for (int before = 0; before < kChunksPerSuperBlock; before++) {
    for (std::int64_t chunks = 1; chunks <= 18; chunks++) {
      BlockMatrix w(random, kSuperFormats[chunks % 3], 1 + random.below(20), chunks * kChunkK, {}, before, BlockFill::kPlain);
      w.pack(reference());
      expect_all_as_stored(w);
    }
  }
}

// Slices next to each other are the columns of the whole.
TEST(PackedBlocks, SlicesAreColumnsOfTheWhole) {
  Random random(3);
  constexpr std::int64_t kChunks = 24;
  for (const WeightFormat format : kSuperFormats) {
    BlockMatrix whole(random, format, 19, kChunks * kChunkK, {}, 0, BlockFill::kExtreme);
    whole.pack(reference());
    std::vector<float> expected(kChunks * kChunkK);
    for (std::int64_t begin = 0; begin < kChunks; begin++) {
      const std::int64_t end = begin + 1 + random.below(kChunks - begin);
      const std::int64_t super = begin / kChunksPerSuperBlock;
      BlockMatrix slice(random, format, 19, (end - begin) * kChunkK, {}, static_cast<int>(begin % kChunksPerSuperBlock),
                        BlockFill::kPlain);
      for (std::int64_t n = 0; n < 19; n++) {
        std::memcpy(slice.rows.data() + n * stored_row_bytes(slice.packed),
                    whole.rows.data() + n * stored_row_bytes(whole.packed) + super * block_bytes(format),
                    static_cast<std::size_t>(stored_row_bytes(slice.packed)));
      }
      slice.pack(reference());
      std::vector<float> actual(static_cast<std::size_t>(slice.packed.k));
      for (std::int64_t n = 0; n < 19; n++) {
        unpack_row(whole.packed, n, expected.data());
        unpack_row(slice.packed, n, actual.data());
        for (std::int64_t k = 0; k < slice.packed.k; k++) {
          ASSERT_TRUE(same_bits(actual[static_cast<std::size_t>(k)], expected[static_cast<std::size_t>(begin * kChunkK + k)]))
              << "[" << n << ", " << k << "] of chunks " << begin << " to " << end;
        }
      }
    }
  }
}

// A row as floats: one rounding an operation, what is left of a panel +0.
TEST(PackedBlocks, RowsAsFloats) {
  Random random(4);
  for (const WeightFormat format : kBlockFormats) {
    BlockMatrix w(random, format, 18, 512, {}, 0, BlockFill::kPlain);
    w.pack(reference());
    std::vector<float> row(512);
    for (std::int64_t n = 0; n < 18; n++) {
      unpack_row(w.packed, n, row.data());
      for (std::int64_t k = 0; k < 512; k++) {
        const StoredElement stored = stored_element(w, n, k);
        const float scale = stored.d * static_cast<float>(stored.scale);  // · 1 changes nothing
        const float value = scale * static_cast<float>(stored.q);
        const float expected = has_minimum(format) ? value + stored.m * static_cast<float>(stored.minimum) : value;
        ASSERT_TRUE(same_bits(row[static_cast<std::size_t>(k)], expected)) << format_name(format) << " [" << n << ", " << k << "]";
      }
    }
    unpack_row(w.packed, 18, row.data());
    for (const float value : row) ASSERT_EQ(value, 0.0F) << format_name(format);
  }
}

// The rest of the last panel, and what lies between its parts, is bytes of 0: also the minima, whose sign is turned.
TEST(PackedBlocks, WhatIsNoRowIsZeros) {
  Random random(5);
  for (const WeightFormat format : kBlockFormats) {
    BlockMatrix w(random, format, 18, 512, {}, has_super_blocks(format) ? 3 : 0, BlockFill::kPlain);
    std::fill(w.rows.begin(), w.rows.end(), std::byte{0});
    const auto size = static_cast<std::size_t>(block_bytes(format));
    if (has_super_blocks(format) && has_minimum(format)) {  // -0, of which +0 is packed
      for (std::size_t block = 0; block < w.rows.size(); block += size) w.rows[block + 3] = std::byte{0x80};
    }
    w.pack(reference());
    const auto last = w.bytes().subspan(static_cast<std::size_t>(w.packed.panel_bytes()));
    EXPECT_EQ(std::count(last.begin(), last.end(), 0), w.packed.panel_bytes()) << format_name(format);
  }
}

}  // namespace
}  // namespace herd
