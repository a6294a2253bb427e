#include "kernels/packed_blocks.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace herd {
namespace {

std::uint32_t load_dword(const std::byte* at) {
  std::uint32_t value;
  std::memcpy(&value, at, 4);
  return value;
}

float load_f16(const std::byte* at) {
  std::uint16_t half;
  std::memcpy(&half, at, 2);
  return f16_to_float(half);
}

// Four dwords: of one row, or one of each of four lanes. A vector of the compiler's: every x86-64 has registers for it.
using Dwords = std::uint32_t __attribute__((vector_size(16)));

Dwords load_dwords(const void* at) {
  Dwords value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
void store_dwords(std::byte* at, Dwords value) { std::memcpy(at, &value, sizeof value); }

// A dword of each lane.
using LaneDwords = std::uint32_t[kPanelOutputs];

// What lies at one place of every row of a panel.
struct Lanes {
  const std::byte* first;
  std::int64_t stride;  // bytes from one row to the next

  const std::byte* operator[](std::int64_t lane) const { return first + lane * stride; }
  Lanes operator+(std::int64_t bytes) const { return {first + bytes, stride}; }
};

// Dword i of load(lane) to dword (i, lane) of `to`, i < 4.
template <class Load>
void pack_dwords(Load load, void* to) {
  constexpr std::int64_t kRow = sizeof(LaneDwords);
  for (std::int64_t lane = 0; lane < kPanelOutputs; lane += 4) {
    const Dwords a = load(lane), b = load(lane + 1), c = load(lane + 2), d = load(lane + 3);
    const Dwords ac01 = __builtin_shufflevector(a, c, 0, 4, 1, 5), ac23 = __builtin_shufflevector(a, c, 2, 6, 3, 7);
    const Dwords bd01 = __builtin_shufflevector(b, d, 0, 4, 1, 5), bd23 = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    std::byte* const four = static_cast<std::byte*>(to) + lane * 4;
    store_dwords(four, __builtin_shufflevector(ac01, bd01, 0, 4, 1, 5));
    store_dwords(four + kRow, __builtin_shufflevector(ac01, bd01, 2, 6, 3, 7));
    store_dwords(four + 2 * kRow, __builtin_shufflevector(ac23, bd23, 0, 4, 1, 5));
    store_dwords(four + 3 * kRow, __builtin_shufflevector(ac23, bd23, 2, 6, 3, 7));
  }
}

void pack_stored_dwords(Lanes from, void* to) {
  pack_dwords([&](std::int64_t lane) { return load_dwords(from[lane]); }, to);
}

void pack_halves(Lanes from, std::byte* to) {
  for (std::int64_t lane = 0; lane < kPanelOutputs; lane++) std::memcpy(to + lane * 2, from[lane], 2);
}

// Byte `byte` of every lane's dword.
void pack_bytes(const LaneDwords& dwords, int byte, std::byte* to) {
  for (std::int64_t lane = 0; lane < kPanelOutputs; lane++) to[lane] = static_cast<std::byte>(dwords[lane] >> (8 * byte));
}

// Bit 4j + t of a file's word of fifth bits to bit j of byte t.
void pack_fifth_bits(Lanes words, std::byte* to) {
  for (std::int64_t lane = 0; lane < kPanelOutputs; lane += 4) {
    const Dwords bits = {load_dword(words[lane]), load_dword(words[lane + 1]), load_dword(words[lane + 2]),
                         load_dword(words[lane + 3])};
    Dwords spread = {};
    for (int j = 0; j < 8; j++) {
      const Dwords four = bits >> (4 * j) & 0xfU;
      spread |= ((four | four << 7 | four << 14 | four << 21) & 0x01010101U) << j;
    }
    store_dwords(to + lane * 4, spread);
  }
}

// A chunk from blocks of 32.
void pack_chunk(WeightFormat format, Lanes blocks, std::byte* chunk) {
  const ChunkLayout at = chunk_layout(format);
  pack_halves(blocks, chunk + at.d);
  blocks = blocks + 2;
  if (has_minimum(format)) {
    pack_halves(blocks, chunk + at.m);
    blocks = blocks + 2;
  }
  if (at.q - at.h == 64) {
    pack_fifth_bits(blocks, chunk + at.h);
    blocks = blocks + 4;
  }
  pack_stored_dwords(blocks, chunk + at.q);
  if (format == WeightFormat::kQ8_0) pack_stored_dwords(blocks + 16, chunk + at.q + 4 * sizeof(LaneDwords));
}

// The nibbles of a chunk, from two halves of 16 elements that are nibble `high` of their bytes.
void pack_nibbles(Lanes bytes, bool high, std::byte* to) {
  const int shift = high ? 4 : 0;
  const auto both = [&](std::int64_t lane) {
    const Dwords first = load_dwords(bytes[lane]) >> shift & 0x0f0f0f0fU;
    const Dwords second = load_dwords(bytes[lane] + 16) >> shift & 0x0f0f0f0fU;
    return first | second << 4;
  };
  pack_dwords(both, to);
}

// Of every byte the bits `mask` from bit `shift` on, of all dwords in one: those of dword i `width`·i bits further up.
template <int kCount>
void pack_upper_bits(const LaneDwords* dwords, int shift, std::uint32_t mask, int width, std::byte* to) {
  for (std::int64_t lane = 0; lane < kPanelOutputs; lane += 4) {
    Dwords upper = {};
    for (int i = 0; i < kCount; i++) upper |= (load_dwords(&dwords[i][lane]) >> shift & mask) << (width * i);
    store_dwords(to + lane * 4, upper);
  }
}

// Chunks from parts [begin, end) (of 8) of super-blocks, to `chunk` and behind it.
void pack_parts_q6_k(Lanes blocks, int begin, int end, std::byte* chunk) {
  const ChunkLayout at = chunk_layout(WeightFormat::kQ6_K);
  LaneDwords high[16];
  for (int i = 0; i < 16; i += 4) pack_stored_dwords(blocks + 128 + i * 4, high[i]);
  LaneDwords scales[4];
  pack_stored_dwords(blocks + 192, scales);
  for (int part = begin; part < end; part++, chunk += packed_chunk_bytes(WeightFormat::kQ6_K)) {
    const int half = part / 4;
    const int quarter = part % 4;
    for (int group = 0; group < 2; group++) {
      pack_bytes(scales[part / 2], part % 2 * 2 + group, chunk + at.d + group * 16);
      pack_upper_bits<4>(high + half * 8 + group * 4, quarter * 2, 0x03030303U, 2, chunk + at.h + group * 64);
    }
    pack_nibbles(blocks + half * 64 + quarter % 2 * 32, quarter / 2 == 1, chunk + at.q);
  }
}

// The numbers of 6 bits of super-blocks, a byte each: of parts 0 to 3, and 4 to 7.
struct PartScales {
  LaneDwords sc[2], mc[2];
};
PartScales part_scales(Lanes blocks) {
  LaneDwords head[4];  // d and dmin; the twelve bytes of the numbers
  pack_stored_dwords(blocks, head);
  PartScales scales;
  for (std::int64_t lane = 0; lane < kPanelOutputs; lane++) {
    const std::uint32_t first = head[1][lane], second = head[2][lane], third = head[3][lane];
    scales.sc[0][lane] = first & 0x3f3f3f3fU;
    scales.mc[0][lane] = second & 0x3f3f3f3fU;
    scales.sc[1][lane] = (third & 0x0f0f0f0fU) | (first >> 6 & 0x03030303U) << 4;
    scales.mc[1][lane] = (third >> 4 & 0x0f0f0f0fU) | (second >> 6 & 0x03030303U) << 4;
  }
  return scales;
}

// As pack_parts_q6_k, of q4_k and q5_k.
void pack_parts_with_minimum(WeightFormat format, Lanes blocks, int begin, int end, std::byte* chunk) {
  const ChunkLayout at = chunk_layout(format);
  const bool fifth = format == WeightFormat::kQ5_K;
  const PartScales scales = part_scales(blocks);
  LaneDwords high[8];
  if (fifth) {
    pack_stored_dwords(blocks + 16, high[0]);
    pack_stored_dwords(blocks + 32, high[4]);
  }
  const Lanes nibbles = blocks + (fifth ? 48 : 16);
  for (int part = begin; part < end; part++, chunk += packed_chunk_bytes(format)) {
    pack_bytes(scales.sc[part / 4], part % 4, chunk + at.d);
    pack_bytes(scales.mc[part / 4], part % 4, chunk + at.m);
    if (fifth) pack_upper_bits<8>(high, part, 0x01010101U, 1, chunk + at.h);
    pack_nibbles(nibbles + part / 2 * 32, part % 2 == 1, chunk + at.q);
  }
}

// What super-blocks have once: d, and -dmin, of lanes that are there; a lane that is not has +0 of either.
void pack_head(WeightFormat format, Lanes blocks, std::int64_t lanes, std::byte* head) {
  for (std::int64_t lane = 0; lane < lanes; lane++) {
    std::memcpy(head + lane * 2, blocks[lane] + scale_offset(format), 2);
    if (!has_minimum(format)) continue;
    std::memcpy(head + 32 + lane * 2, blocks[lane] + 2, 2);
    head[32 + lane * 2 + 1] ^= std::byte{0x80};
  }
}

void pack_super_blocks(const PackedMatrix& w, Lanes rows, std::int64_t lanes, std::byte* panel) {
  std::byte* chunk = panel + w.head_bytes();
  const std::int64_t end = w.chunks_before + w.chunks();
  for (std::int64_t super = 0; super * kChunksPerSuperBlock < end; super++) {
    const Lanes blocks = rows + super * block_bytes(w.format);
    const std::int64_t before = super * kChunksPerSuperBlock;
    const auto part = static_cast<int>(std::max<std::int64_t>(w.chunks_before - before, 0));
    const auto part_end = static_cast<int>(std::min(end - before, kChunksPerSuperBlock));
    pack_head(w.format, blocks, lanes, panel + super * packed_super_bytes(w.format));
    if (has_minimum(w.format)) {
      pack_parts_with_minimum(w.format, blocks, part, part_end, chunk);
    } else {
      pack_parts_q6_k(blocks, part, part_end, chunk);
    }
    chunk += (part_end - part) * w.chunk_bytes();
  }
}

// The panel of 16 rows, of which those behind the first `lanes` are padding: bytes of 0.
void pack_panel(const PackedMatrix& w, Lanes rows, std::int64_t lanes, std::byte* panel) {
  if (has_super_blocks(w.format)) return pack_super_blocks(w, rows, lanes, panel);
  for (std::int64_t chunk = 0; chunk < w.chunks(); chunk++)  // the rows of a panel are in the cache
    pack_chunk(w.format, rows + chunk * block_bytes(w.format), panel + chunk * w.chunk_bytes());
}

}  // namespace

std::int64_t stored_row_bytes(const PackedMatrix& w) {
  const std::int64_t elements = round_up(w.chunks_before * kChunkK + w.k, block_elements(w.format));
  return row_bytes(w.format, elements);
}

void pack_block_panels(const PackedMatrix& w, const std::byte* rows, std::int64_t first_row, std::int64_t begin,
                       std::int64_t end) {
  const std::int64_t stride = stored_row_bytes(w);
  for (std::int64_t p = begin; p < end; p++) {
    std::byte* const panel = static_cast<std::byte*>(const_cast<void*>(w.data)) + p * w.panel_bytes();
    const std::int64_t output = p * kPanelOutputs;
    const std::int64_t lanes = std::min(kPanelOutputs, w.outputs - output);
    const std::byte* const row = rows + (output - first_row) * stride;
    if (lanes == kPanelOutputs) {
      pack_panel(w, {row, stride}, lanes, panel);
      continue;
    }
    std::vector<std::byte> padded(static_cast<std::size_t>(kPanelOutputs * stride));
    std::copy_n(row, lanes * stride, padded.data());
    std::memset(panel, 0, static_cast<std::size_t>(w.panel_bytes()));
    pack_panel(w, {padded.data(), stride}, lanes, panel);
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
