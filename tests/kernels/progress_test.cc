// The progress word: what is written can be read, and what it holds is told apart. Which operation a device's wrapper names.
#include "kernels/progress.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/device.h"
#include "tests/kernels/kernel_fixtures.h"

namespace herd {
namespace {

using namespace herd::testing;  // NOLINT

TEST(OperationName, EveryOperationHasANameOfItsOwn) {
  std::set<std::string> names;
  for (int operation = 0; operation < static_cast<int>(Operation::kCount); operation++)
    names.insert(operation_name(static_cast<Operation>(operation)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Operation::kCount));
  EXPECT_EQ(names.count("unknown operation"), 0U);
  EXPECT_STREQ(operation_name(static_cast<Operation>(200)), "unknown operation");
}

TEST(ProgressWord, BeginsIdle) { EXPECT_EQ(ProgressWord().read(), Progress()); }

TEST(ProgressWord, SaysEpochStepNumberAndOperation) {
  ProgressWord word;
  word.begin_step(7, 21);
  EXPECT_EQ(word.read(), Progress()) << "a step shows with its first operation";
  word.begin(Operation::kEmbed);
  EXPECT_EQ(word.read(), (Progress{7, 21, 1, Operation::kEmbed}));
  word.begin(Operation::kMatmul);
  word.begin(Operation::kMatmul);
  EXPECT_EQ(word.read(), (Progress{7, 21, 3, Operation::kMatmul})) << "the same again is progress too";
  word.begin_step(7, 22);
  word.begin(Operation::kIdle);
  EXPECT_EQ(word.read(), (Progress{7, 22, 1, Operation::kIdle}));
}

TEST(ProgressWord, NumbersBeyondTheirWidthTouchNoOther) {
  ProgressWord word;
  word.begin_step(0x50003, 0x9000004);
  for (int i = 0; i < 0x10002; i++) word.begin(Operation::kNorm);
  EXPECT_EQ(word.read(), (Progress{3, 4, 2, Operation::kNorm}));
}

// Every operation of a device whose config names a word shows there as it begins.
class Shown : public ::testing::Test {
 protected:
  const std::shared_ptr<ProgressWord> word = std::make_shared<ProgressWord>();
  const std::unique_ptr<Device> device =
      std::move(*make_cpu_device({.isa = CpuIsa::kReference, .threads = 1, .nice = 0, .progress = word}));
  Ops& ops = device->ops();
  std::uint16_t operations = 0;

  void expect(Operation operation) {
    EXPECT_EQ(word->read(), (Progress{0, 0, ++operations, operation})) << operation_name(operation);
  }
};

TEST_F(Shown, TheWordIsTheDevices) {
  EXPECT_EQ(device->progress(), word.get());
  EXPECT_EQ((*make_cpu_device({CpuIsa::kReference, 1}))->progress(), nullptr) << "nobody is to be told";
}

TEST_F(Shown, EveryOperationByName) {
  Tensor x(DType::kF32, 1, 32), out(DType::kF32, 1, 32), gate_up(DType::kF32, 1, 64);
  const std::vector<float> weight(32, 1.0F);
  ops.rms_norm(x.view, weight.data(), 1e-5F, out.view);
  expect(Operation::kNorm);
  const float* parts[1] = {static_cast<const float*>(x.view.data)};
  ops.add_partials(out.view, {parts, 1, x.view.row_stride, nullptr});
  expect(Operation::kAdd);
  ops.add_rms_norm(out.view, {parts, 1, x.view.row_stride, nullptr}, weight.data(), 1e-5F, x.view);
  expect(Operation::kAdd);
  const std::int32_t position = 0, row = 0;
  ops.rope(x.view, 1, 32, &position, weight.data());
  expect(Operation::kRope);
  ops.silu_mul(gate_up.view, 32, out.view);
  expect(Operation::kActivation);
  ops.gather_rows(x.view, &row, out.view);
  expect(Operation::kGatherRows);
  MaxSum sum;
  ops.leaf_max_sum(x.view, 0, 32, &sum);
  expect(Operation::kSample);
  Candidate best;
  ops.draw(static_cast<const float*>(x.view.data), 32, 0, 0.0F, 0.0F, {}, &best);
  expect(Operation::kSample);
  ops.top_k(static_cast<const float*>(x.view.data), 32, 0, 1, &best);
  expect(Operation::kSample);
  LogitRange range;
  ops.logit_range(x.view, &range);
  expect(Operation::kSample);
  const NucleusScale scale{1.0F, 0.0F, 0.0F, 0.0F, 0.0F};
  std::vector<NucleusBin> bins(kNucleusBins);
  ops.weigh(static_cast<const float*>(x.view.data), 32, scale, bins.data());
  expect(Operation::kSample);
  std::vector<std::int32_t> columns(32);
  std::vector<float> values(32);
  ops.select(static_cast<const float*>(x.view.data), 32, scale, 0, 0, columns.data(), values.data());
  expect(Operation::kSample);
}

}  // namespace
}  // namespace herd
