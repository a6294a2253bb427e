// Ranks on CPUs without a cluster around them: weights, memory, and an abort that reaches the ranks of one replica.

#include "actors/ranks/cpu_rank_host.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "runtime/checkpoint/open_model.h"
#include "runtime/step/step_plan.h"

namespace herd::actors {
namespace {

placement::ShardedModel sharded(int ranks) {
  model::ModelFiles files;
  files.path = "tests/golden/configs/gqa4_llama3";
  files.random_weights = true;
  const model::OpenedModel model = model::open_model(files).value();
  return {model.config(), {DType::kBF16}, placement::plan_shards(model.config(), ranks).value()};
}

std::shared_ptr<RankHost> loaded(const placement::ShardedModel& model, RankCounts counts) {
  auto host = host_on_cpus({.threads = 1}, counts);
  model::LoadReport report;
  const Status status = host->load(model, *model::random_source(model.config, 0), {}, report);
  EXPECT_TRUE(status.ok()) << status.message();
  return host;
}

placement::RankSpec spec_of(const placement::ShardedModel& model) {
  placement::ReplicaWishes wishes;
  wishes.max_model_len = 64;
  wishes.num_blocks = 4;
  return placement::plan_replicas(model, wishes, {}, placement::StepSpeed::kCpu)->rank;
}

// The ranks of a replica read one embedding: it is counted once, however many ranks there are.
TEST(CpuRankHost, CountsASharedEmbeddingOnce) {
  const WeightSizes one = loaded(sharded(1), {1, 1})->weights();
  const WeightSizes two = loaded(sharded(2), {1, 2})->weights();
  const std::size_t embedding = std::size_t{1008} * 2 * static_cast<std::size_t>(sharded(1).config.hidden_size);
  EXPECT_GE(two.bytes, one.bytes);
  EXPECT_LT(two.bytes, one.bytes + embedding);
}

TEST(CpuRankHost, ReportsFreeMemoryAndItsArithmetic) {
  const auto host = loaded(sharded(1), {1, 1});
  const auto memory = host->measure(spec_of(sharded(1)));
  ASSERT_TRUE(memory.has_value());
  EXPECT_GT(memory->free_bytes, 0);
  EXPECT_TRUE(memory->gpus.empty());
  EXPECT_EQ(host->numerics_class(), "cpu-1");
}

TEST(CpuRankHost, KnowsThatTheReferenceKernelsAreSlow) {
  EXPECT_EQ(host_on_cpus({.isa = CpuIsa::kReference}, {1, 1})->speed({}), placement::StepSpeed::kCpuReference);
  EXPECT_EQ(host_on_cpus({}, {1, 1})->speed({}), placement::StepSpeed::kCpu);
}

// The result of one step of one rank, made and driven on a thread of its own as ranks are.
step::StepResult step_of(RankHost& host, std::uint32_t replica, std::uint32_t rank) {
  step::StepResult result;
  std::thread([&] {
    auto executor = host.make_rank(ReplicaId{replica}, rank);
    ASSERT_TRUE(executor.has_value()) << executor.error().message();
    step::StepPlan plan;
    plan.step = StepId{1};
    plan.started.emplace_back();
    plan.started.back().sequence = SequenceId{1};
    plan.started.back().tokens = {1, 2, 3};
    plan.started.back().prompt_tokens = 3;
    plan.slices.emplace_back();
    plan.slices.back().sequence = SequenceId{1};
    plan.slices.back().rows = 3;
    plan.slices.back().new_blocks = {BlockId{0}};
    (*executor)->submit(plan);
    result = (*executor)->collect();
  }).join();
  return result;
}

// A rank that waits for one that never comes returns when its replica is aborted; the other replica computes.
TEST(CpuRankHost, AnAbortReachesTheRanksOfOneReplica) {
  const placement::ShardedModel model = sharded(2);
  const auto host = loaded(model, {2, 2});
  ASSERT_TRUE(host->open(spec_of(model)).ok());
  EXPECT_EQ(host->facts().devices.size(), 4U);
  host->abort(ReplicaId{1}, {StatusCode::kInternal, "rank 1 died"});
  step::StepResult others[2];
  std::thread other([&] { others[1] = step_of(*host, 0, 1); });
  others[0] = step_of(*host, 0, 0);
  other.join();
  for (const step::StepResult& result : others) EXPECT_TRUE(result.status.ok()) << result.status.message();
  const step::StepResult aborted = step_of(*host, 1, 0);
  EXPECT_NE(aborted.status.message().find("rank 1 died"), std::string::npos) << aborted.status.message();
}

}  // namespace
}  // namespace herd::actors
