#pragma once
// Matrices of blocks for tests: rows as a file holds them, random or extreme, packed. Not a test.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/packed_blocks.h"
#include "tests/kernels/kernel_fixtures.h"

namespace herd::testing {

// kPlain: any quants, scales of ordinary size. kExtreme: quants and scales at the ends of what a format holds, subnormal scales too.
enum class BlockFill { kPlain, kExtreme };

// Offsets of the f16 numbers of a block: d, and m where there is one.
inline std::vector<std::size_t> scale_offsets(WeightFormat format) {
  const auto d = static_cast<std::size_t>(scale_offset(format));
  return has_minimum(format) ? std::vector<std::size_t>{d, d + 2} : std::vector<std::size_t>{d};
}

inline std::vector<std::byte> random_blocks(Random& random, WeightFormat format, std::int64_t count, BlockFill fill) {
  const auto size = static_cast<std::size_t>(block_bytes(format));
  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * size);
  constexpr unsigned char kEnds[] = {0x00, 0xff, 0x7f, 0x80, 0x0f, 0xf0, 0x81};
  for (std::byte& byte : bytes) {
    const bool end = fill == BlockFill::kExtreme && random.below(8) != 0;
    byte = static_cast<std::byte>(end ? kEnds[random.below(7)] : static_cast<unsigned char>(random.below(256)));
  }
  constexpr std::uint16_t kScales[] = {0x0001, 0x8001, 0x03ff, 0x7bff, 0xfbff, 0x0000, 0x8000, 0x3c00};
  for (std::int64_t block = 0; block < count; block++) {
    for (const std::size_t offset : scale_offsets(format)) {
      const bool end = fill == BlockFill::kExtreme && random.below(2) == 0;
      const std::uint16_t scale = end ? kScales[random.below(8)] : to_f16_bits(random.uniform() * 0.02F);
      std::memcpy(bytes.data() + static_cast<std::size_t>(block) * size + offset, &scale, 2);
    }
  }
  return bytes;
}

// A packed matrix of blocks with its memory and the rows it was made of. K is a multiple of 32.
class BlockMatrix {
 public:
  BlockMatrix(Random& random, WeightFormat format, std::int64_t outputs, std::int64_t k, std::span<const std::int32_t> leaf_chunk,
              int chunks_before, BlockFill fill)
      : packed(shape(format, outputs, k, leaf_chunk, chunks_before)),
        rows(random_blocks(random, format, outputs * stored_row_bytes(packed) / block_bytes(format), fill)),
        memory_(static_cast<std::size_t>(packed.bytes())) {
    packed.data = memory_.data();
  }
  PackedMatrix packed;
  std::vector<std::byte> rows;

  void pack(Ops& ops) { ops.pack_blocks(packed, 0, packed.outputs, rows.data()); }
  [[nodiscard]] std::span<const unsigned char> bytes() const { return {memory_.data(), memory_.bytes()}; }
  [[nodiscard]] bool border_intact() const { return memory_.border_intact(); }

 private:
  static PackedMatrix shape(WeightFormat format, std::int64_t outputs, std::int64_t k, std::span<const std::int32_t> leaf_chunk,
                            int chunks_before) {
    PackedMatrix w;
    w.format = format;
    w.outputs = outputs;
    w.k = k;
    w.chunks_before = chunks_before;
    w.leaf_chunk[1] = static_cast<std::int32_t>(k / kChunkK);
    if (!leaf_chunk.empty()) {
      w.leaf_count = static_cast<int>(leaf_chunk.size()) - 1;
      std::copy(leaf_chunk.begin(), leaf_chunk.end(), w.leaf_chunk);
    }
    return w;
  }

  Memory memory_;
};

}  // namespace herd::testing
