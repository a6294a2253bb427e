// KV blocks that move between replicas: ReplicaCores with toy ranks, which talk to each other through queues that a test can hold,
// drop or spoil. Whatever happens on the way, every stream is the toy's own, and in the end nothing is pinned or reserved.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <variant>
#include <vector>

#include "cluster/replica/replica_core.h"
#include "kernels/crc32c.h"
#include "tests/sim/toy_shard.h"

namespace herd::replica {
namespace {

constexpr TokenId kVocabulary = 64;
constexpr std::uint32_t kBlockSize = 16;
constexpr GatewayId kGateway{0xA};

std::vector<TokenId> prompt_of(std::size_t tokens, TokenId first = 0) {
  std::vector<TokenId> prompt;
  for (std::size_t i = 0; i < tokens; ++i) prompt.push_back(static_cast<TokenId>((static_cast<std::size_t>(first) + i * 7 + i / 5) % kVocabulary));
  return prompt;
}

class BlockMovesTest : public testing::Test {
 protected:
  struct Replica {
    std::unique_ptr<ReplicaCore> core;
    std::vector<sim::ToyShard> ranks;
    std::vector<std::deque<std::variant<step::StepPlan, SharedBlockBytes>>> to_ranks;
    bool alive = true;
  };
  struct Stream {
    step::Submission submission;
    std::vector<TokenId> tokens;
    step::FinishReason finish = step::FinishReason::kNone;
    std::uint32_t cached_tokens = 0;
  };

  static ReplicaCoreConfig config_of(std::uint32_t replica, std::uint32_t ranks) {
    ReplicaCoreConfig config;
    config.generation = {ReplicaId(replica), Epoch(replica + 10)};
    config.scheduler.max_num_seqs = 8;
    config.scheduler.max_num_batched_tokens = 64;
    config.scheduler.max_model_len = 400;
    config.scheduler.block_size = kBlockSize;
    config.scheduler.num_blocks = 60;
    config.scheduler.vocab_size = kVocabulary;
    config.ranks = ranks;
    model::LlamaConfig model;
    model.hidden_size = 64;
    model.layers = 2;
    model.heads = 8;
    model.kv_heads = 2;
    model.head_dim = 16;
    model.intermediate_size = 256;
    model.vocab_size = 160;
    config.cost.emplace(model, model::Encoding{}, 1, scheduler::DeviceRates{1e6, 1e9, 1e-4});  // slow: a token takes 0.1 s
    config.moves = {.enabled = true, .kind = {"numerics", "layout", ranks}, .block_bytes = 4096};
    return config;
  }

  void start(std::uint32_t replicas, std::uint32_t ranks = 1, const std::function<void(std::uint32_t, ReplicaCoreConfig&)>& change = {}) {
    sim::ToyConfig toy;
    toy.vocab_size = kVocabulary;
    for (std::uint32_t i = 0; i < replicas; ++i) {
      ReplicaCoreConfig config = config_of(i, ranks);
      if (change) change(i, config);
      toy.num_blocks = config.scheduler.num_blocks;
      Replica& replica = replicas_.emplace_back();
      replica.core = std::make_unique<ReplicaCore>(config);
      replica.to_ranks.resize(ranks);
      for (std::uint32_t rank = 0; rank < ranks; ++rank) replica.ranks.emplace_back(toy);
      for (std::uint32_t rank = 0; rank < ranks; ++rank) act(i, [&](auto& core, auto& effects) { core.on_rank_joined(rank, {}, effects); });
    }
  }

  // Of stream `number`, to that replica; `from` has so many of its tokens.
  void submit(std::uint64_t number, std::uint32_t to, const std::vector<TokenId>& prompt, std::uint32_t from = 0,
              std::uint32_t tokens = 0) {
    Stream& stream = streams_[number];
    step::Submission& submission = stream.submission;
    const bool again = !submission.tokens.empty();
    if (again) {
      ++submission.attempt;
      submission.tokens.insert(submission.tokens.end(), stream.tokens.begin() + (submission.tokens.size() - submission.prompt_tokens),
                               stream.tokens.end());
    } else {
      submission.gateway = kGateway;
      submission.sequence = SequenceId(number);
      submission.tokens = prompt;
      submission.prompt_tokens = static_cast<std::uint32_t>(prompt.size());
      submission.max_tokens = 20;
      submission.sampling.seed = number;
    }
    submission.source = {};
    if (tokens > 0) submission.source = {ReplicaId(from), Epoch(from + 10), "h:" + std::to_string(from), tokens};
    act(to, [&](auto& core, auto& effects) { core.on_submission(submission, now_, effects); });
  }

  template <class Ask>
  void act(std::uint32_t replica, Ask ask) {
    if (!replicas_[replica].alive) return;
    ReplicaEffects effects;
    ask(*replicas_[replica].core, effects);
    for (ReplicaEffect& effect : effects) std::visit([&](auto& what) { carry_out(replica, what); }, effect);
    if (replicas_[replica].alive) replicas_[replica].core->check_integrity();
  }

  void carry_out(std::uint32_t replica, ExecuteOnRanks& order) {
    for (auto& queue : replicas_[replica].to_ranks) queue.emplace_back(order.plan);
  }
  void carry_out(std::uint32_t replica, GiveBlock& order) { replicas_[replica].to_ranks.at(order.bytes->rank).emplace_back(order.bytes); }
  void carry_out(std::uint32_t, SendDeltas& order) {
    for (const step::TokenDelta& delta : order.deltas) {
      Stream& stream = streams_.at(delta.sequence.value);
      if (delta.attempt != stream.submission.attempt) continue;
      if (delta.has_token) stream.tokens.push_back(delta.token.token);
      if (delta.has_token) stream.cached_tokens = delta.cached_tokens;
      stream.finish = delta.finish;
    }
  }
  void carry_out(std::uint32_t replica, SendToHolder& order) {
    const std::uint32_t holder = order.to.generation.replica.value;
    ++asked_[order.message.index()];
    messages_.push_back([this, replica, holder, message = order.message] {
      if (!replicas_.at(holder).alive)
        return act(replica, [&](auto& core, auto& effects) { core.on_move(HolderGone{{ReplicaId(holder), Epoch(holder + 10)}}, now_, effects); });
      act(holder, [&](auto& core, auto& effects) { core.on_move(FromTaker{replica, message}, now_, effects); });
    });
  }
  void carry_out(std::uint32_t, SendToTaker& order) {
    if (spoil_) spoil_(order.message);
    const bool lost = lose_ && lose_(order.message);
    if (lost) return;
    messages_.push_back([this, taker = static_cast<std::uint32_t>(order.to), message = order.message] {
      act(taker, [&](auto& core, auto& effects) { core.on_move(FromHolder{message}, now_, effects); });
    });
  }
  void carry_out(std::uint32_t replica, EndGeneration&) { replicas_[replica].alive = false; }
  template <class Other>
  void carry_out(std::uint32_t, Other&) {}

  // A rank does what is next for it. False: nothing is.
  bool work(std::uint32_t replica, std::uint32_t rank) {
    Replica& of = replicas_[replica];
    auto& queue = of.to_ranks[rank];
    if (!of.alive || queue.empty()) return false;
    auto next = std::move(queue.front());
    queue.pop_front();
    if (const auto* bytes = std::get_if<SharedBlockBytes>(&next)) {
      of.ranks[rank].give(**bytes);
      return true;
    }
    step::StepResult result = of.ranks[rank].execute(std::get<step::StepPlan>(next));
    result.rank = rank;
    if (rank > 0) result.sampled.clear();
    EXPECT_FALSE(of.ranks[rank].violation()) << *of.ranks[rank].violation();
    for (step::BlockBytes& bytes : of.ranks[rank].take_blocks_read()) {
      bytes.rank = rank;
      if (stale_comes_first_) {
        step::BlockBytes stale = bytes;
        stale.bytes.front() ^= std::byte{1};
        stale.crc32c = crc32c(stale.bytes);
        act(replica, [&](auto& core, auto& effects) { core.on_block_read(Epoch(1), std::move(stale), now_, effects); });
      }
      act(replica, [&](auto& core, auto& effects) { core.on_block_read(Epoch(replica + 10), std::move(bytes), now_, effects); });
    }
    act(replica, [&](auto& core, auto& effects) { core.on_result(std::move(result), now_, effects); });
    return true;
  }

  // Until nothing is left to do: messages, ranks, and time where only that helps; in an order by chance.
  void run() {
    for (int idle = 0; idle < 200 && !testing::Test::HasFailure();) {
      std::vector<std::function<bool()>> choices;
      if (!messages_.empty()) {
        choices.push_back([this] {
          auto message = std::move(messages_.front());
          messages_.pop_front();
          message();
          return true;
        });
      }
      for (std::uint32_t i = 0; i < replicas_.size(); ++i)
        for (std::uint32_t rank = 0; rank < replicas_[i].to_ranks.size(); ++rank)
          if (replicas_[i].alive && !replicas_[i].to_ranks[rank].empty()) choices.push_back([this, i, rank] { return work(i, rank); });
      if (!choices.empty()) {
        now_ = seconds_after(now_, 1e-4);
        choices[random_() % choices.size()]();
        continue;
      }
      ++idle;
      now_ = seconds_after(now_, 0.1);
      for (std::uint32_t i = 0; i < replicas_.size(); ++i) act(i, [&](auto& core, auto& effects) { core.on_timer(now_, {}, effects); });
    }
  }

  void expect_right(std::uint64_t number) {
    const Stream& stream = streams_.at(number);
    step::Submission asked = stream.submission;
    asked.tokens.resize(asked.prompt_tokens);
    const sim::ToyStream right = sim::toy_stream(asked, 400, kVocabulary);
    EXPECT_EQ(stream.finish, right.finish) << number;
    EXPECT_EQ(stream.tokens, right.tokens) << number;
  }
  void expect_nothing_held() {
    for (const Replica& replica : replicas_) {
      if (!replica.alive) continue;
      const scheduler::SchedulerStats stats = replica.core->stats().scheduler;
      EXPECT_EQ(stats.blocks.num_held, 0U);
      EXPECT_EQ(replica.core->stats().moves.open, 0U);
    }
  }
  [[nodiscard]] MoveStats moves(std::uint32_t replica) const { return replicas_[replica].core->stats().moves; }

  std::vector<Replica> replicas_;
  std::map<std::uint64_t, Stream> streams_;
  std::deque<std::function<void()>> messages_;
  std::map<std::size_t, int> asked_;  // messages to holders, by kind
  std::function<void(ToTaker&)> spoil_;
  std::function<bool(const ToTaker&)> lose_;
  bool stale_comes_first_ = false;  // before each block that a rank has read, another one of that name that an earlier life has read
  std::mt19937_64 random_{1};
  Instant now_{1};
};

TEST_F(BlockMovesTest, APromptThatAnotherReplicaHasIsNotComputedAgain) {
  for (const std::uint32_t ranks : {1U, 2U}) {
    replicas_.clear();
    streams_.clear();
    start(2, ranks);
    submit(1, 0, prompt_of(200));
    run();
    submit(2, 1, prompt_of(200), 0, 192);
    run();
    for (const std::uint64_t stream : {1, 2}) expect_right(stream);
    EXPECT_EQ(streams_[2].cached_tokens, 192U);
    EXPECT_EQ(moves(1).blocks_in, 12U);
    EXPECT_EQ(moves(1).fetches, 1U);
    EXPECT_EQ(moves(1).blocks_recomputed, 0U);
    EXPECT_EQ(moves(0).blocks_out, 12U);
    EXPECT_EQ(moves(0).bytes_out, moves(1).bytes_in);
    EXPECT_GT(moves(1).token_s, 0.0);
    expect_nothing_held();
  }
}

// It has a sum of its own that fits it: nobody behind the holder could tell.
TEST_F(BlockMovesTest, WhatAnEarlierLifeHasReadIsNotGiven) {
  stale_comes_first_ = true;
  start(2);
  submit(1, 0, prompt_of(200));
  run();
  submit(2, 1, prompt_of(200), 0, 192);
  run();
  for (const std::uint64_t stream : {1, 2}) expect_right(stream);
  EXPECT_EQ(moves(1).blocks_in, 12U);
  EXPECT_EQ(moves(0).bytes_out, moves(1).bytes_in);
  EXPECT_EQ(replicas_[0].core->stats().stale_results, 12U);
  expect_nothing_held();
}

TEST_F(BlockMovesTest, WhatIsHereAlreadyIsNotAskedFor) {
  start(2);
  submit(1, 0, prompt_of(200));
  submit(2, 1, prompt_of(100));
  run();
  submit(3, 1, prompt_of(200), 0, 200);
  run();
  expect_right(3);
  EXPECT_EQ(moves(1).blocks_in, 6U) << "12 blocks, of which 6 are here";
  expect_nothing_held();
}

TEST_F(BlockMovesTest, SequencesWithOnePromptShareAMove) {
  start(2);
  submit(1, 0, prompt_of(200));
  run();
  for (std::uint64_t stream = 2; stream < 6; ++stream) submit(stream, 1, prompt_of(200), 0, 192);
  run();
  for (std::uint64_t stream = 1; stream < 6; ++stream) expect_right(stream);
  EXPECT_EQ(moves(1).fetches, 1U);
  expect_nothing_held();
}

// Ranks keep what they were given until a plan writes it.
TEST_F(BlockMovesTest, NoMoreIsGrantedThanRanksKeep) {
  start(2, 1, [](std::uint32_t, ReplicaCoreConfig& config) { config.moves.block_bytes = BlockFetches::kBytesUnwritten / 3; });
  for (const std::uint64_t stream : {1, 2}) submit(stream, 0, prompt_of(200, static_cast<int>(stream)));
  run();
  for (const std::uint64_t stream : {3, 4}) submit(stream, 1, prompt_of(200, static_cast<int>(stream - 2)), 0, 192);
  const auto deliver = [&] {  // and the holder's rank works, the taker's does not
    while (!messages_.empty() || !replicas_[0].to_ranks[0].empty()) {
      if (work(0, 0)) continue;
      auto message = std::move(messages_.front());
      messages_.pop_front();
      message();
    }
  };
  deliver();
  const auto given = std::ranges::count_if(replicas_[1].to_ranks[0], [](const auto& what) { return std::holds_alternative<SharedBlockBytes>(what); });
  EXPECT_EQ(given, 3);
  now_ = seconds_after(now_, 1.5 * BlockFetches::kSilenceSeconds);
  act(1, [&](auto& core, auto& effects) { core.on_timer(now_, {}, effects); });
  EXPECT_EQ(moves(1).open, 2U) << "the holder is not silent: nothing is to come from it";
  run();
  for (const std::uint64_t stream : {3, 4}) expect_right(stream);
  EXPECT_EQ(moves(1).blocks_in, 24U);
  expect_nothing_held();
}

TEST_F(BlockMovesTest, WhatItIsNotWorthIsComputed) {
  start(2, 1, [](std::uint32_t, ReplicaCoreConfig& config) { config.moves.block_bytes = 4ULL << 30; });
  submit(1, 0, prompt_of(200));
  run();
  submit(2, 1, prompt_of(200), 0, 192);  // 16 s a block
  submit(3, 1, prompt_of(60, 9), 0, 48);  // too few
  run();
  for (const std::uint64_t stream : {1, 2, 3}) expect_right(stream);
  EXPECT_EQ(moves(1).fetches, 0U);
}

TEST_F(BlockMovesTest, ADamagedBlockIsComputedAndWhatWasBeforeItIsKept) {
  start(2);
  submit(1, 0, prompt_of(200));
  run();
  spoil_ = [](ToTaker& message) {
    auto* bytes = std::get_if<SharedBlockBytes>(&message);
    if (bytes == nullptr || (*bytes)->index != 5) return;
    auto spoilt = std::make_shared<step::BlockBytes>(**bytes);
    spoilt->bytes[spoilt->bytes.size() / 2] ^= std::byte{1};
    *bytes = std::move(spoilt);
  };
  submit(2, 1, prompt_of(200), 0, 192);
  run();
  expect_right(2);
  EXPECT_EQ(moves(1).blocks_damaged, 1U);
  EXPECT_EQ(moves(1).blocks_recomputed, 7U);
  EXPECT_EQ(moves(1).blocks_in, 5U);
  EXPECT_EQ(streams_[2].cached_tokens, 80U);
  expect_nothing_held();
}

TEST_F(BlockMovesTest, BlocksOfAnotherKindAreRefused) {
  for (const int what : {0, 1, 2}) {
    replicas_.clear();
    streams_.clear();
    start(2, 1, [&](std::uint32_t replica, ReplicaCoreConfig& config) {
      if (replica == 0 && what == 0) config.moves.kind.layout = "another";
      if (replica == 0 && what == 1) config.moves.kind.numerics = "another";
      if (replica == 0 && what == 2) config.moves.enabled = false;
    });
    submit(1, 0, prompt_of(200));
    run();
    submit(2, 1, prompt_of(200), 0, 192);
    run();
    expect_right(2);
    EXPECT_EQ(moves(1).fetches_failed, 1U) << what;
    EXPECT_EQ(moves(1).blocks_in, 0U);
    EXPECT_EQ(moves(0).blocks_out, 0U);
    expect_nothing_held();
  }
}

TEST_F(BlockMovesTest, WhatTheHolderDoesNotHaveAnyMoreIsComputed) {
  start(2);
  submit(1, 0, prompt_of(100));
  run();
  submit(2, 1, prompt_of(200), 0, 192);  // it has 6 blocks of it
  submit(3, 1, prompt_of(200, 5), 0, 192);  // and nothing of this
  run();
  for (const std::uint64_t stream : {1, 2, 3}) expect_right(stream);
  EXPECT_EQ(moves(1).blocks_in, 6U);
  expect_nothing_held();
}

TEST_F(BlockMovesTest, AHolderThatDiesOrIsSilentIsNotWaitedFor) {
  for (const bool dies : {true, false}) {
    replicas_.clear();
    streams_.clear();
    start(2);
    submit(1, 0, prompt_of(300));
    run();
    int blocks = 0;
    lose_ = [&](const ToTaker& message) {
      if (!std::holds_alternative<SharedBlockBytes>(message) || ++blocks < 4) return false;
      if (dies && blocks == 4) {
        replicas_[0].alive = false;
        messages_.push_back([this] {
          act(1, [&](auto& core, auto& effects) { core.on_move(HolderGone{{ReplicaId(0), Epoch(10)}}, now_, effects); });
        });
      }
      return true;
    };
    submit(2, 1, prompt_of(300), 0, 288);
    run();
    expect_right(2);
    EXPECT_LE(moves(1).blocks_in, 3U);
    EXPECT_EQ(moves(1).blocks_in + moves(1).blocks_recomputed, 18U);
    EXPECT_EQ(moves(1).fetches_failed, 1U);
    expect_nothing_held();
    if (!dies) {
      EXPECT_EQ(moves(0).open, 0U);
    }
    lose_ = nullptr;
  }
}

TEST_F(BlockMovesTest, ATakerThatIsSilentLosesItsLease) {
  start(2);
  submit(1, 0, prompt_of(200));
  run();
  const auto found = kv::hash_blocks(prompt_of(200), kBlockSize, 0);
  act(0, [&](auto& core, auto& effects) {
    core.on_move(FromTaker{1, MoveAsk{TransferId(99), {"numerics", "layout", 1}, 0, 0, found}}, now_, effects);
  });
  EXPECT_GT(replicas_[0].core->stats().scheduler.blocks.num_held, 0U);
  run();
  EXPECT_EQ(moves(0).leases_expired, 1U);
  expect_nothing_held();
}

TEST_F(BlockMovesTest, WhoGoesAwayWhileItWaitsLeavesNothingBehind) {
  start(2);
  submit(1, 0, prompt_of(200));
  run();
  submit(2, 1, prompt_of(200), 0, 192);
  act(1, [&](auto& core, auto& effects) { core.on_abort(streams_[2].submission.key(), now_, effects); });
  EXPECT_EQ(streams_[2].finish, step::FinishReason::kAborted);
  run();
  submit(3, 1, prompt_of(200), 0, 192);
  act(1, [&](auto& core, auto& effects) { core.on_gateway_gone(kGateway, now_, effects); });
  run();
  EXPECT_EQ(replicas_[1].core->stats().scheduler.num_waiting, 0U);
  submit(4, 1, prompt_of(200), 0, 192);
  run();
  expect_right(4);
  expect_nothing_held();
}

TEST_F(BlockMovesTest, OneThatDrainsStaysUntilWhatLeftHasItsBlocks) {
  for (const bool gateway_hears_first : {false, true}) {  // of the drain
    replicas_.clear();
    streams_.clear();
    start(2);
    submit(1, 0, prompt_of(200));
    for (int i = 0; i < 12; ++i) (void)work(0, 0);  // it has emitted something
    ASSERT_GT(streams_[1].tokens.size(), 2U);
    const step::AttemptKey before = streams_[1].submission.key();
    const auto drain = [&] { act(0, [&](auto& core, auto& effects) { core.on_drain(30, now_, effects); }); };
    if (!gateway_hears_first) drain();
    submit(1, 1, {}, 0, 192);
    act(0, [&](auto& core, auto& effects) { core.on_abort(before, now_, effects); });
    if (gateway_hears_first) drain();
    EXPECT_TRUE(replicas_[0].alive);
    run();
    expect_right(1);
    EXPECT_EQ(moves(1).blocks_in, 12U);
    EXPECT_FALSE(replicas_[0].alive) << "nobody comes for more";
    expect_nothing_held();
  }
}

TEST_F(BlockMovesTest, WhoWaitsForBlocksIsInTheQueue) {
  for (const bool full : {false, true}) {
    replicas_.clear();
    streams_.clear();
    start(2, 1, [&](std::uint32_t, ReplicaCoreConfig& config) { config.scheduler.queue_requests_max = full ? 3 : 4; });
    submit(1, 0, prompt_of(200));
    run();
    for (std::uint64_t stream = 2; stream < 6; ++stream) submit(stream, 1, prompt_of(200), 0, 192);
    EXPECT_EQ(replicas_[1].core->stats().scheduler.num_waiting, full ? 3U : 4U);
    EXPECT_EQ(streams_[5].finish, full ? step::FinishReason::kRefused : step::FinishReason::kNone);
    run();
    for (std::uint64_t stream = 1; stream < (full ? 5U : 6U); ++stream) expect_right(stream);
    submit(6, 1, prompt_of(401), 0, 192);  // too long for it
    EXPECT_EQ(streams_[6].finish, step::FinishReason::kRefused);
    expect_nothing_held();
  }
}

TEST_F(BlockMovesTest, OneThatStopsStillLooksAfterItsSteps) {
  start(1);
  submit(1, 0, prompt_of(200));
  act(0, [&](auto& core, auto& effects) { core.on_stop(now_, effects); });
  for (int i = 0; i < 3; ++i) {  // check_integrity() says whether somebody looks
    now_ = seconds_after(now_, 1);
    act(0, [&](auto& core, auto& effects) { core.on_timer(now_, {}, effects); });
  }
  EXPECT_TRUE(replicas_[0].alive);
  run();
  EXPECT_FALSE(replicas_[0].alive);
}

TEST_F(BlockMovesTest, MessagesOfMovesThatAreOverChangeNothing) {
  start(2);
  submit(1, 1, prompt_of(40));
  for (const ToTaker& message : std::initializer_list<ToTaker>{
           MoveFound{TransferId(1), {}, prompt_of(160)}, MoveOver{TransferId(1), {StatusCode::kAborted, "over"}},
           std::make_shared<const step::BlockBytes>(step::BlockBytes{TransferId(1), 0, 0, 0, {std::byte{1}}})})
    act(1, [&](auto& core, auto& effects) { core.on_move(FromHolder{message}, now_, effects); });
  for (const ToHolder& message : std::initializer_list<ToHolder>{MoveGrant{TransferId(1), 5}, MoveStop{TransferId(1)}})
    act(1, [&](auto& core, auto& effects) { core.on_move(FromTaker{0, message}, now_, effects); });
  act(1, [&](auto& core, auto& effects) { core.on_move(TakerGone{7}, now_, effects); });
  run();
  expect_right(1);
  expect_nothing_held();
}

// Three replicas that take from each other all the time, with little room, blocks that are spoilt or lost, aborts.
TEST_F(BlockMovesTest, AnyOrderAndAnyLossLeaveTheStreamsAsTheyAre) {
  for (std::uint64_t seed = 1; seed <= 40 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    replicas_.clear();
    streams_.clear();
    random_.seed(seed);
    const std::uint32_t ranks = seed % 3 == 0 ? 2 : 1;
    start(3, ranks, [](std::uint32_t, ReplicaCoreConfig& config) { config.scheduler.num_blocks = 40; });
    spoil_ = [&](ToTaker& message) {
      auto* bytes = std::get_if<SharedBlockBytes>(&message);
      if (bytes == nullptr || random_() % 40 != 0) return;
      auto spoilt = std::make_shared<step::BlockBytes>(**bytes);
      if (random_() % 3 == 0) {
        spoilt->bytes.pop_back();
      } else {
        spoilt->bytes[random_() % spoilt->bytes.size()] ^= std::byte{4};
      }
      *bytes = std::move(spoilt);
    };
    lose_ = [&](const ToTaker&) { return random_() % 60 == 0; };
    std::uint64_t number = 0;
    std::vector<std::uint64_t> aborted;
    for (int round = 0; round < 12; ++round) {
      for (int i = 0; i < 4; ++i) {
        const auto to = static_cast<std::uint32_t>(random_() % 3);
        const auto from = static_cast<std::uint32_t>((to + 1 + random_() % 2) % 3);
        const std::size_t tokens = 40 + random_() % 200;
        submit(++number, to, prompt_of(tokens, static_cast<TokenId>(random_() % 3)), from, static_cast<std::uint32_t>(tokens));
        if (random_() % 8 != 0) continue;
        act(to, [&](auto& core, auto& effects) { core.on_abort(streams_[number].submission.key(), now_, effects); });
        if (streams_[number].finish == step::FinishReason::kAborted) aborted.push_back(number);
      }
      const std::uint64_t some = random_() % 120;
      for (std::uint64_t i = 0; i < some; ++i) {
        (void)work(static_cast<std::uint32_t>(random_() % 3), static_cast<std::uint32_t>(random_() % ranks));
        if (messages_.empty() || random_() % 2 == 0) continue;
        auto message = std::move(messages_.front());
        messages_.pop_front();
        message();
      }
    }
    run();
    for (const auto& [stream, it] : streams_)
      if (std::ranges::count(aborted, stream) == 0) expect_right(stream);
    expect_nothing_held();
  }
}

}  // namespace
}  // namespace herd::replica
