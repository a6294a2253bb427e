// The check of products of blocks: what this CPU passes, a product in plain loops that it passes too, and the same one with a
// planted fault, each of which it must find where it is.

#include "kernels/cpu/block_check.h"

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/packed_blocks.h"

namespace herd {
namespace {

enum class Fault {
  kNone,
  // activations
  kReciprocalOf127,   // scale = absmax ⊗ (1 / 127)
  kHalfAwayFromZero,  // ties
  kCutToZero,
  kUnitOf128,  // the largest of a block becomes 128, which a byte does not hold: -128
  kNoRest,            // of two parts the second is left out
  kRestRoundedTwice,  // x - (q ⊗ scale)
  // sums of whole numbers, as bytes are multiplied and added in 16 bits
  kPairOfUnsigned,    // of numbers from 0 to 255 times activations
  kPairsOfPairs,      // two pairs of 8 bits in one sum, which saturates
  kLowestIsMinus127,  // an absolute value that saturates
  kSixteenOf4,        // pairs of 4 bits, one sum a block
  kEightOf5,          // pairs of 5 bits
  kEightOf5Wrap,      // the same in a sum that wraps around
  kFourOf6,
  // scales
  kScaleLastBit,
  kScaleByScale,  // (dot ⊗ d) ⊗ scale
  kNotFused,
  kNoMinimum,
  kMinimumFirst,
  kMinimumOfSums,   // m ⊗ scale, times the sum
  kGroupsTogether,  // one term a block, of a sum of whole numbers
  kGroupsUnsigned,
  kSuperBlockLate,  // by a chunk
  kNoMinimumOfSuper,
  kMinimumNotScaled,     // mc without Σ of x
  kMinimumAdded,         // dmin with the wrong sign
  kMinimumOfSuperFirst,  // before d
  kDescending,
};

struct Activations {
  float scale;
  signed char q[kChunkK];
};

template <Fault fault>
Activations quantize(const float* x) {
  Activations block = {};
  float absmax = 0.0F;
  for (int i = 0; i < kChunkK; i++) absmax = std::max(absmax, std::fabs(x[i]));
  if (absmax < 0x1p-100F) return block;
  block.scale = fault == Fault::kReciprocalOf127 ? absmax * (1.0F / 127.0F) : absmax / 127.0F;
  const float inverse = (fault == Fault::kUnitOf128 ? 128.0F : 127.0F) / absmax;
  for (int i = 0; i < kChunkK; i++) {
    const float q = x[i] * inverse;
    const float rounded = fault == Fault::kHalfAwayFromZero ? std::round(q) : fault == Fault::kCutToZero ? std::trunc(q) : std::nearbyint(q);
    block.q[i] = static_cast<signed char>(static_cast<int>(rounded));
  }
  return block;
}

template <Fault fault>
void pack_x(const TensorView& x, int parts, std::int64_t k_padded, std::int64_t tiles, std::int64_t begin, std::int64_t end,
            char* packed) {
  for (std::int64_t row = tile_row(x.rows * parts, tiles, begin); row < tile_row(x.rows * parts, tiles, end); row++) {
    for (std::int64_t k = 0; k < k_padded; k += kChunkK) {
      float values[kChunkK];
      for (int i = 0; i < kChunkK; i++)
        values[i] = to_float(BFloat16{static_cast<const std::uint16_t*>(x.data)[row / parts * x.row_stride + k + i]});
      Activations block = quantize<fault>(values);
      if (row % parts == 1) {
        for (int i = 0; i < kChunkK; i++) {
          const auto q = static_cast<float>(block.q[i]);
          values[i] = fault == Fault::kRestRoundedTwice ? values[i] - q * block.scale : std::fmaf(-block.scale, q, values[i]);
        }
        block = quantize<fault>(values);
      }
      std::memcpy(packed + (row * k_padded + k) / kChunkK * static_cast<std::int64_t>(sizeof block), &block, sizeof block);
    }
  }
}

int in_16_bits(int value, bool wrap) { return wrap ? static_cast<std::int16_t>(value) : std::clamp(value, -32768, 32767); }

// Σ (q + offset)·x over [begin, end), less offset·Σ x: pairs of neighbours in 16 bits, every other one into one of two sums, of
// `together` pairs in 16 bits.
int sum_of_pairs(const UnpackedChunk& w, const Activations& x, int begin, int end, int offset, int together, bool wrap) {
  int total = 0;
  for (int side = 0; side < 2; side++) {
    int sum = 0;
    int pairs = 0;
    for (int i = begin + 2 * side; i < end; i += 4) {
      const int pair = in_16_bits((w.q[i] + offset) * x.q[i] + (w.q[i + 1] + offset) * x.q[i + 1], false);
      sum = in_16_bits(sum + pair, wrap);
      if (++pairs % together == 0) total += std::exchange(sum, 0);
    }
    total += sum;
  }
  for (int i = begin; i < end; i++) total -= offset * x.q[i];
  return total;
}

template <Fault fault>
int dot(WeightFormat format, const UnpackedChunk& w, const Activations& x, int begin, int end) {
  const int offset = block_offset(format);
  const bool signed_bytes = format == WeightFormat::kQ8_0;
  if (fault == Fault::kPairOfUnsigned && signed_bytes) return sum_of_pairs(w, x, begin, end, 128, 1, false);
  if (fault == Fault::kPairsOfPairs && signed_bytes) return sum_of_pairs(w, x, begin, end, 0, 2, false);
  if (fault == Fault::kSixteenOf4 && (format == WeightFormat::kQ4_0 || format == WeightFormat::kQ4_1))
    return in_16_bits(sum_of_pairs(w, x, begin, end, offset, 8, false), false);
  const bool of_5 = format == WeightFormat::kQ5_0 || format == WeightFormat::kQ5_1;
  if ((fault == Fault::kEightOf5 || fault == Fault::kEightOf5Wrap) && of_5)
    return sum_of_pairs(w, x, begin, end, offset, 8, fault == Fault::kEightOf5Wrap);
  if (fault == Fault::kFourOf6 && format == WeightFormat::kQ6_K) return sum_of_pairs(w, x, begin, end, offset, 4, false);
  int sum = 0;
  for (int i = begin; i < end; i++)
    sum += (fault == Fault::kLowestIsMinus127 ? std::max(w.q[i], -127) : w.q[i]) * x.q[i];
  return sum;
}

template <Fault fault>
float fused(float a, float b, float c) {
  return fault == Fault::kNotFused ? a * b + c : std::fmaf(a, b, c);
}

float x_sum(const Activations& x) {
  int sum = 0;
  for (const signed char q : x.q) sum += q;
  return static_cast<float>(sum);
}

template <Fault fault>
float block_sum(float sum, WeightFormat format, const UnpackedChunk& w, const Activations& x) {
  const auto total = static_cast<float>(dot<fault>(format, w, x, 0, kChunkK));
  const auto with_minimum = [&](float to) {
    if (!has_minimum(format) || fault == Fault::kNoMinimum) return to;
    if (fault == Fault::kMinimumOfSums) return std::fmaf(w.m * x.scale, x_sum(x), to);
    return fused<fault>(w.m, x.scale * x_sum(x), to);
  };
  if (fault == Fault::kMinimumFirst) sum = with_minimum(sum);
  if (fault == Fault::kScaleByScale) {
    sum = std::fmaf(total * w.d, x.scale, sum);
  } else {
    float scale = w.d * x.scale;
    if (fault == Fault::kScaleLastBit) scale = __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, scale) ^ 1U);
    sum = fused<fault>(total, scale, sum);
  }
  return fault == Fault::kMinimumFirst ? sum : with_minimum(sum);
}

// A term of a super-block for each group.
template <Fault fault>
float group_sums(float within, WeightFormat format, const UnpackedChunk& w, const Activations& x) {
  if (format != WeightFormat::kQ6_K) {
    const auto total = static_cast<float>(dot<fault>(format, w, x, 0, kChunkK));
    return fused<fault>(total, static_cast<float>(w.sc[0]) * x.scale, within);
  }
  int dots[2];
  int sc[2];
  for (int group = 0; group < 2; group++) {
    dots[group] = dot<fault>(WeightFormat::kQ6_K, w, x, group * 16, group * 16 + 16);
    sc[group] = fault == Fault::kGroupsUnsigned ? w.sc[group] & 255 : w.sc[group];
  }
  if (fault == Fault::kGroupsTogether) return std::fmaf(static_cast<float>(dots[0] * sc[0] + dots[1] * sc[1]), x.scale, within);
  for (int group = 0; group < 2; group++)
    within = fused<fault>(static_cast<float>(dots[group]), static_cast<float>(sc[group]) * x.scale, within);
  return within;
}

template <Fault fault>
float row_by_output(const PackedMatrix& w, std::int64_t output, const char* x) {
  const std::int64_t chunks = w.chunks();
  float sum = 0.0F;
  float within = 0.0F;
  float taken = 0.0F;  // in units of dmin
  for (std::int64_t step = 0; step < chunks; step++) {
    const std::int64_t chunk = fault == Fault::kDescending ? chunks - 1 - step : step;
    Activations block;
    std::memcpy(&block, x + chunk * static_cast<std::int64_t>(sizeof block), sizeof block);
    const UnpackedChunk weights = unpack_chunk(w, output, chunk);
    if (!has_super_blocks(w.format)) {
      sum = block_sum<fault>(sum, w.format, weights, block);
      continue;
    }
    within = group_sums<fault>(within, w.format, weights, block);
    if (has_minimum(w.format) && fault != Fault::kNoMinimumOfSuper) {
      const float scaled = fault == Fault::kMinimumNotScaled ? 1.0F : x_sum(block) * block.scale;
      taken = fused<fault>(static_cast<float>(weights.mc), scaled, taken);
    }
    const std::int64_t late = fault == Fault::kSuperBlockLate ? 0 : 1;
    if (step + 1 == chunks || (w.chunks_before + chunk + late) % kChunksPerSuperBlock == 0) {
      const float minimum = fault == Fault::kMinimumAdded ? -weights.m : weights.m;
      if (fault == Fault::kMinimumOfSuperFirst && has_minimum(w.format)) sum = std::fmaf(minimum, std::exchange(taken, 0.0F), sum);
      sum = fused<fault>(weights.d, std::exchange(within, 0.0F), sum);
      if (has_minimum(w.format)) sum = fused<fault>(minimum, std::exchange(taken, 0.0F), sum);
    }
  }
  return sum;
}

template <Fault fault>
void multiply(const MatmulArgs& args, std::int64_t panel_begin, std::int64_t panel_end, float*) {
  const int parts = args.w->x_parts;
  for (std::int64_t row = 0; row < args.rows; row++) {
    const char* const x = args.x + row * args.w->chunks() * static_cast<std::int64_t>(sizeof(Activations));
    for (std::int64_t n = panel_begin * kPanelOutputs; n < panel_end * kPanelOutputs; n++) {
      float& out = static_cast<float*>(args.out->data)[row / parts * args.out->row_stride + n];
      const float sum = row_by_output<fault>(*args.w, n, x);
      out = row % parts == 0 ? sum : fault == Fault::kNoRest ? out : out + sum;
    }
  }
}

template <Fault fault>
std::string found() {
  return first_block_difference({4, 1, sizeof(Activations), pack_x<fault>, multiply<fault>});
}

TEST(BlockCheck, PassesPlainLoops) { EXPECT_EQ(found<Fault::kNone>(), ""); }

TEST(BlockCheck, PassesTheTablesOfThisCpu) {
  const CpuFeatures features = cpu_features();
  const struct {
    bool there;
    const KernelTable* table;
  } tables[] = {{features.avx2, &kKernelsAvx2},
                {features.avx512, &kKernelsAvx512},
                {features.avx512_vnni, &kKernelsAvx512Vnni},
                {features.avx512_bf16, &kKernelsAvx512Bf16}};
  for (const auto& [there, table] : tables) {
    if (there) {
      EXPECT_EQ(judge_blocks(*table), "") << table->name;
    } else {
      std::printf("SKIPPED: %s (CPU lacks it)\n", table->name);
    }
  }
}

TEST(BlockCheck, FindsWhatIsWrongWithActivations) {
  EXPECT_EQ(found<Fault::kReciprocalOf127>().find("q8_0, row "), 0U);
  EXPECT_EQ(found<Fault::kHalfAwayFromZero>().find("q8_0, row "), 0U);
  EXPECT_EQ(found<Fault::kCutToZero>().find("q8_0, row "), 0U);
  EXPECT_EQ(found<Fault::kUnitOf128>().find("q8_0, row "), 0U);
}

TEST(BlockCheck, FindsWhatIsWrongWithTheSecondPart) {
  EXPECT_NE(found<Fault::kNoRest>().find("x in two parts"), std::string::npos);
  EXPECT_NE(found<Fault::kRestRoundedTwice>().find("x in two parts"), std::string::npos);
}

TEST(BlockCheck, FindsSumsThatSaturateOrWrap) {
  EXPECT_EQ(found<Fault::kPairOfUnsigned>().find("q8_0, row "), 0U);
  EXPECT_EQ(found<Fault::kPairsOfPairs>().find("q8_0, row "), 0U);
  EXPECT_EQ(found<Fault::kLowestIsMinus127>().find("q8_0, row "), 0U);
  EXPECT_EQ(found<Fault::kSixteenOf4>().find("q4_1, row "), 0U);  // n - 8 of q4_0 fits
  EXPECT_EQ(found<Fault::kEightOf5>().find("q5_0, row "), 0U);
  EXPECT_EQ(found<Fault::kEightOf5Wrap>().find("q5_0, row "), 0U);
  EXPECT_EQ(found<Fault::kFourOf6>().find("q6_k, row "), 0U);
}

TEST(BlockCheck, FindsScalesOutOfOrder) {
  EXPECT_EQ(found<Fault::kScaleLastBit>().find("q8_0, row "), 0U);
  EXPECT_EQ(found<Fault::kScaleByScale>().find("q8_0, row "), 0U);
  EXPECT_EQ(found<Fault::kNotFused>().find("q8_0, row "), 0U);
  EXPECT_EQ(found<Fault::kDescending>().find("q8_0, row "), 0U);
  EXPECT_EQ(found<Fault::kNoMinimum>().find("q4_1, row "), 0U);
  EXPECT_EQ(found<Fault::kMinimumFirst>().find("q4_1, row "), 0U);
  EXPECT_EQ(found<Fault::kMinimumOfSums>().find("q4_1, row "), 0U);
  EXPECT_EQ(found<Fault::kNoMinimumOfSuper>().find("q4_k, row "), 0U);
  EXPECT_EQ(found<Fault::kMinimumNotScaled>().find("q4_k, row "), 0U);
  EXPECT_EQ(found<Fault::kMinimumAdded>().find("q4_k, row "), 0U);
  EXPECT_EQ(found<Fault::kMinimumOfSuperFirst>().find("q4_k, row "), 0U);
  EXPECT_EQ(found<Fault::kGroupsTogether>().find("q6_k, row "), 0U);
  EXPECT_EQ(found<Fault::kGroupsUnsigned>().find("q6_k, row "), 0U);
  EXPECT_EQ(found<Fault::kSuperBlockLate>().find("q4_k, row "), 0U);
}

TEST(BlockCheck, KeepsTheFloatModeOfTheCaller) {
  std::fesetenv(FE_DFL_ENV);  // tests before this one may have left their thread in kernel mode
  const volatile float subnormal = 0x1p-130F;
  (void)found<Fault::kNone>();
  EXPECT_GT(subnormal * 2.0F, 0.0F);
}

}  // namespace
}  // namespace herd
