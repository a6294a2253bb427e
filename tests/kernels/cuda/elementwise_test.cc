// Norms, RoPE, SiLU, sums of partials and copies of rows on a GPU: the reference's bits for every kind of input, and
// nothing written beside the rows.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/kernels/cuda/cuda_fixture.h"

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT

Tensor random_tensor(Random& random, Fill fill, DType dtype, std::int64_t rows, std::int64_t cols,
                     std::int64_t stride = 0) {
  Tensor tensor(dtype, rows, cols, stride);
  tensor.fill(random, fill);
  return tensor;
}

// The tensor on the device has the reference's bits, and what lies around its rows is as it was.
void expect_same(const Tensor& expected, const DeviceTensor& actual) {
  EXPECT_EQ(difference(expected, actual.host()), "");
  EXPECT_TRUE(actual.outside_intact(expected.view.cols));
}

struct Shape {
  std::int64_t rows, cols, padding;
};

class CudaElementwise : public CudaTest {
 protected:
  // For every activation format, kind of input and shape.
  template <class Check>
  static void for_all(const std::vector<Shape>& shapes, const Check& check) {
    Random random(11);
    for (const DType dtype : kActs) {
      for (const Fill fill : kFills) {
        for (const Shape& shape : shapes) {
          SCOPED_TRACE(std::string(dtype_name(dtype)) + ", " + fill_name(fill) + ", " + std::to_string(shape.rows) +
                       " x " + std::to_string(shape.cols));
          check(random, dtype, fill, shape);
        }
      }
    }
  }
};

const std::vector<Shape>& norm_shapes() {
  // One column, less than the lanes, odd, a whole number of pieces, one more, longer than what a block keeps.
  static const std::vector<Shape> shapes = {{3, 1, 0},   {2, 13, 3},    {1, 64, 0},  {5, 333, 7},
                                                             {2, 512, 0}, {2, 4097, 31}, {2, 8192, 0}, {2, 17001, 5}};
  return shapes;
}

TEST_F(CudaElementwise, RmsNormHasTheReferencesBits) {
  for_all(norm_shapes(), [](Random& random, DType dtype, Fill fill, const Shape& shape) {
    const std::int64_t stride = shape.cols + shape.padding;
    const Tensor x = random_tensor(random, fill, dtype, shape.rows, shape.cols, stride);
    const std::vector<float> weight = random_values(random, shape.cols);
    Tensor out(dtype, shape.rows, shape.cols, stride + 2);
    const DeviceTensor dx(device(), x), dout(device(), out);
    const DeviceArray<float> dweight(device(), weight);
    for (const float eps : {1e-5F, 0.0F}) {
      ops().rms_norm(dx.view, dweight.data(), eps, dout.view);
      reference().rms_norm(x.view, weight.data(), eps, out.view);
      expect_same(out, dout);
      expect_same(x, dx);
    }
  });
}

// Partial sums of up to 8 ranks, some absent, on the host and on the device.
class CudaPartials : public CudaElementwise {
 protected:
  struct Partials {
    std::vector<std::vector<float>> values;
    std::vector<std::unique_ptr<DeviceArray<float>>> arrays;
    std::vector<const float*> host, on_device;
  };
  static Partials make_partials(Random& random, Fill fill, int count, std::int64_t size, unsigned absent) {
    Partials partials;
    for (int rank = 0; rank < count; rank++) {
      partials.values.push_back(random_values(random, size, fill));
      partials.arrays.push_back(std::make_unique<DeviceArray<float>>(device(), partials.values.back()));
      const bool there = (absent >> rank & 1U) == 0;
      partials.on_device.push_back(there ? partials.arrays.back()->data() : nullptr);
    }
    for (int rank = 0; rank < count; rank++) {
      const bool there = partials.on_device[static_cast<std::size_t>(rank)] != nullptr;
      partials.host.push_back(there ? partials.values[static_cast<std::size_t>(rank)].data() : nullptr);
    }
    return partials;
  }
  struct Ranks {
    int count;
    unsigned absent;  // bits
  };
  static constexpr Ranks kRanks[] = {{1, 0}, {2, 0}, {2, 1}, {2, 2}, {4, 0}, {4, 0b0011}, {4, 0b1010}, {8, 0},
                                     {8, 0b11110000}, {8, 0b01101110}, {8, 0b01111111}};
};

TEST_F(CudaPartials, AreAddedInTheTreesOrder) {
  for_all({{1, 1, 0}, {3, 257, 9}, {2, 700, 0}}, [](Random& random, DType dtype, Fill fill, const Shape& shape) {
    for (const Ranks& ranks : kRanks) {
      const std::int64_t stride = shape.cols + shape.padding;
      Partials partials = make_partials(random, fill, ranks.count, shape.rows * stride, ranks.absent);
      const std::vector<float> bias = random_values(random, shape.cols, fill);
      const DeviceArray<float> dbias(device(), bias);
      for (const bool biased : {false, true}) {
        Tensor residual = random_tensor(random, fill, dtype, shape.rows, shape.cols, shape.cols + 3);
        const DeviceTensor dresidual(device(), residual);
        std::vector<const float*> pointers = partials.on_device;
        ops().add_partials(dresidual.view,
                           {pointers.data(), ranks.count, stride, biased ? dbias.data() : nullptr});
        pointers.assign(pointers.size(), nullptr);  // they were read before the call returned
        reference().add_partials(residual.view,
                                 {partials.host.data(), ranks.count, stride, biased ? bias.data() : nullptr});
        expect_same(residual, dresidual);
      }
    }
  });
}

TEST_F(CudaPartials, AddedAndNormalisedInOneGoAreTheTwoSteps) {
  for_all(norm_shapes(), [](Random& random, DType dtype, Fill fill, const Shape& shape) {
    const Ranks& ranks = kRanks[random.below(static_cast<std::int64_t>(std::size(kRanks)))];
    const std::int64_t stride = shape.cols + shape.padding;
    const Partials partials = make_partials(random, fill, ranks.count, shape.rows * stride, ranks.absent);
    const std::vector<float> bias = random_values(random, shape.cols, fill);
    const std::vector<float> weight = random_values(random, shape.cols);
    const DeviceArray<float> dbias(device(), bias), dweight(device(), weight);
    const bool biased = random.below(2) == 0;
    Tensor residual = random_tensor(random, fill, dtype, shape.rows, shape.cols, stride);
    Tensor out(dtype, shape.rows, shape.cols, stride);
    const DeviceTensor dresidual(device(), residual), dout(device(), out);
    ops().add_rms_norm(dresidual.view,
                       {partials.on_device.data(), ranks.count, stride, biased ? dbias.data() : nullptr},
                       dweight.data(), 1e-6F, dout.view);
    reference().add_rms_norm(residual.view,
                             {partials.host.data(), ranks.count, stride, biased ? bias.data() : nullptr},
                             weight.data(), 1e-6F, out.view);
    expect_same(residual, dresidual);
    expect_same(out, dout);
  });
}

TEST_F(CudaElementwise, RopeTurnsPairsByTheirRowsPosition) {
  constexpr std::int32_t kPositions = 50;
  for (const std::int32_t head_dim : {2, 48, 64, 128}) {
    for_all({{5, 3, 0}, {1, 1, 4}, {3, 11, 1}}, [&](Random& random, DType dtype, Fill fill, const Shape& shape) {
      const auto heads = static_cast<std::int32_t>(shape.cols);
      const std::int64_t cols = std::int64_t{heads} * head_dim;
      Tensor x = random_tensor(random, fill, dtype, shape.rows, cols, cols + shape.padding);
      std::vector<float> table(static_cast<std::size_t>(kPositions * head_dim));
      for (std::size_t i = 0; i < table.size(); i++) {
        const auto angle = static_cast<float>(i);
        table[i] = static_cast<std::int32_t>(i) % head_dim < head_dim / 2 ? std::cos(angle) : std::sin(angle);
      }
      std::vector<std::int32_t> positions;
      for (std::int64_t t = 0; t < shape.rows; t++) positions.push_back(static_cast<std::int32_t>(random.below(50)));
      const DeviceTensor dx(device(), x);
      const DeviceArray<float> dtable(device(), table);
      const DeviceArray<std::int32_t> dpositions(device(), positions);
      ops().rope(dx.view, heads, head_dim, dpositions.data(), dtable.data());
      reference().rope(x.view, heads, head_dim, positions.data(), table.data());
      expect_same(x, dx);
    });
  }
}

TEST_F(CudaElementwise, SiluOfTheGateTimesUpHasTheReferencesBits) {
  for_all({{1, 1, 0}, {4, 100, 0}, {3, 513, 11}}, [](Random& random, DType dtype, Fill fill, const Shape& shape) {
    const std::int64_t up_offset = shape.cols + shape.padding;
    const std::int64_t width = up_offset + shape.cols;
    Tensor gate_up = random_tensor(random, fill, dtype, shape.rows, width, width + 1);
    if (fill == Fill::kPlain) {  // where exp overflows and where it is tiny
      for (std::int64_t c = 0; c < shape.cols; c++) gate_up.set(0, c, static_cast<float>(c * 2 - 200));
    }
    Tensor out(dtype, shape.rows, shape.cols, shape.cols + 4);
    const DeviceTensor dgate_up(device(), gate_up), dout(device(), out);
    ops().silu_mul(dgate_up.view, up_offset, dout.view);
    reference().silu_mul(gate_up.view, up_offset, out.view);
    expect_same(out, dout);
  });
}

TEST_F(CudaElementwise, RowsAreGatheredWhole) {
  for_all({{1, 1, 0}, {4, 100, 0}, {9, 513, 11}}, [](Random& random, DType dtype, Fill fill, const Shape& shape) {
    const Tensor x = random_tensor(random, fill, dtype, shape.rows, shape.cols, shape.cols + shape.padding);
    std::vector<std::int32_t> rows;
    for (std::int64_t i = 0; i < shape.rows + 3; i++) rows.push_back(static_cast<std::int32_t>(random.below(shape.rows)));
    Tensor out(dtype, shape.rows + 3, shape.cols, shape.cols + 1);
    const DeviceTensor dx(device(), x), dout(device(), out);
    const DeviceArray<std::int32_t> drows(device(), rows);
    ops().gather_rows(dx.view, drows.data(), dout.view);
    reference().gather_rows(x.view, rows.data(), out.view);
    expect_same(out, dout);
  });
}

TEST_F(CudaElementwise, NegativeIdsBecomeTheTokensOfTheStepBefore) {
  constexpr int kRows = 600;  // more than a block
  std::vector<SampledRow> sampled(kRows);
  for (int row = 0; row < kRows; row++) sampled[static_cast<std::size_t>(row)].token = 1000 + row;
  std::vector<std::int32_t> ids, expected;
  for (int i = 0; i < kRows; i++) {
    const bool known = i % 3 == 0;
    const int row = (i * 7) % kRows;
    ids.push_back(known ? i : -1 - row);
    expected.push_back(known ? i : 1000 + row);
  }
  const DeviceArray<SampledRow> dsampled(device(), sampled);
  const DeviceArray<std::int32_t> dids(device(), ids);
  sampler().resolve_tokens(dids.data(), kRows, dsampled.data());
  EXPECT_EQ(dids.host(), expected);
  EXPECT_TRUE(dids.border_intact());
}

TEST_F(CudaElementwise, SlicesOfRanksAreJoinedIntoRows) {
  Random random(12);
  constexpr std::int64_t kRows = 3;
  constexpr std::int64_t kStride = 300;
  constexpr std::int64_t kPartStride = kRows * kStride + 17;
  for (const std::vector<std::int32_t>& border : std::vector<std::vector<std::int32_t>>{
           {0, 5}, {0, 256, 300}, {0, 0, 100, 100, 391}, {0, 16, 32, 48, 64, 80, 96, 112, 120}, {0, 300, 300}}) {
    const auto count = static_cast<int>(border.size()) - 1;
    const std::vector<float> parts = random_values(random, kPartStride * count);
    Tensor out(DType::kF32, kRows, border.back(), border.back() + 6);
    const DeviceTensor dout(device(), out);
    const DeviceArray<float> dparts(device(), parts);
    std::vector<std::int32_t> given = border;
    sampler().join_columns(dparts.data(), kPartStride, kStride, count, given.data(), dout.view);
    given.assign(given.size(), 0);  // they were read before the call returned
    for (int part = 0; part < count; part++) {
      const std::int32_t begin = border[static_cast<std::size_t>(part)];
      for (std::int32_t c = begin; c < border[static_cast<std::size_t>(part) + 1]; c++) {
        for (std::int64_t row = 0; row < kRows; row++)
          out.set(row, c, parts[static_cast<std::size_t>(part * kPartStride + row * kStride + (c - begin))]);
      }
    }
    expect_same(out, dout);
  }
}

}  // namespace
}  // namespace herd
