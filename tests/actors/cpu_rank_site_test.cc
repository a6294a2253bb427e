// Ranks on CPUs without a cluster around them: weights, memory, and ranks that are in one group after another.

#include "actors/ranks/cpu_rank_site.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "actors/ranks/rank_host.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/step/step_plan.h"

namespace herd::actors {
namespace {

placement::ShardedModel sharded(int ranks) {
  model::ModelFiles files;
  files.path = "tests/golden/configs/gqa4_llama3";
  files.random_weights = true;
  const model::OpenedModel model = model::open_model(files).value();
  return {model.config(), {WeightFormat::kBF16}, placement::plan_shards(model.config(), ranks).value()};
}

std::shared_ptr<RankSite> loaded(const placement::ShardedModel& model, RankCounts counts) {
  auto site = site_on_cpus({.threads = 1}, counts);
  model::LoadReport report;
  const Status status = site->load(model, model::random_source(model.config, 0), {}, report);
  EXPECT_TRUE(status.ok()) << status.message();
  return site;
}

placement::RankSpec spec_of(const placement::ShardedModel& model) {
  placement::ReplicaWishes wishes;
  wishes.max_model_len = 64;
  wishes.num_blocks = 4;
  placement::RankSpec spec;
  spec.ranks = static_cast<std::uint32_t>(model.shards.size());
  spec.weights = model.encoding.weights;
  spec.shape = placement::plan_replicas(model, wishes, {}, placement::StepSpeed::kCpu)->rank;
  return spec;
}

// The ranks of a replica read one embedding: it is counted once, however many ranks there are.
TEST(CpuRankSite, CountsASharedEmbeddingOnce) {
  const WeightSizes one = loaded(sharded(1), {1, 1})->weights();
  const WeightSizes two = loaded(sharded(2), {1, 2})->weights();
  const std::size_t embedding = std::size_t{1008} * 2 * static_cast<std::size_t>(sharded(1).config.hidden_size);
  EXPECT_GE(two.bytes, one.bytes);
  EXPECT_LT(two.bytes, one.bytes + embedding);
}

TEST(CpuRankSite, ReportsFreeMemoryAndItsArithmetic) {
  const auto site = loaded(sharded(1), {1, 1});
  const auto memory = site->measure(spec_of(sharded(1)));
  ASSERT_TRUE(memory.has_value());
  EXPECT_GT(memory->free_bytes, 0);
  EXPECT_TRUE(memory->gpus.empty());
  EXPECT_EQ(site->numerics_class(), "cpu-2");
}

TEST(CpuRankSite, KnowsThatTheReferenceKernelsAreSlow) {
  EXPECT_EQ(site_on_cpus({.isa = CpuIsa::kReference}, {1, 1})->speed({}), placement::StepSpeed::kCpuReference);
  EXPECT_EQ(site_on_cpus({}, {1, 1})->speed({}), placement::StepSpeed::kCpu);
}

step::StepPlan plan_of(Epoch epoch, std::uint64_t step) {
  step::StepPlan plan;
  plan.epoch = epoch;
  plan.step = StepId{step};
  plan.started.emplace_back();
  plan.started.back().sequence = SequenceId{step};
  plan.started.back().tokens = {1, 2, 3};
  plan.started.back().prompt_tokens = 3;
  plan.slices.emplace_back();
  plan.slices.back().sequence = SequenceId{step};
  plan.slices.back().rows = 3;
  plan.slices.back().new_blocks = {BlockId{0}};
  plan.slices.back().sample = true;
  return plan;
}

step::StepResult run(Rank& rank, Epoch epoch, std::uint64_t step) {
  rank.executor().submit(plan_of(epoch, step));
  return rank.executor().collect();
}

// Two ranks of replica 0, each on a thread of its own, prepared. `life` is what rank 0 and 1 go through.
template <class Life>
void live(RankSite& site, bool read_weights_again, const Life& life) {
  const auto thread = [&](std::uint32_t number) {
    return std::thread([&site, &life, read_weights_again, number] {
      const auto rank = site.make_host({ReplicaId{0}, number, read_weights_again, std::make_shared<ProgressWord>()});
      const auto rates = rank->prepare();
      ASSERT_TRUE(rates.has_value()) << rates.error().message();
      EXPECT_GT(rates->flops_per_s, 0.0);
      life(*rank, number);
    });
  };
  std::thread first = thread(0);
  std::thread second = thread(1);
  first.join();
  second.join();
}

struct TwoRanks {
  explicit TwoRanks() : model(sharded(2)), site(loaded(model, {1, 2})) { EXPECT_TRUE(site->open(spec_of(model)).ok()); }
  Rendezvous open(std::uint64_t epoch) { return site->open_group(ReplicaId{0}, Epoch{epoch}).value(); }
  const placement::ShardedModel model;
  const std::shared_ptr<RankSite> site;
};

TEST(RankHost, IsInOneGroupAfterAnotherAndForgetsEach) {
  TwoRanks two;
  TokenId tokens[2] = {-1, -2};
  const Rendezvous first_group = two.open(1);
  std::promise<Rendezvous> second;
  const std::shared_future<Rendezvous> known = second.get_future().share();
  std::atomic<int> left{0};
  live(*two.site, false, [&](RankHost& rank, std::uint32_t number) {
    ASSERT_TRUE(rank.join(Epoch{1}, first_group).ok());
    const step::StepResult first = run(rank, Epoch{1}, 1);
    ASSERT_TRUE(first.status.ok()) << first.status.message();
    rank.leave();
    if (++left == 2) second.set_value(two.open(2));
    const Rendezvous next_group = known.get();
    EXPECT_FALSE(rank.join(Epoch{1}, first_group).ok()) << "that group is forgotten";
    ASSERT_TRUE(rank.join(Epoch{2}, next_group).ok());
    EXPECT_FALSE(run(rank, Epoch{1}, 2).status.ok()) << "a plan of the group it has left";
    const step::StepResult next = run(rank, Epoch{2}, 1);
    ASSERT_TRUE(next.status.ok()) << next.status.message();
    if (number != 0) return;
    tokens[0] = first.sampled.at(0).token;
    tokens[1] = next.sampled.at(0).token;
  });
  EXPECT_EQ(tokens[0], tokens[1]);
}

TEST(RankHost, ReadsItsWeightsAgainWhenItIsTold) {
  TwoRanks two;
  const auto before = two.site->weights_of(two.site->spec_of(ReplicaId{0}, 1), false).value();
  TokenId tokens[2] = {-1, -2};
  for (const bool again : {false, true}) {
    const std::uint64_t epoch = again ? 2 : 1;
    const Rendezvous group = two.open(epoch);
    live(*two.site, again, [&](RankHost& rank, std::uint32_t number) {
      ASSERT_TRUE(rank.join(Epoch{epoch}, group).ok());
      const step::StepResult result = run(rank, Epoch{epoch}, 1);
      ASSERT_TRUE(result.status.ok()) << result.status.message();
      if (number == 0) tokens[again ? 1 : 0] = result.sampled.at(0).token;
    });
  }
  EXPECT_EQ(tokens[0], tokens[1]);
  const auto after = two.site->weights_of(two.site->spec_of(ReplicaId{0}, 1), false).value();
  EXPECT_NE(after, before) << "later ranks get what was read last";
  EXPECT_NE(after->embedding.data, before->embedding.data) << "the shared embedding may be what was damaged";
}

TEST(RankHost, ThatWaitsForOneThatNeverComesReturnsWhenItsGroupIsAbortedAndGoesOnInTheNext) {
  TwoRanks two;
  const Rendezvous first = two.open(1);
  Rendezvous second;
  std::promise<void> is_open;
  const std::shared_future<void> opened = is_open.get_future().share();
  std::promise<void> waits;
  std::thread supervisor([&] {
    waits.get_future().wait();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // by then it most likely waits
    two.site->abort_group(ReplicaId{0}, Epoch{1}, {StatusCode::kInternal, "rank 1 died"});
    second = two.open(2);
    is_open.set_value();
  });
  live(*two.site, false, [&](RankHost& rank, std::uint32_t number) {
    if (number == 0) {
      ASSERT_TRUE(rank.join(Epoch{1}, first).ok());
      waits.set_value();
      const step::StepResult aborted = run(rank, Epoch{1}, 1);
      EXPECT_NE(aborted.status.message().find("rank 1 died"), std::string::npos) << aborted.status.message();
      rank.leave();
    }
    opened.wait();
    ASSERT_TRUE(rank.join(Epoch{2}, second).ok());
    const step::StepResult result = run(rank, Epoch{2}, 1);
    EXPECT_TRUE(result.status.ok()) << result.status.message();
  });
  supervisor.join();
}

TEST(RankHost, SaysWhereItIsInItsWork) {
  const placement::ShardedModel model = sharded(1);
  const auto site = loaded(model, {1, 1});
  ASSERT_TRUE(site->open(spec_of(model)).ok());
  const auto progress = std::make_shared<ProgressWord>();
  const auto rank = site->make_host({ReplicaId{0}, 0, false, progress});
  ASSERT_TRUE(rank->prepare().has_value());
  ASSERT_TRUE(rank->join(Epoch{7}, site->open_group(ReplicaId{0}, Epoch{7}).value()).ok());
  EXPECT_TRUE(run(*rank, Epoch{7}, 1).status.ok());
  EXPECT_EQ(progress->read().epoch, 7U);
  EXPECT_EQ(progress->read().step, 1U);
  EXPECT_EQ(progress->read().operation, Operation::kIdle);
  EXPECT_GT(progress->read().number, 10U) << "operations of the step bump it";
}

}  // namespace
}  // namespace herd::actors
