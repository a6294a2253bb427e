// Two gateways on one ReplicaCore with toy ranks. One of them is restarted again and again: each life has an id of its own
// and counts its sequences from 1, and the news that the life before is gone may come long after. Every stream must be the
// toy's own, and nothing may reach another gateway or another life.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <span>

#include "cluster/replica/replica_core.h"
#include "tests/sim/toy_shard.h"

namespace herd::replica {
namespace {

using step::AttemptKey;
using step::FinishReason;

constexpr TokenId kVocab = 64;
constexpr std::uint32_t kModelLen = 96;
constexpr GatewayId kSteady{0xA};

struct Stream {
  step::Submission submission;
  std::vector<TokenId> tokens;  // received, those submitted as emitted included
  FinishReason finish = FinishReason::kNone;
};

// A gateway's life. Its numbers begin at 1.
struct Life {
  GatewayId id;
  std::uint64_t last_sequence = 0;
};

class TwoGateways {
 public:
  TwoGateways(std::uint64_t seed, std::uint32_t ranks) : random_(seed), core_(config_of(ranks)), to_ranks_(ranks) {
    sim::ToyConfig toy;
    toy.num_blocks = config_of(ranks).scheduler.num_blocks;
    toy.vocab_size = kVocab;
    for (std::uint32_t rank = 0; rank < ranks; ++rank) shards_.emplace_back(toy);
    for (std::uint32_t rank = 0; rank < ranks; ++rank) act([&] { core_.on_rank_joined(rank, {}, effects_); });
    EXPECT_TRUE(core_.serving());
  }

  void run(std::uint64_t operations) {
    while (submissions_ + aborts_ < operations && !testing::Test::HasFailure()) operate();
    EXPECT_GT(aborts_, operations / 20);
    EXPECT_GT(restarts_, operations / 100);
    EXPECT_GT(late_farewells_, 0U);
    drain();
  }

 private:
  static ReplicaCoreConfig config_of(std::uint32_t ranks) {
    ReplicaCoreConfig config;
    config.generation = {ReplicaId(0), Epoch(3)};
    config.scheduler.max_num_seqs = 8;
    config.scheduler.max_num_batched_tokens = 64;
    config.scheduler.max_model_len = kModelLen;
    config.scheduler.num_blocks = 12;  // too few for eight: they preempt each other
    config.scheduler.queue_requests_max = 24;
    config.scheduler.shared_prefix_min = 16;
    config.scheduler.vocab_size = kVocab;
    config.ranks = ranks;
    return config;
  }

  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
  bool one_in(std::uint32_t n) { return below(n) == 0; }

  void operate() {
    Life& life = one_in(2) ? steady_ : restarting_;
    const std::uint32_t choice = below(100);
    if (choice < 12) {
      submit(life);
    } else if (choice < 15) {
      submit_newer_attempt(life);
    } else if (choice < 19) {
      abort(life);
    } else if (choice < 20) {
      restart();
    } else if (choice < 21) {
      say_farewell();
    } else {
      execute(below(static_cast<std::uint32_t>(shards_.size())));
    }
  }

  void submit(Life& life) {
    step::Submission submission;
    submission.gateway = life.id;
    submission.sequence = SequenceId(++life.last_sequence);
    submission.prompt_tokens = 1 + below(60);
    // Two stems, so that gateways share prefixes in the cache.
    const std::uint32_t stem = below(2);
    const std::uint32_t shared = one_in(2) ? submission.prompt_tokens : below(submission.prompt_tokens);
    for (std::uint32_t i = 0; i < submission.prompt_tokens; ++i)
      submission.tokens.push_back(static_cast<TokenId>(i < shared ? (i * 7 + stem * 13) % kVocab : below(kVocab)));
    submission.max_tokens = 1 + below(36);
    submission.sampling.seed = random_();
    if (one_in(2)) submission.eos_ids = {static_cast<TokenId>(below(kVocab))};
    send(submission);
  }

  // As after a loss of trust in the older one: with some of the tokens that a healthy replica emits.
  void submit_newer_attempt(const Life& life) {
    const AttemptKey key = any_of(life);
    if (!streams_.contains(key)) return;
    step::Submission submission = streams_.at(key).submission;
    const auto stream = sim::toy_stream(submission, kModelLen, kVocab);
    submission.tokens.resize(submission.prompt_tokens);
    const std::size_t emitted = below(static_cast<std::uint32_t>(stream.tokens.size()));
    submission.tokens.insert(submission.tokens.end(), stream.tokens.begin(),
                             stream.tokens.begin() + static_cast<std::ptrdiff_t>(emitted));
    ++submission.attempt;
    if (streams_.contains(submission.key())) return;
    send(submission);
  }

  void send(const step::Submission& submission) {
    ++submissions_;
    Stream& stream = streams_[submission.key()];
    stream.submission = submission;
    stream.tokens.assign(submission.tokens.begin() + submission.prompt_tokens, submission.tokens.end());
    act([&] { core_.on_submission(submission, now_, effects_); });
  }

  // Of the life's last numbers, so that most are still open.
  AttemptKey any_of(const Life& life) {
    const std::uint64_t back = below(12);
    return {life.id, SequenceId(life.last_sequence > back ? life.last_sequence - back : 1), below(2)};
  }

  void abort(const Life& life) {
    ++aborts_;
    const AttemptKey key = any_of(life);
    const bool open = streams_.contains(key) && streams_.at(key).finish == FinishReason::kNone;
    act([&] { core_.on_abort(key, now_, effects_); });
    if (open) { EXPECT_EQ(streams_.at(key).finish, FinishReason::kAborted); }
  }

  void restart() {
    ++restarts_;
    dying_.push_back(restarting_.id);
    restarting_ = {GatewayId(restarting_.id.value + 1), 0};
    if (one_in(2)) say_farewell();
  }

  // Somebody noticed that the oldest dead life is gone.
  void say_farewell() {
    if (dying_.empty()) return;
    const GatewayId gone = dying_.front();
    dying_.pop_front();
    if (restarting_.last_sequence > 0) ++late_farewells_;
    gone_.push_back(gone);
    act([&] { core_.on_gateway_gone(gone, now_, effects_); });
    std::erase_if(streams_, [gone](const auto& stream) { return stream.first.gateway == gone; });
  }

  void execute(std::uint32_t rank) {
    if (to_ranks_[rank].empty()) return;
    step::StepResult result = shards_[rank].execute(to_ranks_[rank].front());
    to_ranks_[rank].pop_front();
    ASSERT_FALSE(shards_[rank].violation()) << *shards_[rank].violation();
    result.rank = rank;
    if (rank > 0) result.sampled.clear();
    act([&] { core_.on_result(std::move(result), now_, effects_); });
  }

  template <class Event>
  void act(Event&& event) {
    now_.ns += 1000;
    effects_.clear();
    event();
    core_.check_integrity();
    for (const ReplicaEffect& effect : effects_) {
      if (const auto* execute = std::get_if<ExecuteOnRanks>(&effect)) {
        for (auto& plans : to_ranks_) plans.push_back(execute->plan);
      } else if (const auto* send = std::get_if<SendDeltas>(&effect)) {
        for (const step::TokenDelta& delta : send->deltas) take(send->gateway, delta);
      } else {
        EXPECT_FALSE(std::holds_alternative<SayLost>(effect) || std::holds_alternative<AbortGroup>(effect));
      }
    }
  }

  void take(GatewayId to, const step::TokenDelta& delta) {
    EXPECT_EQ(delta.gateway, to);
    EXPECT_EQ(std::ranges::count(gone_, to), 0) << "a delta to a gateway that is gone";
    const auto found = streams_.find(delta.key());
    ASSERT_NE(found, streams_.end()) << "a delta of an attempt that nobody submitted";
    Stream& stream = found->second;
    ASSERT_EQ(stream.finish, FinishReason::kNone) << "a delta after the end";
    if (delta.has_token) {
      EXPECT_EQ(delta.token.sequence, delta.sequence);
      EXPECT_EQ(delta.token.output_index, stream.tokens.size());
      stream.tokens.push_back(delta.token.token);
    }
    stream.finish = delta.finish;
    if (delta.finish != FinishReason::kNone) check_end(stream, delta);
  }

  void check_end(const Stream& stream, const step::TokenDelta& delta) {
    const auto expected = sim::toy_stream(stream.submission, kModelLen, kVocab);
    ASSERT_LE(stream.tokens.size(), expected.tokens.size());
    EXPECT_TRUE(std::ranges::equal(stream.tokens, std::span(expected.tokens).first(stream.tokens.size())));
    if (delta.finish == FinishReason::kStop || delta.finish == FinishReason::kLength) {
      ++finished_;
      EXPECT_EQ(delta.finish, expected.finish);
      EXPECT_EQ(stream.tokens.size(), expected.tokens.size());
    } else if (delta.finish == FinishReason::kRefused) {
      EXPECT_EQ(delta.error.code(), StatusCode::kOverloaded) << delta.error.message();
    } else {
      EXPECT_EQ(delta.finish, FinishReason::kAborted);
    }
  }

  // Every stream of a gateway that lives ends; then nothing is left anywhere.
  void drain() {
    while (!dying_.empty()) say_farewell();
    for (std::uint64_t i = 0; i < 100'000 && std::ranges::any_of(to_ranks_, [](auto& plans) { return !plans.empty(); });
         ++i)
      execute(below(static_cast<std::uint32_t>(shards_.size())));
    for (const auto& [key, stream] : streams_)
      EXPECT_NE(stream.finish, FinishReason::kNone) << key.gateway.value << ' ' << key.sequence.value;
    EXPECT_GT(finished_, submissions_ / 10);
    const auto stats = core_.stats().scheduler;
    EXPECT_GT(stats.preemptions, 0U);
    EXPECT_EQ(stats.num_waiting + stats.num_running + stats.num_draining + stats.plans_outstanding, 0U);
    EXPECT_EQ(stats.blocks.num_held, 0U);
    for (const sim::ToyShard& shard : shards_) EXPECT_EQ(shard.num_sequences(), 0U);
  }

  std::mt19937_64 random_;
  ReplicaCore core_;
  ReplicaEffects effects_;
  Instant now_;
  std::vector<sim::ToyShard> shards_;
  std::vector<std::deque<step::StepPlan>> to_ranks_;
  Life steady_{kSteady, 0};
  Life restarting_{GatewayId(0x1000), 0};
  std::deque<GatewayId> dying_;  // restarted, and the replica does not know yet
  std::vector<GatewayId> gone_;
  std::map<AttemptKey, Stream> streams_;
  std::uint64_t submissions_ = 0;
  std::uint64_t aborts_ = 0;
  std::uint64_t restarts_ = 0;
  std::uint64_t late_farewells_ = 0;
  std::uint64_t finished_ = 0;
};

TEST(ReplicaCoreFuzz, TwoGatewaysAreNeverMixedUp) { TwoGateways(1, 1).run(10'000); }

TEST(ReplicaCoreFuzz, TwoGatewaysAreNeverMixedUpOnTwoRanks) { TwoGateways(2, 2).run(10'000); }

}  // namespace
}  // namespace herd::replica
