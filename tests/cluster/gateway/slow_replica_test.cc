// A replica that is far slower than another one: what runs there moves, and it is tried again later.

#include <gtest/gtest.h>

#include <map>

#include "tests/cluster/gateway/gateway_harness.h"

namespace herd::gateway {
namespace {

using routing::ReplicaState;

constexpr auto kSlow = generation(0), kFast = generation(1);

struct SlowReplica : testing::Test, Gateway {
  std::map<std::size_t, std::uint32_t> tokens;  // that each run has given

  GatewayRequest long_request(std::uint64_t id) {
    GatewayRequest asked = request(id);
    asked.credit = 1'000'000;
    return asked;
  }
  // For so long: each run that has neither been stopped nor superseded gives a token every so many hundredths of a second.
  void run(double for_s, int slow_every, int fast_every = 1) {
    for (int tick = 0; tick < static_cast<int>(for_s * 100); ++tick) {
      now = {now.ns + 10'000'000};
      const auto before = runs();
      for (std::size_t i = 0; i < before.size(); ++i) {
        if (is_over(before[i])) continue;
        if (tick % (before[i].to.generation == kSlow ? slow_every : fast_every) != 0) continue;
        const std::uint32_t first = before[i].submission.tokens.size() - 3;
        answer(i, token(i, first + tokens[i]++));
      }
      std::erase_if(effects, [](const GatewayEffect& effect) { return std::holds_alternative<Deliver>(effect); });
    }
  }
  [[nodiscard]] bool is_over(const RunOn& run) const {
    return std::ranges::any_of(runs(), [&](const RunOn& other) {
      return other.submission.sequence == run.submission.sequence && other.submission.attempt > run.submission.attempt;
    });
  }
  [[nodiscard]] std::size_t running_on(routing::ReplicaGeneration where) const {
    return std::ranges::count_if(runs(), [&](const RunOn& run) { return run.to.generation == where && !is_over(run); });
  }
};

TEST_F(SlowReplica, WhatRunsThereMoves) {
  view({replica(0), replica(1)});
  for (std::uint64_t id = 1; id <= 6; ++id) ask(long_request(id));
  ASSERT_EQ(running_on(kSlow), 3U);
  run(1.4, 10);
  EXPECT_EQ(running_on(kSlow), 3U) << "a short while is no measure";
  EXPECT_EQ(core.replica_ejections(), 0U);
  run(1.6, 10);
  EXPECT_EQ(running_on(kSlow), 0U);
  EXPECT_EQ(running_on(kFast), 6U);
  EXPECT_EQ(stops().size(), 3U) << "what ended there is stopped there";
  EXPECT_EQ(core.replica_ejections(), 1U);
  EXPECT_EQ(core.ledger().moves, 3U);
  EXPECT_EQ(core.ledger().losses, 0U);
  ask(long_request(7));
  EXPECT_EQ(running_on(kSlow), 0U) << "it rests";
}

TEST_F(SlowReplica, AfterItsRestOneSequenceTriesItAtATime) {
  view({replica(0), replica(1)});
  for (std::uint64_t id = 1; id <= 2; ++id) ask(long_request(id));
  run(3, 10);
  ASSERT_EQ(core.replica_ejections(), 1U);
  run(5, 10);
  for (std::uint64_t id = 3; id <= 5; ++id) ask(long_request(id));
  EXPECT_EQ(running_on(kSlow), 1U);
  run(3, 10);
  EXPECT_EQ(running_on(kSlow), 0U) << "it is still slow";
  EXPECT_EQ(core.replica_ejections(), 2U);
  run(10, 1);
  ask(long_request(6));
  EXPECT_EQ(running_on(kSlow), 1U);
  run(3, 1);
  for (std::uint64_t id = 7; id <= 10; ++id) ask(long_request(id));
  EXPECT_GT(running_on(kSlow), 2U) << "it is as fast as the other one";
  EXPECT_EQ(core.replica_ejections(), 2U);
}

TEST_F(SlowReplica, WhereNobodyElseHasRoomItStays) {
  view({replica(0, 1, ReplicaState::kServing, 8), replica(1, 1, ReplicaState::kServing, 1)});
  for (std::uint64_t id = 1; id <= 4; ++id) ask(long_request(id));
  ASSERT_EQ(running_on(kFast), 1U);
  run(4, 10);
  EXPECT_EQ(core.replica_ejections(), 0U) << "three sequences in ten times the time of one: it has more to do";
  run(4, 40);
  EXPECT_EQ(core.replica_ejections(), 1U);
  EXPECT_EQ(running_on(kSlow), 3U);
  ask(long_request(5));
  EXPECT_EQ(running_on(kSlow), 4U) << "it is better than none";
  const auto all = runs();
  const auto fast = std::ranges::find(all, kFast, [](const RunOn& run) { return run.to.generation; }) - all.begin();
  answer(fast, token(fast, tokens[fast]++, step::FinishReason::kStop));
  EXPECT_EQ(stops().size(), 1U) << "as soon as there is room, one moves";
  EXPECT_EQ(running_on(kSlow), 3U);
}

TEST_F(SlowReplica, AnotherKindOfDeviceIsNoMeasure) {
  auto gpu = replica(1);
  gpu.route.numerics = "gpu-1";
  view({replica(0), gpu});
  for (std::uint64_t id = 1; id <= 4; ++id) ask(long_request(id));
  ASSERT_EQ(running_on(kSlow), 2U);
  run(4, 20);
  EXPECT_EQ(core.replica_ejections(), 0U);
  EXPECT_EQ(running_on(kSlow), 2U);
}

TEST_F(SlowReplica, ItServesAloneWhenTheOtherIsLost) {
  view({replica(0), replica(1)});
  for (std::uint64_t id = 1; id <= 4; ++id) ask(long_request(id));
  run(3, 10);
  ASSERT_EQ(running_on(kFast), 4U);
  lose(kFast, routing::LossCause::kKilled);
  EXPECT_EQ(running_on(kSlow), 4U);
  ask(long_request(5));
  EXPECT_EQ(running_on(kSlow), 5U);
}

}  // namespace
}  // namespace herd::gateway
