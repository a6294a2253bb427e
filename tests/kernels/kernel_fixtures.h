#pragma once
// What kernel tests share: aligned memory with poison around it, random inputs of several kinds, packing, bit
// comparison. Not a test.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/ops.h"
#include "kernels/splitmix64.h"
#include "kernels/tensor_view.h"

namespace herd::testing {

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    return splitmix64_finish(state_ += kSplitMix64Step);
  }
  // In [0, bound).
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(bound));
  }
  // In [-1, 1).
  float uniform() { return static_cast<float>(static_cast<double>(next() >> 11) * 0x1p-52 - 1.0); }

 private:
  std::uint64_t state_;
};

// Kinds of input. What a kernel gets wrong it gets wrong on one of the last five.
enum class Fill { kPlain, kCancelling, kTiny, kHuge, kZeros, kSpecial };
inline constexpr Fill kFills[] = {Fill::kPlain, Fill::kCancelling, Fill::kTiny,
                                  Fill::kHuge,  Fill::kZeros,      Fill::kSpecial};

inline const char* fill_name(Fill fill) {
  constexpr const char* kNames[] = {"plain", "cancelling", "tiny", "huge", "zeros", "special"};
  return kNames[static_cast<int>(fill)];
}

inline float random_value(Random& random, Fill fill) {
  const float u = random.uniform();
  switch (fill) {
    case Fill::kPlain:
      return u * 2.0F;
    case Fill::kCancelling: {  // few magnitudes, both signs: sums cancel and lose digits
      const float base = random.below(2) == 0 ? 1024.0F : 1.0F;
      return (random.below(2) == 0 ? base : -base) * (random.below(4) == 0 ? 1.0F + 0x1p-7F : 1.0F);
    }
    case Fill::kTiny:  // products around the subnormal range, and subnormal values themselves
      return u * (random.below(3) == 0 ? 0x1p-128F : random.below(2) == 0 ? 0x1p-62F : 0x1p-66F);
    case Fill::kHuge:
      return u * (random.below(2) == 0 ? 0x1p63F : 0x1p66F);
    case Fill::kZeros:
      return random.below(3) == 0 ? u : random.below(2) == 0 ? 0.0F : -0.0F;
    case Fill::kSpecial:
      switch (random.below(40)) {
        case 0:
          return __builtin_inff();
        case 1:
          return -__builtin_inff();
        case 2:
          return __builtin_nanf("");
        default:
          return u;
      }
  }
  return u;
}

inline std::vector<float> random_values(Random& random, std::int64_t count, Fill fill = Fill::kPlain) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = random_value(random, fill);
  return values;
}

// 64-byte aligned bytes filled with 0xff (a NaN in every format), with a poisoned border on both sides.
class Memory {
 public:
  static constexpr std::size_t kBorder = 256;
  explicit Memory(std::size_t bytes) : bytes_(bytes), all_((bytes + 2 * kBorder + 63) / 64 * 64) {
    base_.reset(static_cast<unsigned char*>(std::aligned_alloc(64, all_)));
    std::memset(base_.get(), 0xff, all_);
  }
  [[nodiscard]] unsigned char* data() const { return base_.get() + kBorder; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] bool border_intact() const {
    for (std::size_t i = 0; i < kBorder; i++) {
      if (base_.get()[i] != 0xff) return false;
    }
    for (std::size_t i = kBorder + bytes_; i < all_; i++) {
      if (base_.get()[i] != 0xff) return false;
    }
    return true;
  }

 private:
  struct Free {
    void operator()(unsigned char* p) const { std::free(p); }
  };
  std::size_t bytes_;
  std::size_t all_;
  std::unique_ptr<unsigned char, Free> base_;
};

// A tensor with its memory; columns [cols, row_stride) are poison.
class Tensor {
 public:
  Tensor(DType dtype, std::int64_t rows, std::int64_t cols, std::int64_t row_stride = 0)
      : memory_(static_cast<std::size_t>(rows * (row_stride == 0 ? cols : row_stride)) * dtype_bytes(dtype)) {
    view = {memory_.data(), dtype, rows, cols, row_stride == 0 ? cols : row_stride};
  }
  TensorView view;

  [[nodiscard]] float at(std::int64_t row, std::int64_t col) const {
    const std::int64_t i = row * view.row_stride + col;
    if (view.dtype == DType::kF32) return reinterpret_cast<const float*>(memory_.data())[i];
    return to_float(reinterpret_cast<const BFloat16*>(memory_.data())[i]);
  }
  void set(std::int64_t row, std::int64_t col, float value) {
    const std::int64_t i = row * view.row_stride + col;
    if (view.dtype == DType::kF32) {
      reinterpret_cast<float*>(memory_.data())[i] = value;
    } else {
      reinterpret_cast<BFloat16*>(memory_.data())[i] = to_bf16(value);
    }
  }
  void fill(Random& random, Fill fill) {
    for (std::int64_t r = 0; r < view.rows; r++) {
      for (std::int64_t c = 0; c < view.cols; c++) set(r, c, random_value(random, fill));
    }
  }
  void copy_from(const Tensor& other) { std::memcpy(memory_.data(), other.memory_.data(), memory_.bytes()); }
  [[nodiscard]] TensorView row_view(std::int64_t row, std::int64_t rows) const {
    TensorView part = view;
    part.data = memory_.data() + row * view.row_stride * static_cast<std::int64_t>(dtype_bytes(view.dtype));
    part.rows = rows;
    return part;
  }
  // Nothing written outside [rows, writable_cols).
  [[nodiscard]] bool outside_intact(std::int64_t writable_cols) const {
    const std::size_t width = dtype_bytes(view.dtype);
    for (std::int64_t r = 0; r < view.rows; r++) {
      for (std::int64_t c = writable_cols; c < view.row_stride; c++) {
        for (std::size_t b = 0; b < width; b++) {
          if (memory_.data()[static_cast<std::size_t>(r * view.row_stride + c) * width + b] != 0xff) return false;
        }
      }
    }
    return memory_.border_intact();
  }

 private:
  Memory memory_;
};

// A packed matrix with its memory.
class Matrix {
 public:
  // Leaves are even unless `leaf_chunk` is given (leaf_count + 1 entries).
  Matrix(DType dtype, std::int64_t outputs, std::int64_t k, int leaf_count = 1,
         std::span<const std::int32_t> leaf_chunk = {})
      : memory_(static_cast<std::size_t>(PackedMatrix{nullptr, format_of(dtype), outputs, k, 1, {}}.bytes())) {
    packed.data = memory_.data();
    packed.format = format_of(dtype);
    packed.outputs = outputs;
    packed.k = k;
    packed.leaf_count = leaf_count;
    const std::int64_t chunks = packed.k_padded() / kChunkK;
    for (int i = 0; i <= leaf_count; i++) {
      packed.leaf_chunk[i] = leaf_chunk.empty() ? static_cast<std::int32_t>(chunks * i / leaf_count) : leaf_chunk[i];
    }
  }
  PackedMatrix packed;
  [[nodiscard]] const unsigned char* data() const { return memory_.data(); }
  [[nodiscard]] bool border_intact() const { return memory_.border_intact(); }

 private:
  Memory memory_;
};

inline bool same_bits(float a, float b) {
  return __builtin_bit_cast(std::uint32_t, a) == __builtin_bit_cast(std::uint32_t, b) || (a != a && b != b);
}

// Empty when all elements have equal bits (any NaN equals any NaN), else the first difference and how many.
inline std::string difference(const Tensor& expected, const Tensor& actual) {
  std::int64_t count = 0;
  std::string first;
  for (std::int64_t r = 0; r < expected.view.rows; r++) {
    for (std::int64_t c = 0; c < expected.view.cols; c++) {
      if (same_bits(expected.at(r, c), actual.at(r, c))) continue;
      if (count++ > 0) continue;
      char text[160];
      std::snprintf(text, sizeof(text), "[%ld, %ld] expected %a, got %a", static_cast<long>(r), static_cast<long>(c),
                    static_cast<double>(expected.at(r, c)), static_cast<double>(actual.at(r, c)));
      first = text;
    }
  }
  return count == 0 ? "" : first + " (" + std::to_string(count) + " elements differ)";
}

}  // namespace herd::testing
