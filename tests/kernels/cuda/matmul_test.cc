// Weights and products of the CUDA backend against the reference: packing, embedding rows, products of every dtype and
// shape. Where no rounding depends on the order of addition bits are compared; tensor cores' sums otherwise against the
// exact value with the derived bound below, and with each other: a row has the same bits in every batch.

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/layouts.h"
#include "kernels/math.h"
#include "tests/kernels/cuda/cuda_fixture.h"

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT(google-build-using-namespace)

constexpr DType kActs[] = {DType::kBF16, DType::kF32};
constexpr DType kDTypes[] = {DType::kBF16, DType::kF16, DType::kF32};

struct Product {
  DType act = DType::kBF16, weights = DType::kBF16, out = DType::kF32;
  std::int64_t tokens = 1, outputs = 16, k = 32;
  std::vector<std::int32_t> leaf_chunk = {};  // empty: one leaf
  bool bias = false;
  bool pieces = true;  // rows of x are whole pieces of 16 bytes where k allows; otherwise they begin anywhere

  [[nodiscard]] std::string text() const {
    std::string leaves;
    for (const std::int32_t border : leaf_chunk) leaves += " " + std::to_string(border);
    return std::string(dtype_name(act)) + " x " + dtype_name(weights) + " -> " + dtype_name(out) + " tokens " +
           std::to_string(tokens) + " outputs " + std::to_string(outputs) + " k " + std::to_string(k) + " leaves" +
           leaves + (bias ? " bias" : "") + (pieces ? "" : " anywhere");
  }
  [[nodiscard]] int leaves() const { return leaf_chunk.empty() ? 1 : static_cast<int>(leaf_chunk.size()) - 1; }
  [[nodiscard]] Matrix matrix() const { return Matrix(weights, outputs, k, leaves(), leaf_chunk); }
  // Poison behind every row.
  [[nodiscard]] Tensor x() const {
    return Tensor(act, tokens, k, pieces && k % 8 == 0 ? round_up(k, 16) + 16 : k + 3 + k % 2 * 2);
  }
  [[nodiscard]] Tensor result() const { return Tensor(out, tokens, outputs, round_up(outputs, 16) + 16); }
};

// What a product is computed from, on the host.
struct Operands {
  std::vector<float> w;  // [outputs, k]
  Tensor x;
  std::vector<float> bias;  // [outputs]
};

Operands random_operands(Random& random, const Product& p, Fill fill) {
  Operands operands{random_values(random, p.outputs * p.k, fill), p.x(), random_values(random, p.outputs)};
  operands.x.fill(random, fill);
  return operands;
}

// Whole numbers in [-8, 8]: every sum of fewer than 2^18 products is exact in any order.
Operands whole_operands(Random& random, const Product& p) {
  const auto whole = [&] { return static_cast<float>(random.below(17) - 8); };
  Operands operands{std::vector<float>(static_cast<std::size_t>(p.outputs * p.k)), p.x(),
                    std::vector<float>(static_cast<std::size_t>(p.outputs))};
  for (float& value : operands.w) value = whole();
  for (float& value : operands.bias) value = whole();
  for (std::int64_t t = 0; t < p.tokens; t++) {
    for (std::int64_t k = 0; k < p.k; k++) operands.x.set(t, k, whole());
  }
  return operands;
}

float rounded(float value, DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return value;
    case DType::kBF16:
      return to_float(to_bf16(value));
    case DType::kF16:
      return f16_to_float(to_f16_bits(value));
  }
  return 0.0F;
}

class CudaMatmul : public CudaTest {
 protected:
  static Tensor by_reference(const Product& p, const Operands& operands) {
    const Matrix w = p.matrix();
    reference().pack_rows(w.packed, 0, p.outputs, operands.w.data());
    Tensor out = p.result();
    reference().matmul(operands.x.view, w.packed, p.bias ? operands.bias.data() : nullptr, out.view);
    return out;
  }

  // Also checks that nothing is written where nothing may be.
  static Tensor on_device(const Product& p, const Operands& operands) {
    DeviceMatrix w(device(), p.matrix().packed);
    w.pack(operands.w);
    const DeviceTensor x(device(), operands.x), out(device(), p.result());
    const DeviceArray<float> bias(device(), operands.bias);
    ops().matmul(x.view, w.packed, p.bias ? bias.data() : nullptr, out.view);
    Tensor host = out.host();
    EXPECT_TRUE(out.outside_intact(w.packed.outputs_padded())) << p.text();
    EXPECT_TRUE(w.border_intact()) << p.text();
    return host;
  }

  static void expect_reference_bits(const Product& p, const Operands& operands) {
    EXPECT_EQ(difference(by_reference(p, operands), on_device(p, operands)), "") << p.text();
  }
};

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

// The most by which a product may differ from the exact value, Σ x·w = exact, Σ |x·w| = magnitude.
//   chains   products of bf16 are exact. A tensor core adds the old sum and 4, 8 or 16 of them at a time, none of them
//            cut to less than 2^-23 of the largest, and cuts the sum likewise: (4 + 2) · 2^-23 · magnitude per 4 k is
//            the worst, 1.5 · k · 2^-23 in all. Growth of the sums by such errors: below a factor 1.01 for k < 2^15.
//   flushing what is below 2^-126 may become zero: k of them.
//   after    three levels of the tree and the bias round by 2^-24 of what they add; bf16 by 2^-8 of the result (or half
//            of its smallest step, 2^-134).
double error_bound(const Product& p, double exact, double magnitude, double bias) {
  const auto k = static_cast<double>(round_up(p.k, kChunkK));
  double bound = 1.01 * 1.5 * k * 0x1p-23 * magnitude + k * 0x1p-126;
  bound += 4 * 0x1p-24 * (1.01 * magnitude + std::fabs(bias));
  if (p.out == DType::kBF16) bound += 0x1p-8 * (std::fabs(exact) + bound) + 0x1p-134;
  return bound;
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

// Rows [row, row + rows) of a tensor, on their own.
Tensor part_of(const Tensor& all, std::int64_t row, std::int64_t rows) {
  Tensor part(all.view.dtype, rows, all.view.cols, all.view.row_stride);
  for (std::int64_t t = 0; t < rows; t++) {
    for (std::int64_t n = 0; n < all.view.cols; n++) part.set(t, n, all.at(row + t, n));
  }
  return part;
}

// P2: the bits of a row do not depend on the batch around it, nor on its place there: skinny kernels of 1, 2, 4 and 8
// token tiles, the tiled one, and the one for rows that begin anywhere.
TEST_F(CudaMatmul, ARowHasTheSameBitsInEveryBatch) {
  Random random(13);
  for (const std::vector<std::int32_t>& leaf_chunk :
       std::vector<std::vector<std::int32_t>>{{}, {0, 7, 11}, {0, 0, 5, 8, 11}, {0, 1, 3, 3, 4, 6, 9, 11, 11}}) {
    Product p;
    p.tokens = 130;
    p.outputs = 150;
    p.k = 344;
    p.leaf_chunk = leaf_chunk;
    const Operands operands = random_operands(random, p, Fill::kCancelling);
    const Tensor all = on_device(p, operands);
    DeviceMatrix w(device(), p.matrix().packed);
    w.pack(operands.w);
    const DeviceTensor x(device(), operands.x);
    Product anywhere = p;
    anywhere.pieces = false;
    Tensor moved = anywhere.x();
    for (std::int64_t t = 0; t < p.tokens; t++) {
      for (std::int64_t k = 0; k < p.k; k++) moved.set(t, k, operands.x.at(t, k));
    }
    const DeviceTensor x_anywhere(device(), moved);
    for (const std::int64_t rows : {1, 2, 7, 8, 9, 17, 33, 64, 65, 129}) {
      for (const std::int64_t row : {std::int64_t{0}, random.below(p.tokens - rows + 1), p.tokens - rows}) {
        for (const DeviceTensor* source : {&x, &x_anywhere}) {
          if (source == &x_anywhere && rows != 9) continue;  // one kind for all numbers of rows
          const DeviceTensor out(device(), Tensor(p.out, rows, p.outputs, 160));
          ops().matmul(source->row_view(row, rows), w.packed, nullptr, out.view);
          EXPECT_EQ(difference(part_of(all, row, rows), out.host()), "") << p.text() << ": " << rows << " from " << row;
        }
      }
    }
  }
}

// The tiles of a prefill are large where there are enough of them for all multiprocessors, else small: of 130 tokens here
// they are large, of 64 or fewer there are none at all.
TEST_F(CudaMatmul, LargeTilesGiveTheBitsOfDecode) {
  Random random(14);
  const auto devices = gpu_backend().devices();
  ASSERT_TRUE(devices && !devices->empty());
  for (const std::vector<std::int32_t>& leaf_chunk :
       std::vector<std::vector<std::int32_t>>{{}, {0, 1, 3}, {0, 0, 1, 2, 3}, {0, 1, 1, 2, 2, 3, 3, 3, 3}}) {
    Product p;
    p.tokens = 130;
    p.outputs = (devices->front().multiprocessors / 2 + 1) * 128 - 21;
    p.k = 88;
    p.leaf_chunk = leaf_chunk;
    const Operands operands = random_operands(random, p, Fill::kCancelling);
    const Tensor all = on_device(p, operands);
    DeviceMatrix w(device(), p.matrix().packed);
    w.pack(operands.w);
    const DeviceTensor x(device(), operands.x);
    for (std::int64_t row = 0; row < p.tokens; row += 64) {
      const std::int64_t rows = std::min<std::int64_t>(64, p.tokens - row);
      const DeviceTensor out(device(), Tensor(p.out, rows, p.outputs, all.view.row_stride));
      ops().matmul(x.row_view(row, rows), w.packed, nullptr, out.view);
      EXPECT_EQ(difference(part_of(all, row, rows), out.host()), "") << p.text() << " from " << row;
    }
  }
}

}  // namespace
}  // namespace herd
