#include "kernels/cpu/block_check.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <map>
#include <mutex>
#include <vector>

#include "kernels/cpu/aligned_memory.h"
#include "kernels/cpu/float_mode.h"
#include "kernels/packed_blocks.h"
#include "kernels/reference/quantized_reference.h"
#include "kernels/splitmix64.h"

namespace herd {
namespace {

constexpr std::int64_t kOutputs = 16;
constexpr std::int64_t kChunks = 11;  // across a border of super-blocks, which begins two chunks in
constexpr std::int64_t kK = kChunks * kChunkK;

class RandomBits {
 public:
  std::uint64_t next() { return splitmix64_finish(state_ += kSplitMix64Step); }

 private:
  std::uint64_t state_ = 4;
};

PackedMatrix shape_of(WeightFormat format) {
  PackedMatrix w;
  w.format = format;
  w.outputs = kOutputs;
  w.k = kK;
  w.chunks_before = has_super_blocks(format) ? 6 : 0;
  w.leaf_chunk[1] = kChunks;
  return w;
}

// kExtreme: the largest numbers and activations of the largest magnitude, where sums come near what 16 bits hold. kTies: quotients
// half way between two integers.
enum class Trial { kPlain, kExtreme, kTies };

// Packed bytes of any content are blocks of some file. Scales: of both signs, from 2^-14 to 2.
void fill(const PackedMatrix& w, Trial trial, RandomBits& random, std::byte* data) {
  const unsigned char largest = w.format == WeightFormat::kQ8_0 ? 0x80 : 0xff;
  std::generate_n(data, w.bytes(), [&] { return static_cast<std::byte>(trial == Trial::kExtreme ? largest : random.next() >> 56); });
  const auto scale = [&](std::byte* at) {
    const std::uint64_t bits = random.next();
    const auto half = static_cast<std::uint16_t>((bits & 0x8000U) | (bits >> 20 & 0x3fffU) | 0x0400U);
    std::memcpy(at, &half, 2);
  };
  for (std::int64_t i = 0; i < w.head_bytes() / 2; i++) scale(data + i * 2);
  if (has_super_blocks(w.format)) return;
  const std::int64_t scales = has_minimum(w.format) ? 2 * kPanelOutputs : kPanelOutputs;
  for (std::int64_t chunk = 0; chunk < kChunks; chunk++) {
    for (std::int64_t i = 0; i < scales; i++) scale(data + chunk * w.chunk_bytes() + i * 2);
  }
}

// bf16 values.
void fill(Trial trial, RandomBits& random, std::int64_t rows, std::uint16_t* x) {
  for (std::int64_t i = 0; i < rows * kK; i++) {
    const std::uint64_t bits = random.next();
    const auto number = static_cast<std::uint32_t>(bits >> 32);
    float magnitude = to_float(BFloat16{static_cast<std::uint16_t>(0x3a00U + number % 0x0680U)});
    if (trial == Trial::kExtreme) magnitude = 1.0F;
    if (trial == Trial::kTies) magnitude = i % kChunkK == 0 ? 127.0F / 8 : (static_cast<float>(number % 64) + 0.5F) / 8;
    const bool negative = trial == Trial::kExtreme ? i / 64 % 3 == 0 : (bits & 1U) != 0;
    x[i] = to_bf16(negative ? -magnitude : magnitude).bits;
  }
}

std::string difference(const Product& product, WeightFormat format, std::int64_t rows, int parts, Trial trial) {
  RandomBits random;
  PackedMatrix w = shape_of(format);
  AlignedMemory<std::byte> weights(w.bytes());
  fill(w, trial, random, weights.data());
  w.data = weights.data();
  w.x_parts = parts;
  std::vector<std::uint16_t> x(static_cast<std::size_t>(rows * kK));
  fill(trial, random, rows, x.data());

  const TensorView x_view{x.data(), DType::kBF16, rows, kK, kK};
  AlignedMemory<float> out(rows * kOutputs);
  const TensorView out_view{out.data(), DType::kF32, rows, kOutputs, kOutputs};
  AlignedMemory<char> packed(rows * parts * kChunks * product.x_chunk_bytes);
  AlignedMemory<float> scratch(matmul_scratch_floats(rows * parts, product.tile_panels));
  const std::int64_t tiles = tile_count(rows * parts, product.tile_rows);
  product.pack_x(x_view, parts, kK, tiles, 0, tiles, packed.data());
  product.multiply({&w, packed.data(), rows * parts, nullptr, &out_view, product.tile_panels}, 0, 1, scratch.data());

  std::vector<reference::QuantizedActivations> blocks[2];  // of the parts
  for (std::int64_t i = 0; i < rows * kChunks; i++) {
    float values[kChunkK];
    for (std::int64_t k = 0; k < kChunkK; k++) values[k] = to_float(BFloat16{x[static_cast<std::size_t>(i * kChunkK + k)]});
    blocks[0].push_back(reference::quantize_activations(values));
    blocks[1].push_back(reference::quantize_rest(values, blocks[0].back()));
  }
  for (std::int64_t i = 0; i < rows * kOutputs; i++) {
    const auto sum_of = [&](const std::vector<reference::QuantizedActivations>& part) {
      const auto block = [&](std::int64_t chunk) -> const reference::QuantizedActivations& {
        return part[static_cast<std::size_t>(i / kOutputs * kChunks + chunk)];
      };
      return reference::quantized_dot(w, i % kOutputs, 0, kChunks, block);
    };
    const float wanted = parts == 2 ? sum_of(blocks[0]) + sum_of(blocks[1]) : sum_of(blocks[0]);
    const float got = out.data()[i];
    if (__builtin_bit_cast(std::uint32_t, wanted) == __builtin_bit_cast(std::uint32_t, got)) continue;
    if (wanted != wanted && got != got) continue;
    char text[128];
    std::snprintf(text, sizeof text, "%s, row %d of %d: %a, not %a", format_name(format), static_cast<int>(i / kOutputs),
                  static_cast<int>(rows), static_cast<double>(got), static_cast<double>(wanted));
    return text;
  }
  return "";
}

}  // namespace

std::string first_block_difference(const Product& product) {
  const KernelFloatMode mode;
  const auto all_equal = [&](WeightFormat format, std::initializer_list<int> rows, int parts, Trial trial) {
    std::string found;
    for (const int count : rows)
      if (found.empty()) found = difference(product, format, count, parts, trial);
    return found;
  };
  for (const WeightFormat format : kBlockFormats) {
    std::string found = all_equal(format, {1, 2, 3, 4, 13}, 1, Trial::kPlain);  // all numbers of rows that stream, and tiles
    for (const Trial trial : {Trial::kExtreme, Trial::kTies})
      if (found.empty()) found = all_equal(format, {1, 5}, 1, trial);
    if (!found.empty()) return found;
    found = all_equal(format, {1, 3}, 2, Trial::kPlain);
    if (!found.empty()) return found + ", x in two parts";
  }
  return "";
}

const std::string& judge_blocks(const KernelTable& kernels) {
  static std::mutex mutex;
  static std::map<const KernelTable*, std::string> verdicts;
  const std::scoped_lock lock(mutex);
  const auto known = verdicts.find(&kernels);
  if (known != verdicts.end()) return known->second;
  const PackedMatrix w = shape_of(WeightFormat::kQ8_0);
  return verdicts[&kernels] = first_block_difference(kernels.product(TensorView{}, w));
}

}  // namespace herd
