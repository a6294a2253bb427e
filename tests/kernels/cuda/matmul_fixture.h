#pragma once
// What the tests of products share: a product's shape with its operands, by the reference and on the device, and by how
// much tensor cores may differ from the exact value.

#include <cmath>
#include <string>
#include <vector>

#include "tests/kernels/cuda/cuda_fixture.h"

namespace herd::testing {

struct Product {
  DType act = DType::kBF16, weights = DType::kBF16, out = DType::kF32;
  std::int64_t tokens = 1, outputs = 16, k = 32;
  std::vector<std::int32_t> leaf_chunk = {};  // empty: one leaf
  bool bias = false;
  bool pieces = true;  // rows of x are whole pieces of 16 bytes where k allows; otherwise they begin anywhere

  [[nodiscard]] std::string text() const {
    std::string leaves;
    for (const std::int32_t border : leaf_chunk) leaves.append(" ").append(std::to_string(border));
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

inline Operands random_operands(Random& random, const Product& p, Fill fill) {
  Operands operands{random_values(random, p.outputs * p.k, fill), p.x(), random_values(random, p.outputs)};
  operands.x.fill(random, fill);
  return operands;
}

// Whole numbers in [-8, 8]: every sum of fewer than 2^18 products is exact in any order.
inline Operands whole_operands(Random& random, const Product& p) {
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

inline float rounded(float value, DType dtype) {
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

// The most by which a product may differ from the exact value, Σ x·w = exact, Σ |x·w| = magnitude.
//   chains   products of bf16 are exact. A tensor core adds the old sum and 4, 8 or 16 of them at a time, none of them
//            cut to less than 2^-23 of the largest, and cuts the sum likewise: (4 + 2) · 2^-23 · magnitude per 4 k is
//            the worst, 1.5 · k · 2^-23 in all. Growth of the sums by such errors: below a factor 1.01 for k < 2^15.
//   flushing what is below 2^-126 may become zero: k of them.
//   after    three levels of the tree and the bias round by 2^-24 of what they add; bf16 by 2^-8 of the result (or half
//            of its smallest step, 2^-134).
inline double error_bound(const Product& p, double exact, double magnitude, double bias) {
  const auto k = static_cast<double>(round_up(p.k, kChunkK));
  double bound = 1.01 * 1.5 * k * 0x1p-23 * magnitude + k * 0x1p-126;
  bound += 4 * 0x1p-24 * (1.01 * magnitude + std::fabs(bias));
  if (p.out == DType::kBF16) bound += 0x1p-8 * (std::fabs(exact) + bound) + 0x1p-134;
  return bound;
}

}  // namespace herd::testing
