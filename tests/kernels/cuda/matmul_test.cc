// Weights and products of the CUDA backend against the reference: packing, embedding rows, products of every dtype and
// shape. Where no rounding depends on the order of addition bits are compared; tensor cores' sums otherwise with the exact
// value, by a derived bound.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/layouts.h"
#include "kernels/math.h"
#include "tests/kernels/cuda/matmul_fixture.h"

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT(google-build-using-namespace)

constexpr DType kDTypes[] = {DType::kBF16, DType::kF16, DType::kF32};

// ---- weights ----

TEST_F(CudaMatmul, PackedWeightsLieAsLayoutsSay) {
  Random random(1);
  for (const DType dtype : kDTypes) {
    for (const Fill fill : {Fill::kPlain, Fill::kTiny, Fill::kHuge, Fill::kZeros}) {
      for (const auto& [outputs, k] : std::vector<std::pair<int, int>>{{1, 1}, {16, 32}, {17, 33}, {50, 100}, {48, 31}}) {
        const std::vector<float> source = random_values(random, std::int64_t{outputs} * k, fill);
        const Matrix host(dtype, outputs, k);
        reference().pack_rows(host.packed, 0, outputs, source.data());
        std::vector<unsigned char> expected(host.data(), host.data() + host.packed.bytes());
        if (dtype == DType::kBF16) {  // the others lie as on a CPU
          for (std::int64_t n = 0; n < host.packed.outputs_padded(); n++) {
            for (std::int64_t i = 0; i < host.packed.k_padded(); i++) {
              const bool padding = n >= outputs || i >= k;
              const BFloat16 value = to_bf16(padding ? 0.0F : source[static_cast<std::size_t>(n * k + i)]);
              const std::int64_t at = cuda::weight_index(host.packed.k_padded(), n, i);
              std::memcpy(expected.data() + at * 2, &value, 2);
            }
          }
        }
        DeviceMatrix whole(device(), host.packed), panels(device(), host.packed);
        whole.pack(source);
        for (std::int64_t row = (outputs - 1) / 16 * 16; row >= 0; row -= 16) {  // panel by panel, last first
          panels.pack(source, row, std::min<std::int64_t>(16, outputs - row));
        }
        const std::string text = std::string(dtype_name(dtype)) + " " + std::to_string(outputs);
        EXPECT_TRUE(whole.host() == expected && whole.border_intact()) << text;
        EXPECT_TRUE(panels.host() == expected && panels.border_intact()) << text << " by panels";
      }
    }
  }
}

TEST_F(CudaMatmul, PackingKeepsNansAndInfinities) {
  Random random(2);
  for (const DType dtype : kDTypes) {
    const std::vector<float> source = random_values(random, std::int64_t{20} * 40, Fill::kSpecial);
    const Matrix like(dtype, 20, 40);
    DeviceMatrix table(device(), like.packed);
    table.pack(source);
    std::vector<std::int32_t> ids(20);
    for (std::size_t i = 0; i < ids.size(); i++) ids[i] = static_cast<std::int32_t>(i);
    const DeviceArray<std::int32_t> device_ids(device(), ids);
    const DeviceTensor out(device(), Tensor(DType::kF32, 20, 40));
    ops().embed(table.packed, device_ids.data(), out.view);
    const Tensor rows = out.host();
    for (std::int64_t n = 0; n < 20; n++) {
      for (std::int64_t k = 0; k < 40; k++) {
        EXPECT_TRUE(same_bits(rows.at(n, k), rounded(source[static_cast<std::size_t>(n * 40 + k)], dtype)))
            << dtype_name(dtype) << " [" << n << ", " << k << "]";
      }
    }
  }
}

TEST_F(CudaMatmul, EmbeddedRowsAreTheReferences) {
  Random random(3);
  const std::vector<std::int32_t> ids = {36, 0, 15, 16, 15, 1, 35};
  const DeviceArray<std::int32_t> device_ids(device(), ids);
  for (const DType act : kActs) {
    for (const DType dtype : kDTypes) {
      for (const Fill fill : kFills) {
        for (const std::int64_t hidden : {1, 33, 64, 576}) {
          const std::vector<float> source = random_values(random, 37 * hidden, fill);
          const Matrix table(dtype, 37, hidden);
          reference().pack_rows(table.packed, 0, 37, source.data());
          Tensor expected(act, 7, hidden, hidden + 3);
          const DeviceTensor out(device(), expected);
          reference().embed(table.packed, ids.data(), expected.view);
          DeviceMatrix device_table(device(), table.packed);
          device_table.pack(source);
          ops().embed(device_table.packed, device_ids.data(), out.view);
          EXPECT_EQ(difference(expected, out.host()), "")
              << dtype_name(act) << " of " << dtype_name(dtype) << " " << fill_name(fill) << " hidden " << hidden;
          EXPECT_TRUE(out.outside_intact(hidden));
        }
      }
    }
  }
}

// ---- products in rule 1's order: the reference's bits ----

TEST_F(CudaMatmul, OtherDtypesGiveTheReferencesBits) {
  Random random(4);
  for (const DType act : kActs) {
    for (const DType weights : kDTypes) {
      if (act == DType::kBF16 && weights == DType::kBF16) continue;
      for (const DType out : kActs) {
        for (const Fill fill : kFills) {
          const Product decode{act, weights, out, 1, 33, 96, {0, 1, 3}, false, true};
          const Product batch{act, weights, out, 11, 50, 100, {}, true, true};
          expect_reference_bits(decode, random_operands(random, decode, fill));
          expect_reference_bits(batch, random_operands(random, batch, fill));
        }
      }
    }
  }
}

// Borders of leaves over `chunks` chunks at random, empty leaves among them.
std::vector<std::int32_t> random_leaves(Random& random, int leaves, std::int32_t chunks) {
  std::vector<std::int32_t> borders(static_cast<std::size_t>(leaves) + 1, 0);
  for (std::int32_t& border : borders) border = static_cast<std::int32_t>(random.below(chunks + 1));
  std::sort(borders.begin(), borders.end());
  borders.front() = 0;
  borders.back() = chunks;
  return borders;
}

// What rounds up to the smallest normal number is kept, what stays below is zero: flushing looks at the rounded result.
TEST_F(CudaMatmul, ProductsAtTheEdgeOfTheNormalNumbersAreTheReferencesBits) {
  Product p;
  p.act = p.weights = DType::kF32;
  p.outputs = 4;
  Operands operands{std::vector<float>(static_cast<std::size_t>(p.outputs * p.k)), p.x(),
                    std::vector<float>(static_cast<std::size_t>(p.outputs))};
  for (std::int64_t k = 0; k < p.k; k++) operands.x.set(0, k, k == 0 ? 0x1.000002p-64F : 0.0F);
  const float factors[] = {0x1.fffffcp-63F, 0x1.fffff8p-63F, -0x1.fffffcp-63F, 0x1p-62F};
  for (std::int64_t n = 0; n < p.outputs; n++) operands.w[static_cast<std::size_t>(n * p.k)] = factors[n];
  const Tensor expected = by_reference(p, operands);
  EXPECT_EQ(expected.at(0, 0), 0x1p-126F);
  EXPECT_EQ(expected.at(0, 1), 0.0F);
  EXPECT_EQ(expected.at(0, 2), -0x1p-126F);
  expect_reference_bits(p, operands);
}

TEST_F(CudaMatmul, OtherDtypesAddLeavesAsTheReferenceDoes) {
  Random random(5);
  for (const int leaves : {1, 2, 4, 8}) {
    for (int trial = 0; trial < 10; trial++) {
      const auto chunks = static_cast<std::int32_t>(1 + random.below(12));
      Product p;
      p.act = DType::kF32;
      p.weights = kDTypes[random.below(3)];
      p.tokens = 1 + random.below(20);
      p.outputs = 1 + random.below(80);
      p.k = chunks * kChunkK - random.below(32);
      p.leaf_chunk = random_leaves(random, leaves, chunks);
      p.bias = trial % 2 == 0;
      expect_reference_bits(p, random_operands(random, p, kFills[random.below(6)]));
    }
  }
}

// ---- products on tensor cores ----

// x has one 1 a row: out[t, n] = w[n, t], which shows where every k comes from.
TEST_F(CudaMatmul, EveryKMeetsItsWeight) {
  Random random(6);
  for (const std::int64_t k : {32, 40, 104, 100}) {  // 100: rows that are no whole pieces
    Product p;
    p.tokens = k;
    p.outputs = 37;
    p.k = k;
    Operands operands = random_operands(random, p, Fill::kPlain);
    for (std::int64_t t = 0; t < k; t++) {
      for (std::int64_t i = 0; i < k; i++) operands.x.set(t, i, t == i ? 1.0F : 0.0F);
    }
    expect_reference_bits(p, operands);
  }
}

TEST_F(CudaMatmul, ExactSumsAreTheReferencesBitsForEveryNumberOfTokens) {
  Random random(7);
  for (const std::int64_t tokens : {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 129, 130}) {
    for (const bool pieces : {true, false}) {
      Product p;
      p.tokens = tokens;
      p.outputs = std::vector<std::int64_t>{1, 15, 16, 17, 48, 130, 150}[random.below(7)];
      p.k = std::vector<std::int64_t>{8, 32, 40, 128, 136, 160, 31, 33, 100}[random.below(9)];
      p.bias = random.below(2) == 0;
      p.out = kActs[random.below(2)];
      p.pieces = pieces;
      expect_reference_bits(p, whole_operands(random, p));
    }
  }
}

// Chains of every length around the depth of the rings, for one panel and for all kinds of batches.
TEST_F(CudaMatmul, ChainsOfEveryLengthAreComplete) {
  Random random(8);
  for (std::int64_t chunks = 1; chunks <= 21; chunks++) {
    for (const std::int64_t tokens : {3, 20, 70}) {
      Product p;
      p.tokens = tokens;
      p.k = chunks * kChunkK - (chunks % 3) * 8;
      expect_reference_bits(p, whole_operands(random, p));
    }
  }
}

// More panels than one round of all warps, and a number of them that divides nothing.
TEST_F(CudaMatmul, ManyPanelsAreSpreadWhole) {
  Random random(9);
  const auto devices = gpu_backend().devices();
  ASSERT_TRUE(devices && !devices->empty());
  const std::int64_t multiprocessors = devices->front().multiprocessors;
  for (const std::int64_t panels : {multiprocessors - 1, multiprocessors * 3 + 1, multiprocessors * 16 + 5}) {
    Product p;
    p.tokens = 2;
    p.outputs = panels * kPanelOutputs - 3;
    p.k = 64;
    expect_reference_bits(p, whole_operands(random, p));
  }
}

// One product a leaf: the sum of a leaf is exact, so that only rule 3's tree (and the bias, and the rounding) rounds.
TEST_F(CudaMatmul, LeavesAreAddedByTheTree) {
  Random random(10);
  for (const int leaves : {1, 2, 4, 8}) {
    for (const std::int64_t tokens : {1, 5, 9, 33, 64, 65, 130}) {
      for (int trial = 0; trial < 2; trial++) {
        Product p;
        const auto chunks = static_cast<std::int32_t>(trial == 0 ? 1 + random.below(leaves) : 3 + random.below(14));
        p.tokens = tokens;
        p.outputs = 1 + random.below(150);
        p.k = chunks * kChunkK - random.below(4) * 8;
        p.leaf_chunk = random_leaves(random, leaves, chunks);
        p.out = trial == 0 ? DType::kF32 : DType::kBF16;
        p.bias = random.below(2) == 0;
        Operands operands = random_operands(random, p, Fill::kPlain);
        for (int leaf = 0; leaf < leaves; leaf++) {
          const std::int64_t begin = p.leaf_chunk[static_cast<std::size_t>(leaf)] * kChunkK;
          const std::int64_t end = std::min(p.leaf_chunk[static_cast<std::size_t>(leaf) + 1] * kChunkK, p.k);
          if (begin == end) continue;
          const std::int64_t kept = begin + random.below(end - begin);
          for (std::int64_t t = 0; t < tokens; t++) {
            for (std::int64_t k = begin; k < end; k++) {
              if (k != kept) operands.x.set(t, k, 0.0F);
            }
          }
        }
        expect_reference_bits(p, operands);
      }
    }
  }
}

// Infinities and NaNs have the class of the exact sum; a finite sum is within its bound; where the terms alone leave the
// range of float32 the order decides what overflows, and nothing is asked.
void expect_within_bound(const Product& p, const Operands& operands, const Tensor& actual) {
  std::int64_t checked = 0;
  for (std::int64_t t = 0; t < p.tokens; t++) {
    for (std::int64_t n = 0; n < p.outputs; n++) {
      const double bias = p.bias ? operands.bias[static_cast<std::size_t>(n)] : 0.0;
      double exact = 0.0, magnitude = 0.0;
      for (std::int64_t k = 0; k < p.k; k++) {
        const double term = static_cast<double>(operands.x.at(t, k)) *
                            rounded(operands.w[static_cast<std::size_t>(n * p.k + k)], p.weights);
        exact += term;
        magnitude += std::fabs(term);
      }
      exact += bias;
      const double got = actual.at(t, n);
      if (std::isfinite(magnitude) && magnitude >= 0x1p127) continue;
      checked++;
      const bool same_class = std::isnan(exact) ? std::isnan(got) : !std::isfinite(exact) && got == exact;
      const double bound = error_bound(p, exact, magnitude, bias);
      ASSERT_TRUE(same_class || std::fabs(got - exact) <= bound)
          << p.text() << " [" << t << ", " << n << "]: exact " << exact << ", got " << got << ", bound " << bound;
    }
  }
  EXPECT_GT(checked, 0) << p.text();
}

TEST_F(CudaMatmul, TensorCoreSumsAreWithinTheirBound) {
  Random random(11);
  for (const Fill fill : {Fill::kPlain, Fill::kCancelling, Fill::kTiny, Fill::kZeros}) {
    for (const DType out : kActs) {
      for (const std::int64_t tokens : {1, 12, 40, 70}) {
        for (const bool tree : {false, true}) {
          Product p;
          p.out = out;
          p.tokens = tokens;
          p.outputs = 40;
          p.k = tree ? 264 : 400;
          if (tree) p.leaf_chunk = {0, 1, 2, 3, 3, 5, 6, 7, 9};
          p.bias = tree;
          const Operands operands = random_operands(random, p, fill);
          expect_within_bound(p, operands, on_device(p, operands));
        }
      }
    }
  }
  Product huge;  // terms up to 2^132: those of one k that stay in range
  huge.tokens = 9;
  huge.outputs = 64;
  huge.k = 1;
  const Operands operands = random_operands(random, huge, Fill::kHuge);
  expect_within_bound(huge, operands, on_device(huge, operands));
}

// Infinities and NaNs reach the outputs of their token (their output), and no others.
TEST_F(CudaMatmul, InfinitiesAndNansStayWithTheirTokenAndOutput) {
  Random random(12);
  for (const std::int64_t tokens : {6, 30, 64, 100}) {
    for (const bool tree : {false, true}) {
      Product p;
      p.tokens = tokens;
      p.outputs = 70;
      p.k = 136;
      if (tree) p.leaf_chunk = {0, 2, 2, 3, 5};
      Operands operands = random_operands(random, p, Fill::kPlain);
      const float specials[] = {math::kInf, -math::kInf, math::kNan};
      for (std::int64_t t = 0; t < tokens; t += 3) operands.x.set(t, random.below(p.k), specials[random.below(3)]);
      for (std::int64_t n = 0; n < p.outputs; n += 5) {
        operands.w[static_cast<std::size_t>(n * p.k + random.below(p.k))] = specials[random.below(3)];
      }
      expect_within_bound(p, operands, on_device(p, operands));
    }
  }
}

}  // namespace
}  // namespace herd
