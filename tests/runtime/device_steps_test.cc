// The two runners beside each other: float32 steps give the same bits on a GPU as on a CPU, the host waiting for each or
// going on. Runs on what load_gpu_backend() finds: the emulated library in ctest, the real one on a GPU.
#include "runtime/shard/device_steps.h"

#include <string>
#include <vector>

#include "tests/kernels/cuda/cuda_fixture.h"
#include "tests/runtime/block_copies_fixture.h"
#include "tests/runtime/shard_fixture.h"

namespace herd::shard {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

std::unique_ptr<Device> gpu(std::shared_ptr<ProgressWord> progress = nullptr) {
  return herd::testing::make_device({.progress = std::move(progress)});
}

std::unique_ptr<ShardExecutor> prepared(const ShardConfig& config, std::unique_ptr<Device> device) {
  auto executor = make_executor(config, std::move(device));
  const Status status = executor->prepare();
  EXPECT_TRUE(status.ok()) << status.message();
  return executor;
}

// What both answer alike: all but the time.
void expect_same(const step::StepResult& cpu, const step::StepResult& gpu) {
  SCOPED_TRACE("step " + std::to_string(cpu.step.value));
  EXPECT_EQ(cpu.status, gpu.status) << cpu.status.message() << gpu.status.message();
  EXPECT_EQ(cpu.step, gpu.step);
  EXPECT_EQ(cpu.sampled, gpu.sampled);
  EXPECT_EQ(cpu.outputs, gpu.outputs);
  EXPECT_EQ(cpu.prompt_logprobs, gpu.prompt_logprobs);
  EXPECT_EQ(cpu.token_hash, gpu.token_hash);
  EXPECT_EQ(cpu.stats.rows, gpu.stats.rows);
  EXPECT_EQ(cpu.stats.context_tokens, gpu.stats.context_tokens);
}

// Four prompts, their requests all different; the last is computed in two chunks, while the others decode already.
constexpr std::uint32_t kLengths[] = {5, 16, 1, 22};

std::vector<step::StepPlan> conversation(bool penalties, int decodes, Epoch epoch = Epoch{}) {
  Plans plans(epoch);
  std::vector<step::StepPlan> all;
  step::StepPlan prefill = plans.next();
  for (std::uint64_t id = 1; id <= 4; ++id) {
    const std::uint32_t tokens = kLengths[id - 1];
    step::SequenceStart start = start_of(id, prompt(tokens, static_cast<TokenId>(id)));
    start.sampling.seed = id;
    start.sampling.temperature = id == 1 ? 0.0F : 0.9F;
    start.sampling.top_p = id == 2 ? 0.8F : 1.0F;
    start.sampling.top_k = id == 3 ? 7 : 0;
    start.sampling.logprobs = static_cast<std::int32_t>(id) - 1;
    start.sampling.logit_bias = {{static_cast<TokenId>(id), 2.0F}};
    if (penalties) start.sampling.repetition_penalty = 1.3F;
    prefill.started.push_back(std::move(start));
    const auto block = static_cast<std::uint32_t>(id) * 3;
    prefill.slices.push_back(slice_of(id, 0, id == 4 ? 10 : tokens, {BlockId{block}, BlockId{block + 1}}, id != 4));
  }
  all.push_back(std::move(prefill));
  for (int step = 1; step <= decodes; ++step) {
    step::StepPlan plan = plans.next();
    for (std::uint64_t id = 1; id <= 4; ++id) {
      const std::uint32_t tokens = kLengths[id - 1];
      if (id == 4 && step == 1) {
        plan.slices.push_back(slice_of(id, 10, tokens - 10, {}, true));
        continue;
      }
      const auto index = static_cast<std::uint32_t>(id == 4 ? step - 1 : step);
      plan.slices.push_back(slice_of(id, tokens + index - 1, 1, {}, true, index));
    }
    all.push_back(std::move(plan));
  }
  return all;
}

TEST(DeviceSteps, AnswerWhatTheHostsAnswer) {
  const auto on_cpu = prepared(tiny_shard(), cpu(CpuIsa::kAuto)), on_gpu = prepared(tiny_shard(), gpu());
  for (const step::StepPlan& plan : conversation(true, 6)) expect_same(on_cpu->execute(plan), on_gpu->execute(plan));
}

// Step n + 1 is submitted before step n is collected, as an actor does it.
TEST(DeviceSteps, AStepMayFollowBeforeTheTokensOfTheOneBeforeAreKnown) {
  for (const bool penalties : {false, true}) {
    const auto on_cpu = prepared(tiny_shard(), cpu(CpuIsa::kAuto)), on_gpu = prepared(tiny_shard(), gpu());
    std::vector<step::StepResult> expected;
    std::vector<step::StepResult> results;
    for (const step::StepPlan& plan : conversation(penalties, 4)) {
      expected.push_back(on_cpu->execute(plan));
      on_gpu->submit(plan);
      if (expected.size() > 1) results.push_back(on_gpu->collect());
    }
    results.push_back(on_gpu->collect());
    ASSERT_EQ(results.size(), expected.size());
    for (std::size_t i = 0; i < results.size(); ++i) expect_same(expected[i], results[i]);
  }
}

TEST(DeviceSteps, BlocksMoveBetweenDevicesWithMemoryOfTheirOwn) {
  const auto device = [] { return gpu(); };
  TinyReplica from(WeightFormat::kF32, 1, device), to(WeightFormat::kF32, 1, device);
  expect_moved_blocks_serve(from, to);
}

TEST(DeviceSteps, ADamagedBlockIsSaidByADeviceWithMemoryOfItsOwn) {
  const auto device = [] { return gpu(); };
  TinyReplica from(WeightFormat::kF32, 1, device), to(WeightFormat::kF32, 1, device);
  (void)tokens_behind(from, {}, BlockId{1});
  for (step::BlockBytes& block : read_blocks(from)) {
    if (block.index == 1) block.bytes[100] ^= std::byte{4};
    to.give(std::move(block));
  }
  EXPECT_EQ(write_blocks(to)[0].damaged, (std::vector<step::DamagedBlock>{{kMoved, 1}}));
}

// The word says kDevice from the time a step was enqueued, goes on when one was reached, and is idle after the last.
TEST(DeviceSteps, TheProgressWordShowsHowFarTheDeviceIs) {
  const auto word = std::make_shared<ProgressWord>();
  const auto executor = prepared(tiny_shard(), gpu(word));
  executor->join(Epoch{3});
  const std::vector<step::StepPlan> plans = conversation(false, 2, Epoch{3});
  executor->submit(plans[0]);
  EXPECT_EQ(word->read().step, 1U);
  EXPECT_EQ(word->read().operation, Operation::kDevice);
  executor->submit(plans[1]);
  const Progress both = word->read();
  EXPECT_EQ(both.step, 2U);
  EXPECT_EQ(both.operation, Operation::kDevice);
  EXPECT_TRUE(executor->collect().status.ok());
  EXPECT_EQ(word->read(), (Progress{3, 2, static_cast<std::uint16_t>(both.number + 1), Operation::kDevice}));
  EXPECT_TRUE(executor->collect().status.ok());
  EXPECT_EQ(word->read(), (Progress{3, 2, static_cast<std::uint16_t>(both.number + 2), Operation::kIdle}));
}

// A group is left in the middle of its steps; the next one computes what a fresh rank does, recorded steps included.
TEST(DeviceSteps, TheNextGroupBeginsAnew) {
  const auto on_cpu = prepared(tiny_shard(), cpu(CpuIsa::kAuto)), on_gpu = prepared(tiny_shard(), gpu());
  on_gpu->join(Epoch{1});
  const std::vector<step::StepPlan> first = conversation(true, 3, Epoch{1});
  for (std::size_t i = 0; i < 3; ++i) {
    on_gpu->submit(first[i]);
    if (i > 0) {
      EXPECT_TRUE(on_gpu->collect().status.ok());
    }
  }
  on_gpu->leave();
  EXPECT_FALSE(on_gpu->ready(std::chrono::microseconds(0)));
  on_gpu->join(Epoch{2});
  on_cpu->join(Epoch{2});
  for (const step::StepPlan& plan : conversation(true, 6, Epoch{2})) expect_same(on_cpu->execute(plan), on_gpu->execute(plan));
}

TEST(DeviceSteps, MoreRowsThanLogitsAreSampledInPieces) {
  ShardConfig config = tiny_shard();
  config.logit_rows_max = 3;
  const auto on_cpu = prepared(tiny_shard(), cpu(CpuIsa::kAuto)), on_gpu = prepared(config, gpu());
  for (const step::StepPlan& plan : conversation(true, 3)) expect_same(on_cpu->execute(plan), on_gpu->execute(plan));
}

TEST(DeviceSteps, OutputsAreTheHosts) {
  using step::OutputSelector;
  const auto on_cpu = prepared(tiny_shard(), cpu(CpuIsa::kAuto)), on_gpu = prepared(tiny_shard(), gpu());
  Plans plans;
  std::uint64_t id = 0;
  for (const OutputSelector selector :
       {OutputSelector::kLogitsLast, OutputSelector::kLogitsAll, OutputSelector::kHiddenLast, OutputSelector::kHiddenAll,
        OutputSelector::kHiddenAllNormalized, OutputSelector::kHiddenAllLayers, OutputSelector::kPromptLogprobs}) {
    step::StepPlan plan = plans.next();
    if (id > 0) plan.released.push_back(SequenceId{id});
    ++id;
    plan.started.push_back(start_of(id, prompt(11, static_cast<TokenId>(id))));
    plan.started[0].output = selector;
    plan.started[0].sampling.logprobs = 3;
    plan.slices.push_back(slice_of(id, 0, 11, {BlockId{9}}, true));
    const step::StepResult expected = on_cpu->execute(plan);
    EXPECT_EQ(expected.outputs.size() + expected.prompt_logprobs.size(), 1U);
    expect_same(expected, on_gpu->execute(plan));
  }
}

// ---- the runner itself ----

class DeviceRunner : public ::testing::Test {
 protected:
  StepBatch batch_of(const step::StepPlan& plan) {
    StepBatch batch;
    EXPECT_TRUE(table.apply(plan, batch).ok());
    return batch;
  }
  TinyRank rank{tiny_shard(), gpu()};
  SequenceTable table{rank.limits()};
};

TEST_F(DeviceRunner, AStepIsUnderWayUntilItsMarkIsReached) {
  const auto runner = std::move(*make_step_runner(rank.parts()));
  const StepBatch batch = batch_of(conversation(false, 0).front());
  step::StepResult result;
  auto step = runner->start(batch, result);
  ASSERT_TRUE(step.has_value()) << step.error().message();
  ASSERT_NE(*step, nullptr);
  EXPECT_TRUE(result.sampled.empty());
  if (herd::testing::is_emulated()) {
    EXPECT_FALSE((*step)->reached());  // work does not run before it is asked for
  }
  while (!(*step)->reached()) {
  }
  const auto sampled = (*step)->finish(table.expect_samples(batch));
  ASSERT_TRUE(sampled.has_value());
  ASSERT_EQ(sampled->size(), 3U);
  EXPECT_EQ((*sampled)[1].sequence, SequenceId{2});
}

TEST_F(DeviceRunner, AGroupThatIsGivenUpIsNotWaitedFor) {
  const auto runner = std::move(*make_step_runner(rank.parts()));
  const StepBatch batch = batch_of(conversation(false, 0).front());
  step::StepResult result;
  const auto step = runner->start(batch, result);
  ASSERT_TRUE(step.has_value());
  rank.group->abort("rank 1 is gone");
  EXPECT_TRUE((*step)->reached());
  const auto sampled = (*step)->finish(table.expect_samples(batch));
  ASSERT_FALSE(sampled);
  EXPECT_NE(sampled.error().message().find("rank 1 is gone"), std::string::npos) << sampled.error().message();
  EXPECT_TRUE(rank.device->wait().ok());
}

// Freeing its memory may wait for ranks that wait for this one: the owner aborts the group first.
TEST_F(DeviceRunner, AFailedWarmUpLeavesTheRunnerToItsOwner) {
  auto runner = make_step_runner(rank.parts());
  ASSERT_TRUE(runner.has_value()) << "nothing is computed yet";
  rank.group->abort("rank 1 is gone");
  const std::size_t free_bytes = rank.device->free_bytes();
  EXPECT_EQ((*runner)->warm_up(), rank.group->status());
  EXPECT_EQ(rank.device->free_bytes(), free_bytes);
}

TEST_F(DeviceRunner, ABatchBeyondTheLimitsIsRefusedByName) {
  const auto runner = std::move(*make_step_runner(rank.parts()));
  StepBatch batch;
  batch.token_ids.assign(49, 0);
  step::StepResult result;
  const auto step = runner->start(batch, result);
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error().message(), "step plan: 49 rows, at most 48 fit a step");
}

// The host describes as many rows as there is room for; the others come in the next piece.
TEST_F(DeviceRunner, SamplesAreDescribedAsFarAsThereIsRoom) {
  const auto sampling = std::move(*DeviceSampling::make(*rank.device, *rank.llama, {2, 6, kVocab, true}));
  const StepBatch batch = batch_of(conversation(false, 0).front());
  ASSERT_EQ(batch.samples.size(), 3U);
  EXPECT_EQ(sampling->describe(batch, 0), 2U);
  EXPECT_EQ(sampling->describe(batch, 2), 1U);
  EXPECT_EQ(sampling->describe(batch, 3), 0U);
}

}  // namespace
}  // namespace herd::shard
