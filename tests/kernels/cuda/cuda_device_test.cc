// The device itself, through the interface every rank uses: memory, buffers of a step, marks, recorded steps.
#include "tests/kernels/cuda/cuda_fixture.h"

#include <limits>
#include <numeric>

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT

constexpr std::int64_t kFloats = 1000;

// Copies a row of kFloats on the device: an operation to put in order with others.
class RowCopy {
 public:
  explicit RowCopy(Device& device) : device_(device), first_(device, std::vector<std::int32_t>{0}) {}
  void operator()(const void* from, void* to) {
    const TensorView x = {const_cast<void*>(from), DType::kF32, 1, kFloats, kFloats};
    device_.ops().gather_rows(x, first_.data(), {to, DType::kF32, 1, kFloats, kFloats});
  }

 private:
  Device& device_;
  DeviceArray<std::int32_t> first_;
};

std::vector<float> row_of(float value) { return std::vector<float>(kFloats, value); }
constexpr std::size_t kRowBytes = kFloats * sizeof(float);

class CudaDeviceTest : public CudaTest {};

TEST_F(CudaDeviceTest, SaysWhatItIs) {
  const auto infos = gpu_backend().devices();
  ASSERT_TRUE(infos);
  const GpuInfo& info = infos->front();
  const std::string architecture = std::to_string(info.major) + std::to_string(info.minor);
  EXPECT_EQ(device().description(), "gpu 0 " + info.name + ", " + std::to_string(info.multiprocessors) +
                                        " multiprocessors, sm_" + architecture);
  EXPECT_EQ(device().numerics_class(), "sm" + architecture + "-2");
  EXPECT_FALSE(device().host_memory());
  EXPECT_STREQ(ops().name(), "cuda");
  EXPECT_NE(device().row_sampler(), nullptr);
  EXPECT_NE(device().staging(), nullptr);
  EXPECT_NE(device().step_recorder(), nullptr);
  EXPECT_TRUE(device().status().ok());
  EXPECT_EQ(info.index, 0);
  EXPECT_GE(info.major, 8);
  EXPECT_GT(info.free_bytes, 0U);
  EXPECT_LE(info.free_bytes, info.total_bytes);
}

TEST_F(CudaDeviceTest, TheYardstickSaysThatItIsNotRepeatable) {
  const auto yardstick = gpu_backend().make_device({.matmul = GpuMatmul::kCublasLt});
  if (!yardstick) {
    EXPECT_EQ(yardstick.error().code(), StatusCode::kMissing);
    GTEST_SKIP() << "SKIPPED: " << yardstick.error().message();
  }
  EXPECT_EQ((*yardstick)->description(), device().description() + ", cublaslt, not repeatable");
  EXPECT_NE((*yardstick)->numerics_class(), device().numerics_class());
  EXPECT_STREQ((*yardstick)->ops().name(), "cuda, cublaslt");
}

TEST_F(CudaDeviceTest, AGpuThatIsNotThereIsMissing) {
  for (const int gpu : {-1, 99}) {
    const auto none = gpu_backend().make_device({.gpu = gpu});
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code(), StatusCode::kMissing);
    EXPECT_NE(none.error().message().find("numbered from 0"), std::string::npos) << none.error().message();
  }
}

TEST_F(CudaDeviceTest, BuffersAreAlignedAndZeroed) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{5000}, std::size_t{3} << 20}) {
    auto buffer = device().allocate(bytes, "test");
    ASSERT_TRUE(buffer);
    EXPECT_EQ((*buffer)->bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>((*buffer)->data()) % 256, 0U);
    std::vector<unsigned char> host(bytes, 0xaa);
    device().download(host.data(), (*buffer)->data(), bytes);
    EXPECT_EQ(host, std::vector<unsigned char>(bytes, 0));
  }
}

// On a device of its own: a driver that takes such a size for an error of another kind must not end the other tests.
TEST_F(CudaDeviceTest, TooMuchMemoryIsRefusedWithAllNumbersAndTheDeviceLivesOn) {
  const auto own = make_device();
  for (const std::size_t bytes : {std::size_t{1} << 50, std::numeric_limits<std::size_t>::max()}) {
    const auto buffer = own->allocate(bytes, "KV pool");
    ASSERT_FALSE(buffer);
    EXPECT_EQ(buffer.error().code(), StatusCode::kMissing);
    const std::string& message = buffer.error().message();
    EXPECT_EQ(message.rfind("KV pool: needs ", 0), 0U) << message;
    EXPECT_NE(message.find(" MiB of gpu 0's memory, "), std::string::npos) << message;
    EXPECT_NE(message.find(" MiB are free"), std::string::npos) << message;
  }
  EXPECT_TRUE(own->wait().ok());
  EXPECT_TRUE(own->allocate(1000, "afterwards"));
}

TEST_F(CudaDeviceTest, FreeBytesCountWhatIsAllocated) {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  const std::size_t before = device().free_bytes();
  auto buffer = device().allocate(kBytes, "test");
  ASSERT_TRUE(buffer);
  const std::size_t with = device().free_bytes();
  EXPECT_GE(before, with + kBytes);
  buffer->reset();
  EXPECT_GE(device().free_bytes(), with + kBytes);
}

TEST_F(CudaDeviceTest, CopiesAreInOrderWithOperations) {
  RowCopy copy(device());
  DeviceArray<float> from(device(), row_of(1.0F)), to(device(), row_of(0.0F));
  for (int i = 0; i < 3; i++) {
    const auto value = static_cast<float>(i + 2);
    copy(from.data(), to.data());     // the value before
    from.upload(row_of(value));
    EXPECT_EQ(to.host(), row_of(i == 0 ? 1.0F : value - 1.0F));
  }
  EXPECT_TRUE(from.border_intact());
  EXPECT_TRUE(to.border_intact());
}

// The host fills a staged buffer for step after step and never waits itself; every step must see its own contents.
TEST_F(CudaDeviceTest, StagedBuffersTakeTurns) {
  constexpr int kSteps = 9;
  RowCopy copy(device());
  auto staged = device().staging()->allocate_staged(kRowBytes, "step inputs");
  ASSERT_TRUE(staged);
  std::vector<DeviceArray<float>> seen;
  for (int step = 0; step < kSteps; step++) seen.emplace_back(device(), row_of(-1.0F));
  void* const fixed = (*staged)->device();
  std::vector<void*> sides;
  for (int step = 0; step < kSteps; step++) {
    void* host = (*staged)->host();
    EXPECT_EQ((*staged)->host(), host);  // the same until it is uploaded
    sides.push_back(host);
    const std::vector<float> contents = row_of(static_cast<float>(step));
    std::memcpy(host, contents.data(), kRowBytes);
    (*staged)->upload(kRowBytes);
    copy((*staged)->device(), seen[static_cast<std::size_t>(step)].data());
    EXPECT_EQ((*staged)->device(), fixed);
  }
  for (int step = 0; step < kSteps; step++) {
    EXPECT_EQ(seen[static_cast<std::size_t>(step)].host(), row_of(static_cast<float>(step))) << "step " << step;
  }
  EXPECT_NE(sides[0], sides[1]);
  EXPECT_EQ(sides[0], sides[2]);
}

// Step n is read while n + 1 has been enqueued: its results stay where they are until the second read_back after it.
TEST_F(CudaDeviceTest, ReadbacksStayUntilTheSecondAfterThem) {
  RowCopy copy(device());
  auto results = device().staging()->allocate_readback(kRowBytes, "step results");
  ASSERT_TRUE(results);
  std::vector<DeviceArray<float>> contents;
  for (int step = 0; step < 6; step++) contents.emplace_back(device(), row_of(static_cast<float>(step)));
  const float* before = nullptr;
  std::uint64_t mark_before = 0;
  for (int step = 0; step < 6; step++) {
    copy(contents[static_cast<std::size_t>(step)].data(), (*results)->device());
    const auto* now = static_cast<const float*>((*results)->read_back(kRowBytes));
    const std::uint64_t mark = recorder().mark();
    if (before != nullptr) {
      while (!recorder().reached(mark_before)) {
      }
      EXPECT_EQ(std::vector<float>(before, before + kFloats), row_of(static_cast<float>(step - 1)));
    }
    before = now;
    mark_before = mark;
  }
  ASSERT_TRUE(device().wait().ok());
  EXPECT_EQ(std::vector<float>(before, before + kFloats), row_of(5.0F));
}

TEST_F(CudaDeviceTest, MarksCountUpAndAreReachedInOrder) {
  const auto own = make_device();
  RowCopy copy(*own);
  const DeviceArray<float> from(*own, row_of(1.0F)), to(*own, row_of(0.0F));
  const std::uint64_t before = own->step_recorder()->mark();
  copy(from.data(), to.data());
  const std::uint64_t after = own->step_recorder()->mark();
  EXPECT_EQ(after, before + 1);
  if (is_emulated()) {
    EXPECT_FALSE(own->step_recorder()->reached(after));  // work does not run before it is asked for
  }
  while (!own->step_recorder()->reached(after)) {
  }
  EXPECT_TRUE(own->step_recorder()->reached(before));
  EXPECT_TRUE(own->step_recorder()->reached(0));
}

TEST_F(CudaDeviceTest, MarksThatNobodyAsksForDoNoHarm) {
  const auto own = make_device();
  RowCopy copy(*own);
  const DeviceArray<float> from(*own, row_of(1.0F)), to(*own, row_of(0.0F));
  std::uint64_t last = 0;
  for (int i = 0; i < 300; i++) {
    copy(from.data(), to.data());
    last = own->step_recorder()->mark();
  }
  EXPECT_EQ(last, own->step_recorder()->mark() - 1);
  ASSERT_TRUE(own->wait().ok());
  EXPECT_TRUE(own->step_recorder()->reached(last));
}

// A step by key: the host code runs at the first two meetings, the operations at all, with what the buffers hold then.
TEST_F(CudaDeviceTest, RecordedStepsRunAgainOnNewContents) {
  const auto own = make_device();
  RowCopy copy(*own);
  auto staged = own->staging()->allocate_staged(kRowBytes, "step inputs");
  ASSERT_TRUE(staged);
  const DeviceArray<float> middle(*own, row_of(-1.0F));
  const DeviceArray<float> out(*own, row_of(-1.0F)), other_out(*own, row_of(-1.0F));
  int bodies = 0, other_bodies = 0;
  for (int step = 0; step < 6; step++) {
    const std::vector<float> contents = row_of(static_cast<float>(step));
    std::memcpy((*staged)->host(), contents.data(), kRowBytes);
    (*staged)->upload(kRowBytes);
    own->step_recorder()->run_step(7, [&] {
      bodies++;
      copy((*staged)->device(), middle.data());
      copy(middle.data(), out.data());
    });
    if (step % 2 == 1) {
      own->step_recorder()->run_step(8, [&] {
        other_bodies++;
        copy((*staged)->device(), other_out.data());
      });
      EXPECT_EQ(other_out.host(), contents);
    }
    EXPECT_EQ(out.host(), contents) << "step " << step;
  }
  EXPECT_EQ(bodies, 2);
  EXPECT_EQ(other_bodies, 2);
  EXPECT_TRUE(own->wait().ok());
}

TEST_F(CudaDeviceTest, WhatWasForgottenIsMetForTheFirstTimeAgain) {
  const auto own = make_device();
  RowCopy copy(*own);
  const DeviceArray<float> from(*own, row_of(4.0F)), to(*own, row_of(0.0F));
  int bodies = 0;
  const auto step = [&] {
    own->step_recorder()->run_step(7, [&] {
      bodies++;
      copy(from.data(), to.data());
    });
  };
  for (int time = 0; time < 4; time++) step();
  EXPECT_EQ(bodies, 2);
  EXPECT_TRUE(own->wait().ok());
  own->step_recorder()->forget();
  for (int time = 0; time < 4; time++) step();
  EXPECT_EQ(bodies, 4);
  EXPECT_EQ(to.host(), row_of(4.0F));
}

TEST_F(CudaDeviceTest, OperationsShowInTheProgressWordAsTheyAreEnqueued) {
  const auto word = std::make_shared<ProgressWord>();
  const auto own = make_device({.progress = word});
  EXPECT_EQ(own->progress(), word.get());
  EXPECT_EQ(device().progress(), nullptr);
  RowCopy copy(*own);
  const DeviceArray<float> from(*own, row_of(1.0F)), to(*own, row_of(0.0F));
  copy(from.data(), to.data());
  EXPECT_EQ(word->read(), (Progress{0, 0, 1, Operation::kGatherRows}));
  EXPECT_TRUE(own->wait().ok());
}

TEST_F(CudaDeviceTest, StepsWithoutAKeyOrWithoutGraphsRunAsTheyAre) {
  for (const bool graphs : {true, false}) {
    const auto own = make_device({.graphs = graphs});
    int bodies = 0;
    for (int step = 0; step < 4; step++) own->step_recorder()->run_step(graphs ? 0 : 7, [&] { bodies++; });
    EXPECT_EQ(bodies, 4);
    EXPECT_TRUE(own->wait().ok());
  }
}

TEST_F(CudaDeviceTest, AStepThatWaitsCannotBeRecordedAndEndsTheStream) {
  const auto own = make_device({.rank = 3});
  RowCopy copy(*own);
  const DeviceArray<float> from(*own, row_of(1.0F)), to(*own, row_of(0.0F));
  const auto body = [&] {
    copy(from.data(), to.data());
    (void)own->wait();
  };
  own->step_recorder()->run_step(1, body);
  EXPECT_TRUE(own->wait().ok());  // met first: not recorded
  own->step_recorder()->run_step(1, body);
  const Status status = own->wait();
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_EQ(status.message().rfind("gpu 0 (rank 3): cuda", 0), 0U) << status.message();
  EXPECT_EQ(own->status(), status);
  int bodies = 0;
  own->step_recorder()->run_step(0, [&] { bodies++; });
  EXPECT_EQ(bodies, 0);
  EXPECT_TRUE(own->step_recorder()->reached(own->step_recorder()->mark()));  // nothing will come any more: nobody waits for ever
}

// The tests' own frame: what one test breaks, the next ones have anew.
TEST_F(CudaDeviceTest, ABrokenDeviceIsMadeAnew) {
  for (int met = 0; met < 2; met++) recorder().run_step(1, [] { (void)device().wait(); });
  EXPECT_FALSE(device().wait().ok());
  EXPECT_THROW(DeviceArray<float>(device(), row_of(1.0F)), std::runtime_error);
  remake_broken_device();
  const DeviceArray<float> array(device(), row_of(1.0F));
  EXPECT_EQ(array.host(), row_of(1.0F));
  EXPECT_TRUE(device().wait().ok());
}

TEST_F(CudaDeviceTest, MemoryOfOneDeviceServesAnotherOfTheSameGpu) {
  const auto second = make_device();
  RowCopy copy(*second);
  const DeviceArray<float> from(device(), row_of(3.0F));
  const DeviceArray<float> to(*second, row_of(0.0F));
  copy(from.data(), to.data());
  EXPECT_EQ(to.host(), row_of(3.0F));
  EXPECT_TRUE(second->wait().ok());
}

TEST_F(CudaDeviceTest, OneThreadUsesSeveralGpus) {
  const auto infos = gpu_backend().devices();
  ASSERT_TRUE(infos);
  if (infos->size() < 2) GTEST_SKIP() << "SKIPPED: several GPUs: there is one";
  const auto second = make_device({.gpu = 1, .rank = 1});
  RowCopy copy_first(device()), copy_second(*second);
  DeviceArray<float> first_from(device(), row_of(1.0F)), first_to(device(), row_of(0.0F));
  DeviceArray<float> second_from(*second, row_of(2.0F)), second_to(*second, row_of(0.0F));
  copy_first(first_from.data(), first_to.data());
  copy_second(second_from.data(), second_to.data());
  copy_first(first_to.data(), first_from.data());
  EXPECT_EQ(second_to.host(), row_of(2.0F));
  EXPECT_EQ(first_from.host(), row_of(1.0F));
  EXPECT_TRUE(second->wait().ok());
}

// The yardstick's packing, embedding and products agree with rule 1's sums up to their own order of addition.
TEST_F(CudaDeviceTest, TheYardstickMultiplies) {
  const auto yardstick = gpu_backend().make_device({.matmul = GpuMatmul::kCublasLt});
  if (!yardstick) GTEST_SKIP() << "SKIPPED: " << yardstick.error().message();
  constexpr std::int64_t kTokens = 3, kOutputs = 40, kK = 64;
  Random random(1);
  const std::vector<float> source = random_values(random, kOutputs * kK);
  Matrix host_w(DType::kBF16, kOutputs, kK);
  reference().pack_rows(host_w.packed, 0, kOutputs, source.data());
  DeviceMatrix w(**yardstick, host_w.packed);
  w.pack(source, 32, 8);
  w.pack(source, 0, 32);

  const std::vector<std::int32_t> ids = {39, 0, 7};
  const DeviceArray<std::int32_t> device_ids(**yardstick, ids);
  Tensor x(DType::kBF16, kTokens, kK);
  DeviceTensor device_x(**yardstick, x);
  (*yardstick)->ops().embed(w.packed, device_ids.data(), device_x.view);
  reference().embed(host_w.packed, ids.data(), x.view);
  EXPECT_EQ(difference(x, device_x.host()), "");

  const std::vector<float> bias = random_values(random, kOutputs);
  const DeviceArray<float> device_bias(**yardstick, bias);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Tensor out(dtype, kTokens, kOutputs, 48);
    const DeviceTensor device_out(**yardstick, out);
    (*yardstick)->ops().matmul(device_x.view, w.packed, device_bias.data(), device_out.view);
    reference().matmul(x.view, host_w.packed, bias.data(), out.view);
    const Tensor got = device_out.host();
    for (std::int64_t t = 0; t < kTokens; t++) {
      for (std::int64_t n = 0; n < kOutputs; n++) {
        // Of the sum of magnitudes (weights rounded to bf16: 1 % more), an order of 64 additions moves a sum by
        // 64 · 2^-24 at most, either of both sums; each of up to three roundings to bf16 by 2^-8.
        float magnitude = std::abs(bias[static_cast<std::size_t>(n)]);
        for (std::int64_t k = 0; k < kK; k++)
          magnitude += std::abs(x.at(t, k) * source[static_cast<std::size_t>(n * kK + k)]) * 1.01F;
        const float bound = magnitude * (dtype == DType::kF32 ? 2 * 64 * 0x1p-24F : 3 * 0x1p-8F);
        EXPECT_NEAR(got.at(t, n), out.at(t, n), bound) << dtype_name(dtype) << " [" << t << ", " << n << "]";
      }
    }
  }
  EXPECT_TRUE((*yardstick)->wait().ok());
}

TEST_F(CudaDeviceTest, MeasuresWhatTheGpuCanDo) {
  const auto rates = gpu_backend().measure(0);
  ASSERT_TRUE(rates) << rates.error().message();
  EXPECT_GT(rates->read_gb_per_s, 0.0);
  EXPECT_GT(rates->ordered_tflop_per_s, 0.0);
  EXPECT_GE(rates->bf16_tflop_per_s, 0.0);
}

}  // namespace
}  // namespace herd
