// What may befall one of two ranks of a model in the middle of a step: it fails, throws, dies in a collective, skips one or hangs
// there. The replica forms its group again, and every stream has the tokens and log-probabilities of an undisturbed run.

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "actors/client/delta_queue.h"
#include "actors/engine.h"

namespace herd::actors {
namespace {

enum class Mishap { kNone, kFailsAStep, kThrows, kDiesInACollective, kSkipsACollective, kHangsInACollective };

const char* name_of(Mishap mishap) {
  switch (mishap) {
    case Mishap::kNone: return "None";
    case Mishap::kFailsAStep: return "FailsAStep";
    case Mishap::kThrows: return "Throws";
    case Mishap::kDiesInACollective: return "DiesInACollective";
    case Mishap::kSkipsACollective: return "SkipsACollective";
    case Mishap::kHangsInACollective: return "HangsInACollective";
  }
  return "?";
}

// Happens once, when it is armed and so many more chances have passed.
struct Plot {
  Mishap mishap = Mishap::kNone;
  std::atomic<int> chances{-1};  // that pass before; below 0: not armed
  std::atomic<int> ranks_made{0};
  std::atomic<int> ranks_joined{0};

  bool now(Mishap asked) {
    if (asked != mishap) return false;
    int left = chances;
    while (left >= 0 && !chances.compare_exchange_weak(left, left - 1)) {
    }
    return left == 0;
  }
};

class UnluckyRank final : public shard::RankExecutor {
 public:
  UnluckyRank(std::unique_ptr<shard::RankExecutor> rank, std::shared_ptr<Plot> plot)
      : rank_(std::move(rank)), plot_(std::move(plot)) {}
  void submit(const step::StepPlan& plan) override {
    if (plot_->now(Mishap::kThrows)) throw std::runtime_error("unlucky");
    rank_->submit(plan);
  }
  bool ready(std::chrono::microseconds patience) override { return rank_->ready(patience); }
  step::StepResult collect() override {
    step::StepResult result = rank_->collect();
    if (plot_->now(Mishap::kFailsAStep)) {
      result.sampled.clear();
      result.outputs.clear();
      result.blocks_written = 0;
      result.damaged.clear();
      result.status = {StatusCode::kInternal, "unlucky"};
    }
    return result;
  }
  void give(step::BlockBytes block) override { rank_->give(std::move(block)); }
  std::vector<step::BlockBytes> take_blocks_read() override { return rank_->take_blocks_read(); }

 private:
  const std::unique_ptr<shard::RankExecutor> rank_;
  const std::shared_ptr<Plot> plot_;
};

class UnluckyMember final : public Collective {
 public:
  UnluckyMember(std::unique_ptr<Collective> member, std::shared_ptr<Plot> plot)
      : member_(std::move(member)), plot_(std::move(plot)) {}
  int rank() const override { return member_->rank(); }
  int size() const override { return member_->size(); }
  void all_gather(CollectiveName name, const void* send, void* receive, std::size_t bytes) override {
    if (plot_->now(Mishap::kDiesInACollective)) throw std::runtime_error("unlucky");
    if (plot_->now(Mishap::kSkipsACollective)) return;
    if (plot_->now(Mishap::kHangsInACollective)) {
      while (member_->status().ok()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    member_->all_gather(name, send, receive, bytes);
  }
  void exchange(CollectiveName name, const void* send, void* receive, std::size_t slice_bytes) override {
    member_->exchange(name, send, receive, slice_bytes);
  }
  void abort(const char* reason) override { member_->abort(reason); }
  Status status() const override { return member_->status(); }

 private:
  const std::unique_ptr<Collective> member_;
  const std::shared_ptr<Plot> plot_;
};

EngineOptions options_of(const std::shared_ptr<Plot>& plot, const std::string& path) {
  EngineOptions options;
  options.model.path = path;
  options.model.random_weights = path.starts_with("tests/");
  options.threads = 2;
  options.tensor_parallel = 2;
  options.max_model_len = 256;
  options.scheduler.max_num_seqs = 8;
  options.scheduler.max_num_batched_tokens = 64;
  options.wrap_rank = [plot](std::unique_ptr<shard::RankExecutor> executor, ReplicaId, std::uint32_t rank) {
    ++plot->ranks_made;
    if (rank == 1) executor = std::make_unique<UnluckyRank>(std::move(executor), plot);
    return executor;
  };
  options.wrap_group = [plot](std::unique_ptr<Collective> member, ReplicaId, std::uint32_t rank) {
    ++plot->ranks_joined;
    if (rank == 1) member = std::make_unique<UnluckyMember>(std::move(member), plot);
    return member;
  };
  return options;
}

// Greedy and sampled ones, with log-probabilities.
step::Submission submission_of(std::uint64_t id) {
  step::Submission submission;
  for (TokenId i = 0; i < 30; ++i) submission.tokens.push_back((i * static_cast<TokenId>(id) + 3) % 200);
  submission.prompt_tokens = 30;
  submission.max_tokens = 24;
  submission.sampling.ignore_eos = true;
  submission.sampling.seed = id;
  submission.sampling.temperature = id % 2 == 0 ? 0.0F : 1.0F;
  submission.sampling.logprobs = 2;
  return submission;
}

struct Stream {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  step::FinishReason finish = step::FinishReason::kNone;
  std::string error;
  bool operator==(const Stream&) const = default;
};

// Six streams side by side; the mishap happens after a few tokens.
std::map<std::uint64_t, Stream> streams_of(Engine& engine, Plot& plot) {
  constexpr std::uint64_t kStreams = 6;
  DeltaQueue queue(engine.cluster().client(), 1024);
  for (std::uint64_t id = 1; id <= kStreams; ++id) queue.submit(RequestId(id), submission_of(id));
  std::map<std::uint64_t, Stream> streams;
  std::size_t tokens = 0;
  for (std::uint64_t ended = 0; ended < kStreams;) {
    const auto heard = queue.next(std::chrono::seconds(60));
    if (!heard) return {};
    Stream& stream = streams[heard->request.value];
    if (const step::TokenDelta* delta = heard->delta()) {
      if (delta->has_token) {
        stream.tokens.push_back(delta->token.token);
        stream.logprobs.push_back(delta->token.logprob);
        if (++tokens == 20) plot.chances = 7;
      }
      stream.finish = delta->finish;
    } else {
      stream.error = heard->end()->why.message();
      ++ended;
    }
  }
  return streams;
}

class OneOfTwoRanks : public testing::TestWithParam<Mishap> {};
INSTANTIATE_TEST_SUITE_P(Mishaps, OneOfTwoRanks,
                         testing::Values(Mishap::kFailsAStep, Mishap::kThrows, Mishap::kDiesInACollective,
                                         Mishap::kSkipsACollective, Mishap::kHangsInACollective),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(OneOfTwoRanks, CostsAPauseAndNoStream) {
  for (const char* path : {"tests/golden/configs/gqa4_llama3", "config/demo_model"}) {
    const auto calm = std::make_shared<Plot>();
    auto undisturbed = Engine::start(options_of(calm, path));
    ASSERT_TRUE(undisturbed.has_value()) << undisturbed.error().message();
    const auto wanted = streams_of(**undisturbed, *calm);
    ASSERT_EQ(wanted.size(), 6U);
    undisturbed->reset();

    const auto plot = std::make_shared<Plot>();
    plot->mishap = GetParam();
    auto engine = Engine::start(options_of(plot, path));
    ASSERT_TRUE(engine.has_value()) << engine.error().message();
    EXPECT_EQ(streams_of(**engine, *plot), wanted) << path;
    EXPECT_LT(plot->chances, 0) << "it has happened";
    EXPECT_GT((*engine)->cluster().client().status()->ledger.replayed, 0U);
    const bool dies = GetParam() == Mishap::kThrows || GetParam() == Mishap::kDiesInACollective;
    EXPECT_EQ(plot->ranks_made, dies ? 3 : 2) << "who lives keeps weights and memory";
    EXPECT_EQ(plot->ranks_joined, 4);
  }
}

}  // namespace
}  // namespace herd::actors
