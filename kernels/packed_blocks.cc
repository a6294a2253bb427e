#include "kernels/packed_blocks.h"

#include <cstring>

namespace herd {
namespace {

std::uint32_t load_dword(const std::byte* at) {
  std::uint32_t value;
  std::memcpy(&value, at, 4);
  return value;
}
void store_dword(std::byte* at, std::uint32_t value) { std::memcpy(at, &value, 4); }

float load_f16(const std::byte* at) {
  std::uint16_t half;
  std::memcpy(&half, at, 2);
  return f16_to_float(half);
}

// Bit 4j + t of a file's word of fifth bits to bit j of byte t.
std::uint32_t spread_fifth_bits(std::uint32_t bits) {
  std::uint32_t spread = 0;
  for (int j = 0; j < 8; j++) spread |= ((bits >> (4 * j) & 0xfU) * 0x00204081U & 0x01010101U) << j;
  return spread;
}

// One output's chunk, from its block of 32.
void pack_block(WeightFormat format, const std::byte* block, std::byte* chunk, std::int64_t lane) {
  const ChunkLayout at = chunk_layout(format);
  std::memcpy(chunk + at.d + lane * 2, block, 2);
  block += 2;
  if (has_minimum(format)) {
    std::memcpy(chunk + at.m + lane * 2, block, 2);
    block += 2;
  }
  if (at.q - at.h == 64) {
    store_dword(chunk + at.h + lane * 4, spread_fifth_bits(load_dword(block)));
    block += 4;
  }
  const int dwords = format == WeightFormat::kQ8_0 ? 8 : 4;
  for (int i = 0; i < dwords; i++) store_dword(chunk + at.q + (i * 16 + lane) * 4, load_dword(block + i * 4));
}

// The four dwords of one output's nibbles, from two halves of 16 elements that are nibble `high` of their bytes.
void pack_nibbles(const std::byte* bytes, bool high, std::byte* to, std::int64_t lane) {
  const int shift = high ? 4 : 0;
  for (int i = 0; i < 4; i++) {
    const std::uint32_t first = load_dword(bytes + i * 4) >> shift & 0x0f0f0f0fU;
    const std::uint32_t second = load_dword(bytes + 16 + i * 4) >> shift & 0x0f0f0f0fU;
    store_dword(to + (i * 16 + lane) * 4, first | second << 4);
  }
}

// One output's chunk, from part `part` (of 8) of its super-block.
void pack_part_q6_k(const std::byte* block, int part, std::byte* chunk, std::int64_t lane) {
  const ChunkLayout at = chunk_layout(WeightFormat::kQ6_K);
  const std::byte* const scales = block + 192 + part * 2;
  chunk[at.d + lane] = scales[0];
  chunk[at.d + 16 + lane] = scales[1];
  const int half = part / 4;
  const int quarter = part % 4;
  pack_nibbles(block + half * 64 + quarter % 2 * 32, quarter / 2 == 1, chunk + at.q, lane);
  const std::byte* const high = block + 128 + half * 32;
  std::uint32_t upper[2] = {};
  for (int i = 0; i < 4; i++) {
    upper[0] |= (load_dword(high + i * 4) >> (quarter * 2) & 0x03030303U) << (2 * i);
    upper[1] |= (load_dword(high + 16 + i * 4) >> (quarter * 2) & 0x03030303U) << (2 * i);
  }
  store_dword(chunk + at.h + lane * 4, upper[0]);
  store_dword(chunk + at.h + 64 + lane * 4, upper[1]);
}

// The same of q4_k and q5_k.
void pack_part_with_minimum(WeightFormat format, const std::byte* block, int part, std::byte* chunk, std::int64_t lane) {
  const ChunkLayout at = chunk_layout(format);
  const std::byte* const six = block + 4;  // numbers of 6 bits
  const auto bits = [&](int byte, int shift, unsigned mask) { return std::to_integer<unsigned>(six[byte]) >> shift & mask; };
  const unsigned sc = part < 4 ? bits(part, 0, 63) : bits(part + 4, 0, 15) | bits(part - 4, 6, 3) << 4;
  const unsigned mc = part < 4 ? bits(part + 4, 0, 63) : bits(part + 4, 4, 15) | bits(part, 6, 3) << 4;
  chunk[at.d + lane] = static_cast<std::byte>(sc);
  chunk[at.m + lane] = static_cast<std::byte>(mc);
  const std::byte* bytes = six + 12;
  if (format == WeightFormat::kQ5_K) {
    std::uint32_t fifths = 0;
    for (int j = 0; j < 8; j++) fifths |= (load_dword(bytes + j * 4) >> part & 0x01010101U) << j;
    store_dword(chunk + at.h + lane * 4, fifths);
    bytes += 32;
  }
  pack_nibbles(bytes + part / 2 * 32, part % 2 == 1, chunk + at.q, lane);
}

void pack_row_of_super_blocks(const PackedMatrix& w, const std::byte* row, std::byte* panel, std::int64_t lane) {
  std::byte* const chunks = panel + w.head_bytes();
  for (std::int64_t chunk = 0; chunk < w.chunks(); chunk++) {
    const std::int64_t in_row = w.chunks_before + chunk;
    const std::int64_t super = in_row / kChunksPerSuperBlock;
    const auto part = static_cast<int>(in_row % kChunksPerSuperBlock);
    const std::byte* const block = row + super * block_bytes(w.format);
    std::byte* const head = panel + super * packed_super_bytes(w.format);
    std::memcpy(head + lane * 2, block + scale_offset(w.format), 2);
    if (has_minimum(w.format)) {
      std::memcpy(head + 32 + lane * 2, block + 2, 2);
      head[32 + lane * 2 + 1] ^= std::byte{0x80};
      pack_part_with_minimum(w.format, block, part, chunks + chunk * w.chunk_bytes(), lane);
    } else {
      pack_part_q6_k(block, part, chunks + chunk * w.chunk_bytes(), lane);
    }
  }
}

}  // namespace

std::int64_t stored_row_bytes(const PackedMatrix& w) {
  const std::int64_t elements = round_up(w.chunks_before * kChunkK + w.k, block_elements(w.format));
  return row_bytes(w.format, elements);
}

void pack_block_panels(const PackedMatrix& w, const std::byte* rows, std::int64_t first_row, std::int64_t begin,
                       std::int64_t end) {
  const std::int64_t stride = stored_row_bytes(w);
  const std::int64_t block = block_bytes(w.format);
  for (std::int64_t p = begin; p < end; p++) {
    std::byte* const panel = static_cast<std::byte*>(const_cast<void*>(w.data)) + p * w.panel_bytes();
    const std::int64_t output = p * kPanelOutputs;
    const std::int64_t lanes = output + kPanelOutputs <= w.outputs ? kPanelOutputs : w.outputs - output;
    if (lanes < kPanelOutputs) std::memset(panel, 0, static_cast<std::size_t>(w.panel_bytes()));
    const std::byte* const row = rows + (output - first_row) * stride;
    if (has_super_blocks(w.format)) {
      for (std::int64_t lane = 0; lane < lanes; lane++) pack_row_of_super_blocks(w, row + lane * stride, panel, lane);
      continue;
    }
    for (std::int64_t chunk = 0; chunk < w.chunks(); chunk++) {  // the rows of a panel are in the cache
      for (std::int64_t lane = 0; lane < lanes; lane++)
        pack_block(w.format, row + lane * stride + chunk * block, panel + chunk * w.chunk_bytes(), lane);
    }
  }
}

UnpackedChunk unpack_chunk(const PackedMatrix& w, std::int64_t output, std::int64_t chunk) {
  const std::byte* const panel = static_cast<const std::byte*>(w.data) + output / kPanelOutputs * w.panel_bytes();
  const std::int64_t lane = output % kPanelOutputs;
  const std::byte* const data = panel + w.head_bytes() + chunk * w.chunk_bytes();
  const ChunkLayout at = chunk_layout(w.format);
  UnpackedChunk unpacked;
  if (has_super_blocks(w.format)) {
    const std::byte* const head = panel + (w.chunks_before + chunk) / kChunksPerSuperBlock * packed_super_bytes(w.format);
    unpacked.d = load_f16(head + lane * 2);
    if (has_minimum(w.format)) {
      unpacked.m = load_f16(head + 32 + lane * 2);
      unpacked.sc[0] = unpacked.sc[1] = std::to_integer<int>(data[at.d + lane]);
      unpacked.mc = std::to_integer<int>(data[at.m + lane]);
    } else {
      for (int group = 0; group < 2; group++) unpacked.sc[group] = static_cast<std::int8_t>(data[at.d + group * 16 + lane]);
    }
  } else {
    unpacked.d = load_f16(data + at.d + lane * 2);
    if (has_minimum(w.format)) unpacked.m = load_f16(data + at.m + lane * 2);
  }
  const bool fifth = at.q - at.h == 64;
  const std::uint32_t fifths = fifth ? load_dword(data + at.h + lane * 4) : 0;
  for (int k = 0; k < 32; k++) {
    const int t = k % 4;
    if (w.format == WeightFormat::kQ8_0) {
      unpacked.q[k] = static_cast<std::int8_t>(data[at.q + (k / 4 * 16 + lane) * 4 + t]);
      continue;
    }
    const auto both = std::to_integer<int>(data[at.q + (k % 16 / 4 * 16 + lane) * 4 + t]);
    int number = k < 16 ? both & 15 : both >> 4;
    if (fifth) number |= static_cast<int>(fifths >> (8 * t + k / 4) & 1U) << 4;
    if (w.format == WeightFormat::kQ6_K) {
      const std::uint32_t upper = load_dword(data + at.h + k / 16 * 64 + lane * 4);
      number |= static_cast<int>(upper >> (8 * t + k % 16 / 4 * 2) & 3U) << 4;
    }
    unpacked.q[k] = number - block_offset(w.format);
  }
  return unpacked;
}

void unpack_row(const PackedMatrix& w, std::int64_t output, float* out) {
  for (std::int64_t chunk = 0; chunk < w.chunks(); chunk++) {
    const UnpackedChunk unpacked = unpack_chunk(w, output, chunk);
    for (int k = 0; k < 32; k++) {
      const float scale = unpacked.d * static_cast<float>(unpacked.sc[k / 16]);  // · 1 changes nothing
      const float value = scale * static_cast<float>(unpacked.q[k]);
      out[chunk * kChunkK + k] = has_minimum(w.format) ? value + unpacked.m * static_cast<float>(unpacked.mc) : value;
    }
  }
}

}  // namespace herd
