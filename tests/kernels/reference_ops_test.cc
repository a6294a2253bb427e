// The reference backend against plain double precision, with bounds derived from the number of roundings, and
// against cases computed by hand where the order of a sum decides the result.

#include "kernels/reference/ops_reference.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/device.h"
#include "kernels/philox.h"
#include "tests/kernels/kernel_fixtures.h"

namespace herd {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

constexpr float kInf = __builtin_inff();
constexpr float kNan = __builtin_nanf("");
constexpr double kEpsF32 = 0x1p-24;  // half a unit in the last place, relative
constexpr double kEpsBf16 = 0x1p-8;  // bf16 keeps 8 bits: rounding moves a value by at most 2^-9, here with slack

double eps_of(DType act) { return act == DType::kBF16 ? kEpsBf16 : kEpsF32; }

class ReferenceOps : public ::testing::Test {
 protected:
  // y = x · Wᵀ for one row with all weights in one output.
  float product(const std::vector<float>& x, const std::vector<float>& w, int leaf_count = 1,
                std::span<const std::int32_t> leaf_chunk = {}) {
    const auto k = static_cast<std::int64_t>(x.size());
    const Matrix matrix(DType::kF32, 1, k, leaf_count, leaf_chunk);
    ops->pack_rows(matrix.packed, 0, 1, w.data());
    Tensor in(DType::kF32, 1, k);
    for (std::int64_t i = 0; i < k; i++) in.set(0, i, x[static_cast<std::size_t>(i)]);
    Tensor out(DType::kF32, 1, 1, 16);
    ops->matmul(in.view, matrix.packed, nullptr, out.view);
    return out.at(0, 0);
  }

  std::unique_ptr<Ops> ops = make_checked_ops(make_reference_ops());
  Random random{77};
};

// ---- layouts and orders, by hand ----

TEST_F(ReferenceOps, PackedBf16IsPairInterleavedPanelsOfSixteen) {
  const Matrix w(DType::kBF16, 17, 33);  // padded: 32 x 64
  std::vector<float> source;
  for (int n = 0; n < 17; n++) {
    for (int k = 0; k < 33; k++)
      source.push_back(static_cast<float>(n + 1) * (k % 2 == 0 ? 1.0F : -1.0F) * (k < 2 ? 1.0F : 2.0F));
  }
  ops->pack_rows(w.packed, 0, 17, source.data());
  const auto* element = reinterpret_cast<const BFloat16*>(w.data());
  EXPECT_EQ(to_float(element[0]), 1.0F);            // output 0, k 0: low half of dword 0
  EXPECT_EQ(to_float(element[1]), -1.0F);           // output 0, k 1: high half
  EXPECT_EQ(to_float(element[2 * 5]), 6.0F);        // output 5, k 0
  EXPECT_EQ(to_float(element[32 + 2 * 5]), 12.0F);  // output 5, k 2: next row of 16 dwords
  EXPECT_EQ(to_float(element[32 * 32]), 17.0F);     // output 16: second panel, 32 pairs on
  EXPECT_EQ(element[32 * 32 + 2].bits, 0);          // output 17 is padding
  EXPECT_EQ(element[32 * 16 + 1].bits, 0);          // k 33 is padding
  EXPECT_EQ(to_float(element[32 * 16]), 2.0F);      // k 32
}

TEST_F(ReferenceOps, PackedF32KeepsEvenAndOddApart) {
  const Matrix w(DType::kF32, 16, 2);
  std::vector<float> source;
  for (int n = 0; n < 16; n++) source.insert(source.end(), {static_cast<float>(n), static_cast<float>(100 + n)});
  ops->pack_rows(w.packed, 0, 16, source.data());
  const auto* element = reinterpret_cast<const float*>(w.data());
  for (int n = 0; n < 16; n++) {
    EXPECT_EQ(element[n], static_cast<float>(n));
    EXPECT_EQ(element[16 + n], static_cast<float>(100 + n));
  }
}

// 2^24 + 1 is 2^24 in fp32, so a one that is added to the large number alone is lost; ones added to each other first
// are not.
//   chunk 0: even chain 2^24 + 1 = 2^24, odd chain 1 + 1 = 2, chunk = 2^24 + 2
//   in plain order all three ones would be lost
TEST_F(ReferenceOps, EvenAndOddElementsAreTwoChains) {
  std::vector<float> w(32, 0.0F);
  w[0] = 0x1p24F;
  w[1] = w[2] = w[3] = 1.0F;
  EXPECT_EQ(product(std::vector<float>(32, 1.0F), w), 0x1p24F + 2.0F);
}

//   chunk 0: 2^24; chunk 1: even 1, odd 1 -> 2; chunk 2: -2^24.   (2^24 + 2) - 2^24 = 2
TEST_F(ReferenceOps, ChunksAreAddedInAscendingOrder) {
  std::vector<float> w(96, 0.0F);
  w[0] = 0x1p24F;
  w[32] = w[33] = 1.0F;
  w[64] = -0x1p24F;
  EXPECT_EQ(product(std::vector<float>(96, 1.0F), w), 2.0F);
  w[33] = 0.0F;  // one alone is lost beside 2^24
  EXPECT_EQ(product(std::vector<float>(96, 1.0F), w), 0.0F);
}

TEST_F(ReferenceOps, ProductsAreFused) {
  // (1 + 2^-12)² = 1 + 2^-11 + 2^-24; the last term survives only inside an fma that cancels the rest.
  const float a = 1.0F + 0x1p-12F;
  EXPECT_EQ(product({1.0F, 0.0F, a}, {-(1.0F + 0x1p-11F), 0.0F, a}), 0x1p-24F);
}

//   leaves 2^24, 1, 1, 1:  (2^24 + 1) + (1 + 1) = 2^24 + 2; one after the other would be 2^24
TEST_F(ReferenceOps, LeavesAreAddedAsABalancedTree) {
  std::vector<float> w(128, 0.0F);
  w[0] = 0x1p24F;
  w[32] = w[64] = w[96] = 1.0F;
  const std::vector<float> x(128, 1.0F);
  EXPECT_EQ(product(x, w, 4), 0x1p24F + 2.0F);
  EXPECT_EQ(product(x, w, 1), 0x1p24F);
  const std::vector<std::int32_t> first_empty = {0, 0, 1, 2, 4};  // (- + 2^24) + (1 + 2)
  EXPECT_EQ(product(x, w, 4, first_empty), 0x1p24F + 4.0F);       // 2^24 + 3 is a tie: to even
  const std::vector<std::int32_t> half_empty = {0, 0, 0, 1, 4};   // (-) + (2^24 + 3)
  EXPECT_EQ(product(x, w, 4, half_empty), 0x1p24F + 4.0F);
}

TEST_F(ReferenceOps, AbsentPartialsAreSkippedNotZero) {
  Tensor residual(DType::kF32, 1, 1);
  residual.set(0, 0, -0.0F);
  const float negative_zero = -0.0F;
  const float* partials[4] = {nullptr, &negative_zero, nullptr, nullptr};
  ops->add_partials(residual.view, {partials, 4, 1, nullptr});
  EXPECT_TRUE(same_bits(residual.at(0, 0), -0.0F));  // -0 + (-0); adding a +0 for a missing rank would give +0
}

TEST_F(ReferenceOps, PartialsAreAddedAsATreeBeforeBiasAndResidual) {
  Tensor residual(DType::kF32, 1, 1);
  residual.set(0, 0, -0x1p24F);
  const float large = 0x1p24F;
  const float one = 1.0F;
  const float* partials[4] = {&large, &one, &one, &one};
  ops->add_partials(residual.view, {partials, 4, 1, nullptr});
  EXPECT_EQ(residual.at(0, 0), 2.0F);
  residual.set(0, 0, -0x1p24F);
  ops->add_partials(residual.view, {partials, 4, 1, &one});  // (2^24 + 2) + 1 = 2^24 + 4 (tie)
  EXPECT_EQ(residual.at(0, 0), 4.0F);
}

// Lane sums: elements 0 and 16 share lane 0, element 8 joins lane 0 in the first step of the tree.
TEST_F(ReferenceOps, RowSumsUseSixteenLanes) {
  std::vector<float> logits(32, -kInf);  // exp(-inf - max) = 0
  logits[0] = 0.0F;                      // 1 in lane 0
  logits[16] = -17.0F * 0.6931472F;      // 2^-17 in lane 0
  Tensor row(DType::kF32, 1, 32);
  for (int i = 0; i < 32; i++) row.set(0, i, logits[static_cast<std::size_t>(i)]);
  MaxSum result;
  ops->leaf_max_sum(row.view, 0, 32, &result);
  EXPECT_EQ(result.max, 0.0F);
  EXPECT_NEAR(result.sum, 1.0 + 0x1p-17, 2e-7);

  // 2^12 squared is 2^24. Lanes 0 and 8 hold 2^24 and 1, lanes 4 and 12 hold 1 and 1:
  // (2^24 + 1) + (1 + 1) = 2^24 + 2, over 16 elements a mean of 2^20 + 2^-3; any other order loses more.
  Tensor x(DType::kF32, 1, 16);
  for (int i = 0; i < 16; i++) x.set(0, i, 0.0F);
  x.set(0, 0, 0x1p12F);
  for (const int i : {8, 4, 12}) x.set(0, i, 1.0F);
  Tensor out(DType::kF32, 1, 16);
  const std::vector<float> weight(16, 1.0F);
  ops->rms_norm(x.view, weight.data(), 0.0F, out.view);
  EXPECT_EQ(out.at(0, 8), 1.0F / std::sqrt((0x1p24F + 2.0F) / 16.0F));
}

// ---- against double precision ----

// Σ over k of products: every product and sum rounds once, at most k + leaves of them on the way of one term.
TEST_F(ReferenceOps, MatmulIsNearTheExactProduct) {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    for (const std::int64_t k : {1, 33, 300}) {
      const std::int64_t outputs = 19;
      const Matrix w(dtype, outputs, k, 2);
      std::vector<float> source = random_values(random, outputs * k);
      for (float& value : source) value = f16_to_float(to_f16_bits(to_float(to_bf16(value))));  // exact in all three
      ops->pack_rows(w.packed, 0, outputs, source.data());
      const std::vector<float> bias = random_values(random, outputs);
      for (const DType act : {DType::kBF16, DType::kF32}) {
        Tensor x(act, 3, k);
        x.fill(random, Fill::kPlain);
        Tensor out(act, 3, outputs, 32);
        ops->matmul(x.view, w.packed, bias.data(), out.view);
        for (std::int64_t t = 0; t < 3; t++) {
          for (std::int64_t n = 0; n < outputs; n++) {
            double exact = bias[static_cast<std::size_t>(n)];
            double magnitude = std::fabs(exact);
            for (std::int64_t i = 0; i < k; i++) {
              const double term =
                  static_cast<double>(x.at(t, i)) * static_cast<double>(source[static_cast<std::size_t>(n * k + i)]);
              exact += term;
              magnitude += std::fabs(term);
            }
            const double bound = static_cast<double>(k + 8) * kEpsF32 * magnitude + eps_of(act) * std::fabs(exact);
            EXPECT_NEAR(out.at(t, n), exact, bound);
          }
        }
      }
    }
  }
}

TEST_F(ReferenceOps, RmsNormIsNearTheExactNorm) {
  for (const DType act : {DType::kBF16, DType::kF32}) {
    for (const std::int64_t hidden : {1, 17, 576}) {
      Tensor x(act, 2, hidden);
      x.fill(random, Fill::kPlain);
      const std::vector<float> weight = random_values(random, hidden);
      Tensor out(act, 2, hidden);
      ops->rms_norm(x.view, weight.data(), 1e-5F, out.view);
      for (std::int64_t t = 0; t < 2; t++) {
        double squares = 0;
        for (std::int64_t i = 0; i < hidden; i++) squares += static_cast<double>(x.at(t, i)) * x.at(t, i);
        const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(hidden) + static_cast<double>(1e-5F));
        for (std::int64_t i = 0; i < hidden; i++) {
          const double exact = x.at(t, i) * inverse * weight[static_cast<std::size_t>(i)];
          const double relative = eps_of(act) + (static_cast<double>(hidden) / 16 + 10) * kEpsF32;
          EXPECT_NEAR(out.at(t, i), exact, relative * std::fabs(exact));
        }
      }
    }
  }
}

TEST_F(ReferenceOps, RopeRotatesHalfSplitPairs) {
  const std::int32_t head_dim = 6;
  std::vector<float> table;
  for (int position = 0; position < 4; position++) {
    for (int i = 0; i < 3; i++) table.push_back(static_cast<float>(std::cos(position * (i + 1) * 0.3)));
    for (int i = 0; i < 3; i++) table.push_back(static_cast<float>(std::sin(position * (i + 1) * 0.3)));
  }
  Tensor x(DType::kF32, 2, 12);
  x.fill(random, Fill::kPlain);
  Tensor before(DType::kF32, 2, 12);
  before.copy_from(x);
  const std::int32_t positions[] = {0, 3};
  ops->rope(x.view, 2, head_dim, positions, table.data());
  EXPECT_EQ(difference(before, x).substr(0, 2), "[1");  // position 0 is the identity: row 0 equal, row 1 not
  for (int head = 0; head < 2; head++) {
    for (int i = 0; i < 3; i++) {
      const double a = before.at(1, head * 6 + i);
      const double b = before.at(1, head * 6 + i + 3);
      const double angle = 3 * (i + 1) * 0.3;
      EXPECT_NEAR(x.at(1, head * 6 + i), a * std::cos(angle) - b * std::sin(angle), 1e-6);
      EXPECT_NEAR(x.at(1, head * 6 + i + 3), b * std::cos(angle) + a * std::sin(angle), 1e-6);
    }
  }
}

TEST_F(ReferenceOps, SiluMulIsNearTheExactProduct) {
  for (const DType act : {DType::kBF16, DType::kF32}) {
    Tensor gate_up(act, 1, 40);
    gate_up.fill(random, Fill::kPlain);
    Tensor out(act, 1, 15);
    ops->silu_mul(gate_up.view, 20, out.view);
    for (std::int64_t i = 0; i < 15; i++) {
      const double z = gate_up.at(0, i);
      const double exact = z / (1 + std::exp(-z)) * gate_up.at(0, 20 + i);
      EXPECT_NEAR(out.at(0, i), exact, (eps_of(act) + 6 * kEpsF32) * std::fabs(exact));
    }
  }
}

TEST_F(ReferenceOps, EmbedAndGatherCopyRows) {
  const Matrix table(DType::kBF16, 20, 5);
  const std::vector<float> source = random_values(random, 100);
  ops->pack_rows(table.packed, 0, 20, source.data());
  const std::int32_t ids[] = {19, 0, 16};
  Tensor out(DType::kBF16, 3, 5);
  ops->embed(table.packed, ids, out.view);
  for (int t = 0; t < 3; t++) {
    for (int i = 0; i < 5; i++) {
      EXPECT_EQ(out.at(t, i), to_float(to_bf16(source[static_cast<std::size_t>(ids[t] * 5 + i)])));
    }
  }
  const std::int32_t rows[] = {2, 2};
  Tensor gathered(DType::kBF16, 2, 5);
  ops->gather_rows(out.view, rows, gathered.view);
  for (int i = 0; i < 5; i++) EXPECT_EQ(gathered.at(1, i), out.at(2, i));
}

// One sequence in scattered blocks, three partitions, everything not visible poisoned. Error: each P moves by at most
// 2^-9 of itself (bf16), numerator and denominator alike, the result by another 2^-9; fp32 sums and exp are far below.
TEST_F(ReferenceOps, AttentionIsNearExactSoftmax) {
  constexpr int kContext = 1100;
  constexpr int kHeadDim = 20;  // padded to 32 for K and V alike
  for (const DType act : {DType::kBF16, DType::kF32}) {
    KvView kv;
    kv.layout = {act, 32, 2, kHeadDim};
    kv.blocks = 40;
    const Memory memory(static_cast<std::size_t>(kv.blocks * kv.layout.bytes_per_block()));  // all NaN
    kv.data = memory.data();
    std::vector<std::uint32_t> table;
    for (std::uint32_t b = 0; b < 35; b++) table.push_back((b * 7 + 3) % 40);
    Tensor k(act, kContext, 2 * kHeadDim);
    Tensor v(act, kContext, 2 * kHeadDim);
    k.fill(random, Fill::kPlain);
    v.fill(random, Fill::kPlain);
    std::vector<std::int64_t> slots;
    for (int p = 0; p < kContext; p++)
      slots.push_back(std::int64_t{table[static_cast<std::size_t>(p / 32)]} * 32 + p % 32);
    ops->write_kv(k.view, v.view, slots.data(), kv);

    constexpr int kQueries = 600;  // positions 500 … 1099
    const std::int32_t map[] = {1, 0, 1};
    const std::int32_t query_begin[] = {0, kQueries};
    const std::int32_t context = kContext;
    AttentionBatch batch;
    batch.sequences = 1;
    batch.query_begin = query_begin;
    batch.context_length = &context;
    batch.block_tables = table.data();
    const std::int32_t table_begin[] = {0, 35};
    batch.block_table_begin = table_begin;
    batch.query_heads = 3;
    batch.kv_head_of_query = map;
    batch.scale = 0.25F;
    Tensor q(act, kQueries, 3 * kHeadDim);
    q.fill(random, Fill::kPlain);
    Tensor out(act, kQueries, 3 * kHeadDim);
    ops->attention(q.view, kv, batch, out.view);

    for (const int row : {0, 11, 12, 13, 300, 523, 524, 599}) {
      const int visible = kContext - kQueries + row + 1;
      for (int head = 0; head < 3; head++) {
        std::vector<double> score;
        for (int p = 0; p < visible; p++) {
          double dot = 0;
          for (int d = 0; d < kHeadDim; d++) {
            dot += static_cast<double>(q.at(row, head * kHeadDim + d)) * k.at(p, map[head] * kHeadDim + d);
          }
          score.push_back(dot * 0.25);
        }
        const double max = *std::max_element(score.begin(), score.end());
        double denominator = 0;
        for (double& s : score) denominator += s = std::exp(s - max);
        for (int d = 0; d < kHeadDim; d++) {
          double exact = 0;
          double magnitude = 0;
          for (int p = 0; p < visible; p++) {
            const double term = score[static_cast<std::size_t>(p)] / denominator * v.at(p, map[head] * kHeadDim + d);
            exact += term;
            magnitude += std::fabs(term);
          }
          const double p_error = act == DType::kBF16 ? 2 * 0x1p-9 : 0.0;
          const double sum_error = (visible + 200) * kEpsF32;
          EXPECT_NEAR(out.at(row, head * kHeadDim + d), exact,
                      (p_error + sum_error) * magnitude + eps_of(act) * std::fabs(exact));
        }
      }
    }
  }
}

TEST_F(ReferenceOps, AttentionOfOneTokenIsItsValue) {
  KvView kv;
  kv.layout = {DType::kBF16, 16, 1, 32};
  kv.blocks = 1;
  const Memory memory(static_cast<std::size_t>(kv.layout.bytes_per_block()));
  kv.data = memory.data();
  Tensor kvq(DType::kBF16, 1, 32);
  kvq.fill(random, Fill::kPlain);
  const std::int64_t slot = 0;
  ops->write_kv(kvq.view, kvq.view, &slot, kv);
  const std::int32_t query_begin[] = {0, 1}, table_begin[] = {0, 1};
  const std::int32_t context = 1;
  const std::uint32_t table = 0;
  const std::int32_t map = 0;
  const AttentionBatch batch{1, query_begin, &context, &table, table_begin, 1, &map, 1, 0.125F, {}};
  Tensor out(DType::kBF16, 1, 32);
  ops->attention(kvq.view, kv, batch, out.view);
  EXPECT_EQ(difference(kvq, out), "");
}

// ---- logits ----

TEST_F(ReferenceOps, LeafMaxSumOfSpecialRows) {
  Tensor row(DType::kF32, 1, 32);
  const auto of = [&](const std::vector<float>& values, std::int64_t begin, std::int64_t end) {
    for (std::size_t i = 0; i < 32; i++)
      row.set(0, static_cast<std::int64_t>(i), i < values.size() ? values[i] : -kInf);
    MaxSum result;
    ops->leaf_max_sum(row.view, begin, end, &result);
    return result;
  };
  EXPECT_EQ(of({}, 16, 16).max, -kInf);
  EXPECT_EQ(of({}, 16, 16).sum, 0.0F);
  EXPECT_EQ(of({}, 0, 32).max, -kInf);
  EXPECT_EQ(of({}, 0, 32).sum, 0.0F);
  EXPECT_EQ(of({3.0F, 3.0F, -kInf, 3.0F}, 0, 32).sum, 3.0F);
  EXPECT_TRUE(same_bits(of({-0.0F, -0.0F}, 0, 2).max, 0.0F));
  EXPECT_TRUE(std::isnan(of({1.0F, kNan}, 0, 2).max));
  EXPECT_EQ(of({1.0F, kInf}, 0, 2).max, kInf);
  EXPECT_TRUE(std::isnan(of({1.0F, kInf}, 0, 2).sum));
}

class ReferenceDraw : public ReferenceOps {
 protected:
  Candidate draw(const std::vector<float>& logits, float temperature = 0.0F, float floor = -kInf) {
    Candidate winner;
    ops->draw(logits.data(), static_cast<std::int64_t>(logits.size()), 100, temperature, floor, key, &winner);
    return winner;
  }
  DrawKey key{987654321, 1, 2, kDrawPurposeSample};
};

TEST_F(ReferenceDraw, GreedyTakesTheHighestAndOfEqualsTheLowestId) {
  EXPECT_EQ(draw({1.0F, 3.0F, 2.0F, 3.0F}).id, 101);
  EXPECT_EQ(draw({1.0F, 3.0F, 2.0F, 3.0F}).score, 3.0F);
  EXPECT_EQ(draw({-0.0F, 0.0F}).id, 100);
  EXPECT_EQ(draw({-kInf, -5.0F}).id, 101);
}

TEST_F(ReferenceDraw, RowsWithoutAWinnerSaySo) {
  for (const float temperature : {0.0F, 1.0F}) {
    EXPECT_EQ(draw({}, temperature).id, -1);
    EXPECT_EQ(draw({-kInf, -kInf}, temperature).id, -1);
    EXPECT_EQ(draw({-kInf, -kInf}, temperature).score, -kInf);
    EXPECT_EQ(draw({5.0F, kNan, 7.0F}, temperature).id, -1);
    EXPECT_TRUE(std::isnan(draw({5.0F, kNan, 7.0F}, temperature).score));
  }
  EXPECT_EQ(draw({1.0F, 2.0F}, 1.0F, 3.0F).id, -1);
}

TEST_F(ReferenceDraw, ScoreIsTheQuotientPlusTheNoiseOfTheId) {
  const std::vector<float> logits = random_values(random, 50);
  const Candidate winner = draw(logits, 0.8F);
  float best = -kInf;
  std::int32_t best_id = -1;
  for (std::uint32_t c = 0; c < 50; c++) {
    const float score =
        logits[c] / 0.8F + gumbel_of(draw_word(key.seed, key.choice, key.output_index, key.purpose, 100 + c));
    if (score > best) {
      best = score;
      best_id = static_cast<std::int32_t>(100 + c);
    }
  }
  EXPECT_EQ(winner.id, best_id);
  EXPECT_EQ(winner.score, best);
  EXPECT_EQ(winner.logit, logits[static_cast<std::size_t>(best_id - 100)]);
}

TEST_F(ReferenceDraw, FloorKeepsWhatReachesIt) {
  const std::vector<float> logits = {2.0F, 1.0F, 4.0F, 2.0F};
  for (std::uint32_t step = 0; step < 50; step++) {
    key.output_index = step;
    EXPECT_EQ(draw(logits, 2.0F, 2.0F).id, 102);  // 4 / 2 reaches the floor, 2 / 2 does not
  }
}

TEST_F(ReferenceOps, TopKIsSortedWithLowestIdsFirst) {
  const std::vector<float> logits = {1.0F, 5.0F, -kInf, 5.0F, 0.0F, 7.0F, 5.0F};
  std::vector<Candidate> best(8);
  ops->top_k(logits.data(), 7, 10, 8, best.data());
  std::vector<std::int32_t> ids;
  for (const Candidate& c : best) ids.push_back(c.id);
  EXPECT_EQ(ids, (std::vector<std::int32_t>{15, 11, 13, 16, 10, 14, -1, -1}));
  EXPECT_EQ(best[7].score, -kInf);
  ops->top_k(logits.data(), 7, 10, 3, best.data());
  EXPECT_EQ(best[2].id, 13);
  EXPECT_EQ(best[2].logit, 5.0F);
}

// ---- preconditions ----

using ReferenceOpsDeathTest = ReferenceOps;

TEST_F(ReferenceOpsDeathTest, BrokenPreconditionsEndTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Matrix w(DType::kF32, 17, 32);
  Tensor x(DType::kF32, 1, 32);
  Tensor narrow(DType::kF32, 1, 17);
  EXPECT_DEATH(ops->matmul(x.view, w.packed, nullptr, narrow.view), "room for the padded outputs");
  Tensor wide(DType::kF32, 1, 17, 32);
  PackedMatrix no_leaves = w.packed;
  no_leaves.leaf_chunk[1] = 0;
  EXPECT_DEATH(ops->matmul(x.view, no_leaves, nullptr, wide.view), "leaves cover K");
  const std::int32_t id = 17;
  Tensor out(DType::kF32, 1, 32);
  EXPECT_DEATH(ops->embed(w.packed, &id, out.view), "a token id lies in the table");
}

}  // namespace
}  // namespace herd
