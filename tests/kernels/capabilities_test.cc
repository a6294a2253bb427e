// What a device hands out beside its operations: nothing on a CPU; staged buffers with or without a Staging; and the
// checks around a RowSampler. The CUDA device's own are tested in tests/kernels/cuda.
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/device.h"
#include "kernels/row_sampler.h"
#include "kernels/staging.h"
#include "kernels/step_recorder.h"

namespace herd {
namespace {

std::unique_ptr<Device> cpu() { return std::move(*make_cpu_device({CpuIsa::kReference, 1})); }

TEST(Capabilities, ACpuComputesBeforeItAnswersAndHasNone) {
  const auto device = cpu();
  EXPECT_TRUE(device->host_memory());
  EXPECT_EQ(device->row_sampler(), nullptr);
  EXPECT_EQ(device->staging(), nullptr);
  EXPECT_EQ(device->step_recorder(), nullptr);
}

TEST(AllocateStaged, WhereMemoryIsSharedBothSidesAreOne) {
  const auto device = cpu();
  const auto staged = allocate_staged(*device, 256, "step inputs");
  ASSERT_TRUE(staged);
  void* const host = (*staged)->host();
  EXPECT_EQ((*staged)->device(), host);
  std::memset(host, 7, 256);
  (*staged)->upload(256);
  EXPECT_EQ(static_cast<const unsigned char*>((*staged)->device())[255], 7);
  EXPECT_EQ((*staged)->host(), host) << "no sides to take turns";
}

TEST(AllocateStaged, TooMuchIsRefusedByName) {
  const auto device = cpu();
  const auto staged = allocate_staged(*device, std::size_t{1} << 50, "step inputs");
  ASSERT_FALSE(staged);
  EXPECT_EQ(staged.error().code(), StatusCode::kMissing);
  EXPECT_EQ(staged.error().message().rfind("step inputs: needs ", 0), 0U) << staged.error().message();
}

// A CPU that claims memory of its own and stages: what it is asked for.
class StagingDevice final : public Device, public Staging {
 public:
  std::string description() const override { return "stages"; }
  bool host_memory() const override { return false; }
  Ops& ops() override { return cpu_->ops(); }
  Expected<std::unique_ptr<DeviceBuffer>> allocate(std::size_t bytes, const char* what) override {
    return cpu_->allocate(bytes, what);
  }
  std::size_t free_bytes() const override { return cpu_->free_bytes(); }
  Status wait() override { return {}; }
  Staging* staging() override { return this; }
  Expected<std::unique_ptr<StagedBuffer>> allocate_staged(std::size_t bytes, const char* what) override {
    asked.emplace_back(what);
    asked.back().append(" ").append(std::to_string(bytes));
    return fail(missing("none left"));
  }
  Expected<std::unique_ptr<ReadbackBuffer>> allocate_readback(std::size_t, const char*) override {
    return fail(missing("none left"));
  }
  std::vector<std::string> asked;

 private:
  const std::unique_ptr<Device> cpu_ = cpu();
};

TEST(AllocateStaged, ADevicesOwnStagingAnswers) {
  StagingDevice device;
  const auto staged = herd::allocate_staged(device, 64, "step inputs");
  ASSERT_FALSE(staged);
  EXPECT_EQ(staged.error().message(), "none left");
  EXPECT_EQ(device.asked, std::vector<std::string>{"step inputs 64"});
}

class Recording final : public RowSampler {
 public:
  explicit Recording(std::vector<std::string>& calls) : calls_(calls) {}
  void resolve_tokens(std::int32_t*, std::int64_t, const SampledRow*) override { calls_.push_back("resolve"); }
  void join_columns(const float*, std::int64_t, std::int64_t, int, const std::int32_t*, const TensorView&) override {
    calls_.push_back("join");
  }
  void sample_rows(const TensorView&, const SampleBatch&) override { calls_.push_back("sample"); }

 private:
  std::vector<std::string>& calls_;
};

class CheckedRowSampler : public ::testing::Test {
 protected:
  CheckedRowSampler() : sampler(make_checked_row_sampler(std::make_unique<Recording>(calls))) {
    batch.params = &params;
    batch.out = &sampled;
    batch.vocab_size = 40;
    for (int leaf = 1; leaf < kLeaves; leaf++) batch.vocab_leaf[leaf] = leaf < 3 ? 16 : 32;
    batch.vocab_leaf[kLeaves] = 40;
  }
  [[nodiscard]] TensorView logits(std::int64_t rows) { return {row.data(), DType::kF32, rows, 40, 48}; }

  std::vector<std::string> calls;
  const std::unique_ptr<RowSampler> sampler;
  std::vector<float> row = std::vector<float>(48);
  SampleRowParams params;
  SampledRow sampled;
  SampleBatch batch;
  std::int32_t ids[1] = {-1};
  std::int32_t border[3] = {0, 24, 40};
};

TEST_F(CheckedRowSampler, PassesOnWhatHasRows) {
  sampler->resolve_tokens(ids, 0, &sampled);
  sampler->join_columns(row.data(), 0, 24, 2, border, logits(0));
  sampler->sample_rows(logits(0), batch);
  EXPECT_TRUE(calls.empty());
  sampler->resolve_tokens(ids, 1, &sampled);
  sampler->join_columns(row.data(), 24, 24, 2, border, logits(1));
  sampler->sample_rows(logits(1), batch);
  EXPECT_EQ(calls, (std::vector<std::string>{"resolve", "join", "sample"}));
}

TEST_F(CheckedRowSampler, EndsOnWhatNoBackendCouldDo) {
  EXPECT_DEATH(sampler->resolve_tokens(ids, 1, nullptr), "ids and what they stand for exist");
  EXPECT_DEATH(sampler->join_columns(row.data(), 23, 24, 2, border, logits(1)), "parts do not overlap");
  border[1] = 25;
  EXPECT_DEATH(sampler->join_columns(row.data(), 24, 24, 2, border, logits(1)), "parts fit their rows");
  border[2] = 39;
  EXPECT_DEATH(sampler->join_columns(row.data(), 24, 24, 2, border, logits(1)), "parts cover the row");
  TensorView narrow = logits(1);
  narrow.cols = 39;
  EXPECT_DEATH(sampler->sample_rows(narrow, batch), "whole rows");
  batch.vocab_leaf[2] = 8;
  EXPECT_DEATH(sampler->sample_rows(logits(1), batch), "leaves ascend");
  batch.out = nullptr;
  EXPECT_DEATH(sampler->sample_rows(logits(1), batch), "every row has parameters and a result");
}

}  // namespace
}  // namespace herd
