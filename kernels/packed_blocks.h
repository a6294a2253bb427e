#pragma once
// How blocks (weight_format.h) lie in a packed matrix, and how they get there from a file's rows. The same bytes on every CPU.
//
// A panel of 16 outputs is a sequence of chunks of 32 elements. "Dword (i, lane)" is the 32-bit word 16·i + lane: lanes are the
// panel's outputs, its bytes t = 0 … 3 are neighbours along k, as instructions for dot products of bytes want them.
//   q   q8_0: dword (i, lane), i < 8, holds elements 4i + t, signed. The others: i < 4, low nibble element 4i + t, high nibble
//       element 16 + 4i + t.
//   h   q5_0, q5_1, q5_k: one dword a lane, bit j of byte t is the fifth bit of element 4j + t.
//       q6_k: dword (a, lane), a < 2, bits 2j and 2j + 1 of byte t are the upper bits of element 16a + 4j + t.
//   d, m       f16, one a lane
//   sc, mc     of formats with super-blocks, a byte a lane. q4_k, q5_k: sc, then mc. q6_k: two sc, of the elements below and from 16.
// A chunk is d, m, h, q in this order, or sc, mc, h, q; what a format does not have takes no room. At the begin of a panel lies what
// its super-blocks have once: d, and −dmin (whose sign is turned so that it is added).

#include <cstddef>
#include <cstdint>

#include "kernels/tensor_view.h"

namespace herd {

// Offsets within a chunk, in bytes. Of formats with super-blocks `d` and `m` are those of sc and mc, of q6_k of its two sc.
struct ChunkLayout {
  std::int64_t d, m, h, q;
};
HERD_INLINE constexpr ChunkLayout chunk_layout(WeightFormat format) {
  const bool super = has_super_blocks(format);
  const std::int64_t m = super ? 16 : 32;
  const std::int64_t h = !super && has_minimum(format) ? 64 : 32;
  const bool fifth = format == WeightFormat::kQ5_0 || format == WeightFormat::kQ5_1 || format == WeightFormat::kQ5_K;
  const std::int64_t q = format == WeightFormat::kQ6_K ? h + 128 : fifth ? h + 64 : h;
  return {0, m, h, q};
}
inline constexpr std::int64_t kChunksPerSuperBlock = 8;

// What is taken off the stored number of an element: the n − 8 of q4_0. 0 where numbers are signed or a minimum is added.
HERD_INLINE constexpr int block_offset(WeightFormat format) {
  return format == WeightFormat::kQ4_0 ? 8 : format == WeightFormat::kQ5_0 ? 16 : format == WeightFormat::kQ6_K ? 32 : 0;
}

// Bytes of a row of w in a file, w being columns that begin chunks_before chunks into the row's first block: whole blocks.
[[nodiscard]] std::int64_t stored_row_bytes(const PackedMatrix& w);

// Packs panels [begin, end) of w. `rows`: stored rows, each stored_row_bytes(w), from row `first_row` of w on.
void pack_block_panels(const PackedMatrix& w, const std::byte* rows, std::int64_t first_row, std::int64_t begin, std::int64_t end);

// A chunk of one output, as numbers. The element i stands for (d·sc[i / 16])·q[i] + m·mc; m is −dmin where that is what a block has.
struct UnpackedChunk {
  float d = 0.0F;
  float m = 0.0F;
  int sc[2] = {1, 1};
  int mc = 1;
  int q[32] = {};
};
[[nodiscard]] UnpackedChunk unpack_chunk(const PackedMatrix& w, std::int64_t output, std::int64_t chunk);

// Elements [0, w.k) of one output as floats: one rounding an operation.
void unpack_row(const PackedMatrix& w, std::int64_t output, float* out);

}  // namespace herd
