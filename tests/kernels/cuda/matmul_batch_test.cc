// P2 of products on tensor cores: a row has the same bits alone and anywhere in any batch, whichever kernel its size
// chooses; and so at the shapes of models, where sums are compared with their exact value too.

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "tests/kernels/cuda/matmul_fixture.h"

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT(google-build-using-namespace)

class CudaMatmulBatch : public CudaMatmul {};

// Rows [row, row + rows) of a tensor, on their own.
Tensor part_of(const Tensor& all, std::int64_t row, std::int64_t rows) {
  Tensor part(all.view.dtype, rows, all.view.cols, all.view.row_stride);
  for (std::int64_t t = 0; t < rows; t++) {
    for (std::int64_t n = 0; n < all.view.cols; n++) part.set(t, n, all.at(row + t, n));
  }
  return part;
}

// Skinny kernels of 1, 2, 4 and 8 token tiles, the tiled one, and the one for rows that begin anywhere.
TEST_F(CudaMatmulBatch, ARowHasTheSameBitsInEveryBatch) {
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
TEST_F(CudaMatmulBatch, LargeTilesGiveTheBitsOfDecode) {
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

struct Sizes {
  std::int64_t outputs, k;
  int leaves;
};
// On a GPU those of Llama 3.2 1B, 3.1 8B and one rank of eight of 70B: q/k/v, attention output, gate and up, down, head.
constexpr Sizes kModelShapes[] = {{3072, 2048, 1},   {2048, 2048, 8},   {16384, 2048, 1}, {2048, 8192, 8},
                                  {6144, 4096, 1},   {4096, 4096, 8},   {28672, 4096, 1}, {4096, 14336, 8},
                                  {128256, 4096, 1}, {1280, 8192, 1},   {8192, 1024, 1},  {7168, 8192, 1},
                                  {8192, 3584, 1}};
constexpr Sizes kEmulatedShapes[] = {{208, 256, 1}, {144, 544, 8}, {1040, 96, 1}};

// A weight that needs no memory: from its place.
float weight_at(std::int64_t output, std::int64_t k) {
  return Random(static_cast<std::uint64_t>(output << 20 | k)).uniform();
}

// Model shapes: some outputs of some rows against their exact value, all outputs of a row alone against the same row in
// every batch.
TEST_F(CudaMatmulBatch, ModelShapesAreWithinTheirBoundAndOneRowsBitsInEveryBatch) {
  Random random(15);
  const std::span<const Sizes> shapes = is_emulated() ? std::span<const Sizes>(kEmulatedShapes)
                                                      : std::span<const Sizes>(kModelShapes);
  const std::vector<std::int64_t> batches = is_emulated() ? std::vector<std::int64_t>{8, 33, 70}
                                                          : std::vector<std::int64_t>{8, 33, 64, 65, 256, 2048};
  for (const Sizes& shape : shapes) {
    Product p;
    p.tokens = batches.back();
    p.outputs = shape.outputs;
    p.k = shape.k;
    for (int i = 0; i <= shape.leaves && shape.leaves > 1; i++) {
      p.leaf_chunk.push_back(static_cast<std::int32_t>(shape.k / kChunkK * i / shape.leaves));
    }
    DeviceMatrix w(device(), p.matrix().packed);
    constexpr std::int64_t kPartRows = 1024;
    for (std::int64_t row = 0; row < p.outputs; row += kPartRows) {
      const std::int64_t rows = std::min(kPartRows, p.outputs - row);
      std::vector<float> part(static_cast<std::size_t>(rows * p.k));
      for (std::int64_t i = 0; i < rows * p.k; i++) part[static_cast<std::size_t>(i)] = weight_at(row + i / p.k, i % p.k);
      const DeviceArray<float> source(device(), part);
      ops().pack_rows(w.packed, row, rows, source.data());
      ASSERT_TRUE(device().wait().ok());
    }
    Tensor host_x = p.x();
    host_x.fill(random, Fill::kPlain);
    const DeviceTensor x(device(), host_x);
    const std::int64_t row = batches.front() - 1;  // in all batches
    const std::int64_t stride = round_up(p.outputs, 16);
    const DeviceTensor out(device(), Tensor(p.out, 1, p.outputs, stride));
    ops().matmul(x.row_view(row, 1), w.packed, nullptr, out.view);
    const Tensor alone = out.host();
    for (int sample = 0; sample < 50; sample++) {
      const std::int64_t n = random.below(p.outputs);
      double exact = 0.0, magnitude = 0.0;
      for (std::int64_t k = 0; k < p.k; k++) {
        const double term = static_cast<double>(host_x.at(row, k)) * rounded(weight_at(n, k), p.weights);
        exact += term;
        magnitude += std::fabs(term);
      }
      EXPECT_LE(std::fabs(alone.at(0, n) - exact), error_bound(p, exact, magnitude, 0.0)) << p.text() << " output " << n;
    }
    Tensor there(p.out, 1, p.outputs, stride);
    for (const std::int64_t rows : batches) {
      if (rows * p.outputs > std::int64_t{1} << 27) continue;  // half a gigabyte of results is enough
      const DeviceTensor all(device(), Tensor(p.out, rows, p.outputs, stride));
      ops().matmul(x.row_view(0, rows), w.packed, nullptr, all.view);
      device().download(there.view.data, all.row_view(row, 1).data, static_cast<std::size_t>(stride) * sizeof(float));
      EXPECT_EQ(difference(alone, there), "") << p.text() << " in a batch of " << rows;
    }
  }
}

}  // namespace
}  // namespace herd
