#include "kernels/cpu/dot_check.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "kernels/cpu/aligned_memory.h"
#include "kernels/cpu/float_mode.h"
#include "kernels/splitmix64.h"

namespace herd {
namespace {

// Biased exponents: at least `low`, below `low + count`.
struct Exponents {
  std::uint32_t low, count;
};
struct Kind {
  const char* name;
  Exponents x, weights;
  bool few_digits;  // only the two highest bits of the fraction: sums cancel to nothing
  bool special;     // one value in 32 is an infinity or a NaN
};
constexpr Kind kKinds[] = {
    {"plain", {120, 14}, {120, 14}, false, false},
    {"wide", {64, 127}, {64, 127}, false, false},
    {"cancelling", {126, 2}, {126, 2}, true, false},
    {"tiny", {56, 16}, {56, 16}, false, false},  // products from 2^-142 to 2^-111, sums on both sides of 2^-126
    {"tiny cancelling", {62, 3}, {62, 3}, true, false},
    {"subnormal", {0, 3}, {140, 40}, false, false},  // as large as normal values once they are multiplied
    {"mixed subnormal", {0, 128}, {0, 128}, false, false},
    {"huge", {180, 75}, {180, 75}, false, false},
    {"special", {110, 24}, {110, 24}, false, true},
};

class Values {
 public:
  Values(const Kind& kind, std::uint64_t seed) : kind_(kind), state_(seed) {}
  void fill(std::uint16_t* to, std::int64_t count, const Exponents& exponents) {
    std::generate_n(to, count, [&] { return next(exponents); });
  }

 private:
  std::uint16_t next(const Exponents& exponents) {
    const std::uint64_t random = splitmix64_finish(state_ += kSplitMix64Step);
    const auto sign = static_cast<std::uint32_t>(random & 1U) << 15;
    if (kind_.special && (random >> 32) % 32 == 0) {
      return static_cast<std::uint16_t>(sign | ((random >> 40) % 4 == 0 ? 0x7fc0U : 0x7f80U));
    }
    const std::uint32_t exponent =
        exponents.low + static_cast<std::uint32_t>((random >> 1) % (1U << 24)) % exponents.count;
    const auto fraction = static_cast<std::uint32_t>(random >> 50) & (kind_.few_digits ? 0x60U : 0x7fU);
    return static_cast<std::uint16_t>(sign | exponent << 7 | fraction);
  }

  const Kind& kind_;
  std::uint64_t state_;
};

// A product in memory of its own: weights are packed already, since any bits are some matrix.
class Trial {
 public:
  Trial(std::int64_t rows, std::int64_t outputs, std::int64_t k, const Kind& kind)
      : x_(rows * k), weights_(outputs * k), packed_(rows * k * 4), scratch_(matmul_scratch_floats(rows, kTilePanelsMax)) {
    Values values(kind, static_cast<std::uint64_t>(rows));
    values.fill(x_.data(), rows * k, kind.x);
    values.fill(weights_.data(), outputs * k, kind.weights);
    x_view_ = {x_.data(), DType::kBF16, rows, k, k};
    w_.data = weights_.data();
    w_.outputs = outputs;
    w_.k = k;
    w_.leaf_chunk[1] = static_cast<std::int32_t>(k / kChunkK);
  }

  // out: [rows][outputs]
  void multiply(const KernelTable& kernels, float* out) {
    const Product& product = kernels.product(x_view_, w_);
    const TensorView out_view{out, DType::kF32, x_view_.rows, w_.outputs, w_.outputs};
    const std::int64_t tiles = tile_count(x_view_.rows, product.tile_rows);
    product.pack_x(x_view_, 1, w_.k, tiles, 0, tiles, packed_.data());
    product.multiply({&w_, packed_.data(), x_view_.rows, nullptr, &out_view, product.tile_panels}, 0,
                     w_.outputs / kPanelOutputs, scratch_.data());
  }

 private:
  AlignedMemory<std::uint16_t> x_, weights_;
  AlignedMemory<char> packed_;
  AlignedMemory<float> scratch_;
  TensorView x_view_;
  PackedMatrix w_;
};

bool same_bits(float a, float b) {
  return __builtin_bit_cast(std::uint32_t, a) == __builtin_bit_cast(std::uint32_t, b) || (a != a && b != b);
}

std::string difference(const Kind& kind, std::int64_t rows, const KernelTable& trusted, const KernelTable& candidate) {
  constexpr std::int64_t kOutputs = 48;
  constexpr std::int64_t kK = 320;
  Trial trial(rows, kOutputs, kK, kind);
  AlignedMemory<float> expected(rows * kOutputs), actual(rows * kOutputs);
  trial.multiply(trusted, expected.data());
  trial.multiply(candidate, actual.data());
  for (std::int64_t i = 0; i < rows * kOutputs; i++) {
    const float wanted = expected.data()[i], got = actual.data()[i];
    if (same_bits(wanted, got)) continue;
    char text[128];
    std::snprintf(text, sizeof text, "%s values, row %d of %d: %a, not %a", kind.name, static_cast<int>(i / kOutputs),
                  static_cast<int>(rows), static_cast<double>(got), static_cast<double>(wanted));
    return text;
  }
  return "";
}

}  // namespace

std::string first_product_difference(const KernelTable& trusted, const KernelTable& candidate) {
  const KernelFloatMode mode;
  for (const Kind& kind : kKinds) {
    for (const std::int64_t rows : {6, 8, 19}) {
      std::string found = difference(kind, rows, trusted, candidate);
      if (!found.empty()) return found;
    }
  }
  return "";
}

double product_speed_ratio(const KernelTable& trusted, const KernelTable& candidate) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kRows = 48;
  constexpr std::int64_t kOutputs = 64;
  const KernelFloatMode mode;
  Trial trial(kRows, kOutputs, 512, kKinds[0]);
  AlignedMemory<float> out(kRows * kOutputs);
  const KernelTable* const tables[2] = {&trusted, &candidate};
  double best[2] = {1e9, 1e9};
  for (int repeat = 0; repeat < 10; repeat++) {  // in turns, the best of each: other processes only ever slow one down
    for (int i = 0; i < 2; i++) {
      const auto begin = Clock::now();
      trial.multiply(*tables[i], out.data());
      best[i] = std::min(best[i], std::chrono::duration<double>(Clock::now() - begin).count());
    }
  }
  return best[0] / best[1];
}

const DotVerdict& judge_dots() {
  static const DotVerdict verdict = [] {
    DotVerdict judged;
    judged.difference = first_product_difference(kKernelsAvx512, kKernelsAvx512Bf16);
    judged.faster = judged.difference.empty() && product_speed_ratio(kKernelsAvx512, kKernelsAvx512Bf16) > 1.0;
    return judged;
  }();
  return verdict;
}

}  // namespace herd
