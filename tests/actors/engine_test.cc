// What an engine promises beyond its cluster: niceness of its compute threads, steps told, nothing held when idle.

#include "actors/engine.h"

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "actors/client/delta_queue.h"
#include "tests/actors/toy_cluster.h"

namespace herd::actors {
namespace {

using step::FinishReason;

EngineOptions options() {
  EngineOptions options;
  options.model.path = "tests/golden/configs/gqa4_llama3";
  options.model.random_weights = true;
  options.threads = 1;
  options.max_model_len = 256;
  options.scheduler.max_num_seqs = 8;
  options.scheduler.max_num_batched_tokens = 64;
  return options;
}

int own_niceness() { return ::getpriority(PRIO_PROCESS, 0); }

// Reads one sequence to its end and returns how it ended.
FinishReason generate(Engine& engine, std::uint64_t id) {
  DeltaQueue queue(engine.cluster().client(), 1024);
  step::Submission submission;
  submission.tokens.assign(20, static_cast<TokenId>(id));
  submission.prompt_tokens = 20;
  submission.max_tokens = 5;
  submission.sampling.ignore_eos = true;
  queue.submit(RequestId(id), submission);
  FinishReason finish = FinishReason::kNone;
  for (;;) {
    const auto heard = queue.next(std::chrono::seconds(60));
    if (!heard || heard->end() != nullptr) return finish;
    finish = heard->delta()->finish;
  }
}

// What a decode step reads can be measured where it lies: all of it, rank by rank.
TEST(Engine, ShowsTheWeightsThatADecodeStepReads) {
  for (const int ranks : {1, 2}) {
    EngineOptions split = options();
    split.tensor_parallel = ranks;
    const auto engine = Engine::start(split);
    ASSERT_TRUE(engine) << engine.error().message();
    const auto matrices = (*engine)->read_per_token();
    ASSERT_EQ(matrices.size(), static_cast<std::size_t>(ranks));
    std::size_t bytes = 0;
    std::set<const void*> places;
    for (const auto& rank : matrices) {
      for (const PackedMatrix& matrix : rank) {
        bytes += static_cast<std::size_t>(matrix.bytes());
        EXPECT_TRUE(places.insert(matrix.data).second) << "no weight is read twice";
      }
    }
    EXPECT_EQ(bytes, (*engine)->facts().weight_bytes_per_token);
  }
}

TEST(Engine, RunsItsRanksAsNiceAsAskedAndLeavesItsCallerAsItIs) {
  const int own = own_niceness();
  std::mutex mutex;
  std::multiset<int> niceness;
  EngineOptions niced = options();
  niced.tensor_parallel = 2;
  niced.compute_nice = 19;
  niced.make_device = [&](const CpuDeviceConfig& config) {  // on each rank's thread
    const std::scoped_lock lock(mutex);
    niceness.insert(own_niceness());
    EXPECT_EQ(config.nice, 19) << "of the rank's other threads";
    return make_cpu_device(config);
  };
  auto engine = Engine::start(std::move(niced));
  ASSERT_TRUE(engine.has_value()) << engine.error().message();
  EXPECT_EQ(niceness, (std::multiset<int>{19, 19}));
  EXPECT_EQ(own_niceness(), own);
  EXPECT_EQ(generate(**engine, 1), FinishReason::kLength);
}

TEST(Engine, RefusesANicenessThatThereIsNot) {
  for (const int nice : {-1, 20}) {
    EngineOptions wrong = options();
    wrong.compute_nice = nice;
    const auto engine = Engine::start(std::move(wrong));
    ASSERT_FALSE(engine.has_value());
    EXPECT_EQ(engine.error().code(), StatusCode::kUsage);
  }
}

// One prompt of 20 tokens and 5 new ones: 20 + 4 rows over contexts of 20, 21, 22, 23 and 24 tokens.
TEST(Engine, TellsRowsAndContextsOfItsSteps) {
  std::atomic<std::uint64_t> rows{0}, prefill_rows{0}, context_tokens{0};
  EngineOptions told = options();
  told.make_on_step = [&](const EngineFacts& facts) -> OnStep {
    EXPECT_GT(facts.num_blocks, 0);
    return [&](ReplicaId, const step::StepStats& stats, double step_s) {
      rows += stats.rows;
      prefill_rows += stats.prefill_rows;
      context_tokens += stats.context_tokens;
      EXPECT_GE(step_s, 0.0);
    };
  };
  auto engine = Engine::start(std::move(told));
  ASSERT_TRUE(engine.has_value());
  EXPECT_EQ(generate(**engine, 1), FinishReason::kLength);
  (*engine)->cluster().shutdown();
  EXPECT_EQ(rows, 24U);
  EXPECT_EQ(prefill_rows, 20U);
  EXPECT_EQ(context_tokens, 20U + 21U + 22U + 23U + 24U);
}

// The last delta comes before the last step's acknowledgement, so the blocks may return a moment after it.
TEST(Engine, HoldsNoBlockWhenIdle) {
  auto engine = Engine::start(options());
  ASSERT_TRUE(engine.has_value());
  for (std::uint64_t sequence = 1; sequence <= 5; ++sequence)
    EXPECT_EQ(generate(**engine, sequence), FinishReason::kLength);
  EXPECT_TRUE(await_status((*engine)->cluster().client(), [](const ClusterStatus& status) {
    const scheduler::SchedulerStats& stats = status.replicas.at(0).scheduler;
    return stats.finished_length == 5 && stats.plans_outstanding == 0 && stats.blocks.num_held == 0 &&
           stats.num_running == 0;
  }));
}

std::string numerics_id_of(EngineOptions options) {
  auto engine = Engine::start(std::move(options));
  EXPECT_TRUE(engine.has_value()) << engine.error().message();
  return (*engine)->numerics_id().value();
}

TEST(EngineNumericsId, NamesWhatChangesBytesAndNothingElse) {
  const std::string one = numerics_id_of(options());
  EXPECT_TRUE(one.starts_with("cpu-2/bfloat16/bfloat16/")) << one;
  const auto changed = [](auto change) {
    EngineOptions other = options();
    change(other);
    return numerics_id_of(std::move(other));
  };
  EXPECT_EQ(changed([](EngineOptions&) {}), one);
  EXPECT_EQ(changed([](EngineOptions& o) { o.tensor_parallel = 2; }), one);
  EXPECT_EQ(changed([](EngineOptions& o) { o.max_model_len = 2048; }), one);
  EXPECT_EQ(changed([](EngineOptions& o) { o.block_size = 64; }), one);
  EXPECT_EQ(changed([](EngineOptions& o) { o.isa = CpuIsa::kReference; }), one);
  EXPECT_NE(changed([](EngineOptions& o) { o.model.random_seed = 1; }), one);
  EXPECT_NE(changed([](EngineOptions& o) { o.encoding = "float32"; }), one);
  EXPECT_NE(changed([](EngineOptions& o) { o.model.layers = 2; }), one);
  EXPECT_NE(changed([](EngineOptions& o) { o.model.path = "config/demo_model"; }), one);
}

TEST(EngineNumericsId, IsGivenUpWhenNobodyWantsItAnyMore) {
  auto engine = Engine::start(options());
  ASSERT_TRUE(engine.has_value());
  std::stop_source nobody;
  nobody.request_stop();
  const auto id = (*engine)->numerics_id(nobody.get_token());
  ASSERT_FALSE(id.has_value());
  EXPECT_EQ(id.error().code(), StatusCode::kAborted);
}

}  // namespace
}  // namespace herd::actors
