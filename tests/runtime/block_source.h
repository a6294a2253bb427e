#pragma once
// A model whose matrices are stored in formats of the test's choice: random blocks, of a size that a forward pass stays finite
// with. Not a test.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/splitmix64.h"
#include "runtime/checkpoint/gguf_dequantize.h"
#include "runtime/model/encoding.h"
#include "runtime/model/llama_weights.h"

namespace herd::model::testing {

// Every format fits: rows are one or three blocks of 256. Eight ranks have a head and three chunks of the MLP each, so that
// their slices begin inside blocks of 256.
inline LlamaConfig block_config() {
  LlamaConfig config;
  config.hidden_size = 256;
  config.layers = 3;
  config.heads = 8;
  config.kv_heads = 2;
  config.head_dim = 32;
  config.intermediate_size = 768;
  config.vocab_size = 160;
  config.max_position_embeddings = 64;
  return config;
}

using FormatOfLayers = std::pair<std::string_view, std::array<WeightFormat, 3>>;  // of one part

inline WeightFormat format_in(std::span<const FormatOfLayers> parts, std::string_view name) {
  const std::string_view layers = "model.layers.";
  const auto layer = static_cast<std::size_t>(name[layers.size()] - '0');
  for (const auto& [part, formats] : parts)
    if (name.find(part) != std::string_view::npos) return formats.at(layer);
  return WeightFormat::kF32;
}

// Where every matrix is stored in a format of its own, or nearly so: a layer of seven formats, one as converters leave it, one
// of plain numbers and blocks.
inline WeightFormat mixed_format(std::string_view name) {
  using enum WeightFormat;
  constexpr FormatOfLayers kParts[] = {
      {"q_proj", {kQ4_0, kQ4_0, kBF16}}, {"k_proj", {kQ8_0, kQ4_0, kF16}},    {"v_proj", {kQ6_K, kQ6_K, kF32}},
      {"o_proj", {kQ4_1, kQ6_K, kF32}},  {"gate_proj", {kQ5_0, kQ4_0, kQ8_0}}, {"up_proj", {kQ5_1, kQ4_0, kBF16}},
      {"down_proj", {kQ6_K, kQ4_1, kQ5_0}},
  };
  if (name == "model.embed_tokens.weight") return kQ8_0;
  if (name == "lm_head.weight") return kQ6_K;
  return format_in(kParts, name);
}

// Of formats with super-blocks: a layer as llama.cpp's Q4_K_M has it, one of Q5_K_M, one with the formats that it takes for rows
// that are no whole super-blocks.
inline WeightFormat mixed_k_format(std::string_view name) {
  using enum WeightFormat;
  constexpr FormatOfLayers kParts[] = {
      {"q_proj", {kQ4_K, kQ5_K, kQ5_0}}, {"k_proj", {kQ4_K, kQ5_K, kQ8_0}},    {"v_proj", {kQ6_K, kQ6_K, kF16}},
      {"o_proj", {kQ4_K, kQ5_K, kQ4_K}}, {"gate_proj", {kQ4_K, kQ5_K, kQ5_K}}, {"up_proj", {kQ4_K, kQ4_K, kQ8_0}},
      {"down_proj", {kQ6_K, kQ5_K, kQ4_K}},
  };
  if (name == "model.embed_tokens.weight") return kQ4_K;
  if (name == "lm_head.weight") return kQ6_K;
  return format_in(kParts, name);
}

// All matrices in one format.
inline std::function<WeightFormat(std::string_view)> all_in(WeightFormat format) {
  return [format](std::string_view) { return format; };
}

// Value. A block is the same in whatever window of its row it is read.
class BlockSource final : public WeightSource {
 public:
  BlockSource(LlamaConfig config, std::function<WeightFormat(std::string_view)> format_of)
      : config_(std::move(config)), format_of_(std::move(format_of)), numbers_(random_source(config_, 5)) {}

  std::string spoilt;               // a tensor in blocks of which one block's last f16 number is infinite, or empty
  std::int64_t spoilt_row = 3;
  std::int64_t spoilt_block = 0;    // of its row
  std::string flipped;              // a tensor in blocks of which one quant is another, or empty

  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override {
    const auto format = stored_format(name);
    if (!format) return numbers_->read_rows(name, row_begin, row_end, col_begin, col_end, out);
    const std::int64_t elements = block_elements(*format), first = col_begin / elements * elements;
    const std::int64_t last = (col_end + elements - 1) / elements * elements;
    std::vector<std::byte> stored(static_cast<std::size_t>(row_bytes(*format, last - first)));
    for (std::int64_t row = row_begin; row < row_end; ++row, out += col_end - col_begin) {
      copy_row(name, *format, row, first, last, stored.data());
      expand_row(*format, stored.data(), col_begin - first, col_end - first, out);
    }
    return {};
  }

  std::optional<WeightFormat> stored_format(std::string_view name) const override {
    if (name.find("norm") != std::string_view::npos || name.ends_with(".bias")) return std::nullopt;
    return format_of_(name);
  }

  Status read_stored_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                          std::int64_t col_end, void* out) const override {
    const WeightFormat format = *stored_format(name);
    auto* stored = static_cast<std::byte*>(out);
    for (std::int64_t row = row_begin; row < row_end; ++row) {
      copy_row(name, format, row, col_begin, col_end, stored);
      stored += stored_row_bytes(format, col_begin, col_end);
    }
    return {};
  }

 private:
  [[nodiscard]] std::int64_t columns_of(std::string_view name) const {
    if (name.ends_with("o_proj.weight")) return config_.query_size();
    return name.ends_with("down_proj.weight") ? config_.intermediate_size : config_.hidden_size;
  }

  // The blocks that cover columns [begin, end).
  void copy_row(std::string_view name, WeightFormat format, std::int64_t row, std::int64_t begin, std::int64_t end,
                std::byte* out) const {
    if (!is_quantized(format)) return copy_numbers(name, format, row, begin, end, out);
    const std::int64_t elements = block_elements(format);
    for (std::int64_t block = begin / elements; block * elements < end; ++block, out += block_bytes(format))
      make_block(name, format, row, block, out);
  }

  void copy_numbers(std::string_view name, WeightFormat format, std::int64_t row, std::int64_t begin, std::int64_t end,
                    std::byte* out) const {
    std::vector<float> values(static_cast<std::size_t>(end - begin));
    (void)numbers_->read_rows(name, row, row + 1, begin, end, values.data());
    for (const float value : values) {
      const std::uint16_t half = format == WeightFormat::kBF16 ? to_bf16(value).bits : to_f16_bits(value);
      const void* const stored = format == WeightFormat::kF32 ? static_cast<const void*>(&value) : &half;
      std::memcpy(out, stored, static_cast<std::size_t>(block_bytes(format)));
      out += block_bytes(format);
    }
  }

  // Random quants of the format's whole range around 0, elements of about 1 / sqrt(columns).
  void make_block(std::string_view name, WeightFormat format, std::int64_t row, std::int64_t block, std::byte* out) const {
    std::uint64_t state = static_cast<std::uint64_t>(row << 20 | block);
    for (const char letter : name) state = splitmix64_finish(state + kSplitMix64Step) ^ static_cast<unsigned char>(letter);
    const auto random = [&state] { return splitmix64_finish(state += kSplitMix64Step); };
    const auto bytes = static_cast<std::size_t>(block_bytes(format));
    for (std::size_t i = 0; i < bytes; i += 8) {
      const std::uint64_t word = random();
      std::memcpy(out + i, &word, std::min<std::size_t>(8, bytes - i));
    }
    const float unit = 1.0F / (quants_of(format) * std::sqrt(static_cast<float>(columns_of(name))));
    const float scale = unit * (1.0F + static_cast<float>(random() >> 40) * 0x1p-24F);
    const bool minimum = has_minimum(format);
    std::byte* const at = out + scale_offset(format);
    put_f16(at, (random() & 1) != 0 && !minimum ? -scale : scale);
    const bool of_four_bits = format == WeightFormat::kQ4_1 || format == WeightFormat::kQ4_K;
    const float middle = scale * (of_four_bits ? 7.5F : 15.5F);
    if (minimum) put_f16(at + 2, has_super_blocks(format) ? middle : -middle);
    if (name == flipped && row == spoilt_row && block == spoilt_block) out[bytes / 2] ^= std::byte{1};
    if (name == spoilt && row == spoilt_row && block == spoilt_block)
      put_f16(at + (minimum ? 2 : 0), std::numeric_limits<float>::infinity());
  }

  // The root of the mean square of what scales are multiplied with, about; a scale is 1 to 2 units.
  static float quants_of(WeightFormat format) {
    switch (format) {
      case WeightFormat::kQ8_0:
        return 110.0F;
      case WeightFormat::kQ4_0:
      case WeightFormat::kQ4_1:
        return 7.0F;
      case WeightFormat::kQ4_K:
        return 390.0F;
      case WeightFormat::kQ5_K:
        return 790.0F;
      case WeightFormat::kQ6_K:
        return 2000.0F;
      default:
        return 14.0F;
    }
  }
  static void put_f16(std::byte* at, float value) {
    const std::uint16_t bits = to_f16_bits(value);
    std::memcpy(at, &bits, 2);
  }

  const LlamaConfig config_;
  const std::function<WeightFormat(std::string_view)> format_of_;
  const std::shared_ptr<const WeightSource> numbers_;
};

}  // namespace herd::model::testing
