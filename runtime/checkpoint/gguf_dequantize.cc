#include "runtime/checkpoint/gguf_dequantize.h"

#include <algorithm>
#include <cstring>

#include "kernels/check.h"

namespace herd::model {
namespace {

constexpr int kBlock = 32;

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

float load_f16(const std::byte* at) { return f16_to_float(load<std::uint16_t>(at)); }

void expand_block_q8_0(const std::byte* block, float* out) {
  const float d = load_f16(block);
  for (int j = 0; j < kBlock; ++j) out[j] = d * static_cast<float>(load<std::int8_t>(block + 2 + j));
}

void expand_block_q4_0(const std::byte* block, float* out) {
  const float d = load_f16(block);
  for (int j = 0; j < kBlock / 2; ++j) {
    const auto q = std::to_integer<int>(block[2 + j]);
    out[j] = d * static_cast<float>((q & 15) - 8);
    out[j + kBlock / 2] = d * static_cast<float>((q >> 4) - 8);
  }
}

// Two roundings: this file is compiled with -ffp-contract=off.
void expand_block_q4_1(const std::byte* block, float* out) {
  const float d = load_f16(block);
  const float m = load_f16(block + 2);
  for (int j = 0; j < kBlock / 2; ++j) {
    const auto q = std::to_integer<int>(block[4 + j]);
    out[j] = d * static_cast<float>(q & 15) + m;
    out[j + kBlock / 2] = d * static_cast<float>(q >> 4) + m;
  }
}

template <class ExpandBlock>
void expand_blocks(ExpandBlock expand_block, int bytes_per_block, const std::byte* row, std::int64_t begin,
                   std::int64_t end, float* out) {
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t block = at / kBlock;
    const std::int64_t first = at - block * kBlock;
    const std::int64_t count = std::min<std::int64_t>(kBlock - first, end - at);
    const std::byte* source = row + block * bytes_per_block;
    if (count == kBlock) {
      expand_block(source, out);
    } else {
      float whole[kBlock];
      expand_block(source, whole);
      std::copy_n(whole + first, count, out);
    }
    out += count;
    at += count;
  }
}

}  // namespace

const char* encoding_name(RowEncoding encoding) {
  switch (encoding) {
    case RowEncoding::kFloat32:
      return "float32";
    case RowEncoding::kBFloat16:
      return "bfloat16";
    case RowEncoding::kFloat16:
      return "float16";
    case RowEncoding::kQ8_0:
      return "q8_0";
    case RowEncoding::kQ4_0:
      return "q4_0";
    case RowEncoding::kQ4_1:
      return "q4_1";
  }
  return "?";
}

int block_elements(RowEncoding encoding) {
  switch (encoding) {
    case RowEncoding::kFloat32:
    case RowEncoding::kBFloat16:
    case RowEncoding::kFloat16:
      return 1;
    case RowEncoding::kQ8_0:
    case RowEncoding::kQ4_0:
    case RowEncoding::kQ4_1:
      return kBlock;
  }
  return 1;
}

int block_bytes(RowEncoding encoding) {
  switch (encoding) {
    case RowEncoding::kFloat32:
      return 4;
    case RowEncoding::kBFloat16:
    case RowEncoding::kFloat16:
      return 2;
    case RowEncoding::kQ8_0:
      return 34;
    case RowEncoding::kQ4_0:
      return 18;
    case RowEncoding::kQ4_1:
      return 20;
  }
  return 0;
}

std::int64_t row_bytes(RowEncoding encoding, std::int64_t cols) {
  HERD_CHECK(cols % block_elements(encoding) == 0, "a row is a whole number of blocks");
  return cols / block_elements(encoding) * block_bytes(encoding);
}

void expand_row(RowEncoding encoding, const std::byte* row, std::int64_t col_begin, std::int64_t col_end, float* out) {
  const std::int64_t count = col_end - col_begin;
  switch (encoding) {
    case RowEncoding::kFloat32:
      if (count > 0) std::memcpy(out, row + col_begin * 4, static_cast<std::size_t>(count) * 4);
      return;
    case RowEncoding::kBFloat16:
      for (std::int64_t i = 0; i < count; ++i) {
        out[i] = to_float(BFloat16{load<std::uint16_t>(row + (col_begin + i) * 2)});
      }
      return;
    case RowEncoding::kFloat16:
      for (std::int64_t i = 0; i < count; ++i) out[i] = load_f16(row + (col_begin + i) * 2);
      return;
    case RowEncoding::kQ8_0:
      return expand_blocks(expand_block_q8_0, 34, row, col_begin, col_end, out);
    case RowEncoding::kQ4_0:
      return expand_blocks(expand_block_q4_0, 18, row, col_begin, col_end, out);
    case RowEncoding::kQ4_1:
      return expand_blocks(expand_block_q4_1, 20, row, col_begin, col_end, out);
  }
}

void round_to_bf16(std::span<const float> values, BFloat16* out) {
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = to_bf16(values[i]);
}

}  // namespace herd::model
