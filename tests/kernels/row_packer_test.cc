// Weights packed by the threads that read them: the same bytes as packed from one block of rows, whatever the type of what is
// read and however many threads read.

#include "kernels/row_packer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu_info.h"
#include "kernels/device.h"
#include "tests/kernels/kernel_fixtures.h"

namespace herd {
namespace {

using namespace testing;

// Rows of a block in memory, as floats or in the type given.
class BlockReader final : public RowReader {
 public:
  BlockReader(const std::vector<float>& values, std::int64_t k, DType type) : values_(values), k_(k), type_(type) {}
  WeightFormat format() const override { return format_of(type_); }
  Status read(std::int64_t row, std::int64_t rows, int thread, void* out) override {
    if (row <= fails_at && fails_at < row + rows) return bad_input("row " + std::to_string(fails_at));
    rows_read += rows;
    if (thread >= 0 && thread < 64) threads |= std::uint64_t{1} << thread;
    for (std::int64_t i = 0; i < rows * k_; ++i) {
      const float value = values_[static_cast<std::size_t>(row * k_ + i)];
      if (type_ == DType::kF32) static_cast<float*>(out)[i] = value;
      if (type_ == DType::kBF16) static_cast<BFloat16*>(out)[i] = to_bf16(value);
      if (type_ == DType::kF16) static_cast<std::uint16_t*>(out)[i] = to_f16_bits(value);
    }
    return {};
  }
  std::int64_t fails_at = -1;
  std::atomic<std::int64_t> rows_read{0};
  std::atomic<std::uint64_t> threads{0};

 private:
  const std::vector<float>& values_;
  const std::int64_t k_;
  const DType type_;
};

std::vector<std::unique_ptr<Device>> packing_devices() {
  std::vector<std::unique_ptr<Device>> devices;
  for (const CpuIsa isa : {CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16})
    for (const int threads : {1, 3})
      if (auto device = make_cpu_device({isa, threads})) devices.push_back(std::move(*device));
  return devices;
}

struct Shape {
  std::int64_t outputs, k;
};

TEST(RowPacker, GivesTheBytesOfPackRowsFromFloatsAndFromTheMatrixsOwnType) {
  const auto reference = std::move(*make_cpu_device({CpuIsa::kReference, 1}));
  EXPECT_EQ(reference->row_packer(), nullptr);
  const auto devices = packing_devices();
  if (devices.empty()) GTEST_SKIP() << "this CPU has none of the instruction sets";
  Random random(5);
  for (const Shape shape : {Shape{1, 1}, {16, 32}, {17, 33}, {50, 100}, {48, 31}, {35, 16}, {300, 2048}}) {
    for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
      for (const Fill fill : {Fill::kPlain, Fill::kTiny, Fill::kHuge, Fill::kZeros}) {
        auto values = random_values(random, shape.outputs * shape.k, fill);
        Matrix expected(dtype, shape.outputs, shape.k);
        reference->ops().pack_rows(expected.packed, 0, shape.outputs, values.data());
        for (const auto& device : devices) {
          for (const DType type : {DType::kF32, dtype}) {
            BlockReader reader(values, shape.k, type);
            Matrix actual(dtype, shape.outputs, shape.k);
            ASSERT_TRUE(device->row_packer()->pack(actual.packed, reader).ok());
            EXPECT_EQ(reader.rows_read, shape.outputs) << "each row is read once";
            ASSERT_EQ(std::memcmp(expected.data(), actual.data(), static_cast<std::size_t>(actual.packed.bytes())), 0)
                << device->description() << ": " << shape.outputs << " x " << shape.k << " " << dtype_name(dtype) << " from "
                << dtype_name(type) << ", " << fill_name(fill);
            EXPECT_TRUE(actual.border_intact());
          }
        }
      }
    }
  }
}

TEST(RowPacker, HasAllThreadsReadAndEndsWithTheLowestOnesError) {
  for (const auto& device : packing_devices()) {
    const std::vector<float> values(160 * 64);
    BlockReader whole(values, 64, DType::kF32);
    const Matrix matrix(DType::kBF16, 160, 64);
    ASSERT_TRUE(device->row_packer()->pack(matrix.packed, whole).ok());
    const bool three = device->description().find("3 threads") != std::string::npos;
    EXPECT_EQ(whole.threads, three ? 7U : 1U);
    BlockReader broken(values, 64, DType::kF32);
    broken.fails_at = 100;
    const Status status = device->row_packer()->pack(matrix.packed, broken);
    EXPECT_EQ(status, bad_input("row 100"));
  }
}

}  // namespace
}  // namespace herd
