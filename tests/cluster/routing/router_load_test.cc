// Which replica a sequence goes to by what replicas say of their work, and by the prompts that went there.

#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <vector>

#include "cluster/routing/router.h"
#include "tests/cluster/routing/generations.h"

namespace herd::routing {
namespace {

constexpr std::uint64_t kPrompt = 1000;

// 10 ms a step, 1 ms a prompt token.
ReplicaLoad load(std::uint32_t running = 0, std::uint32_t waiting = 0, std::uint64_t waiting_tokens = 0, double times_slower = 1) {
  return {running, waiting, waiting_tokens, 0.010 * times_slower, 0.001 * times_slower};
}

struct RouterLoadTest : testing::Test {
  ~RouterLoadTest() override { router.check_integrity(); }
  void view(std::uint32_t replicas, std::uint64_t epoch_of_first = 1) {
    ClusterView view{.cluster_epoch = Epoch(1), .number = ++number, .replicas = {}};
    for (std::uint32_t i = 0; i < replicas; ++i)
      view.replicas.push_back({.route = {generation(i, i == 0 ? epoch_of_first : 1), "h:1", "n"},
                               .state = ReplicaState::kServing,
                               .returns = true,
                               .sequences_max = 1000});
    ASSERT_TRUE(router.on_view(view));
  }
  // Where it went.
  std::uint32_t send(std::uint64_t tokens = kPrompt, std::span<const kv::BlockHash> prefix = {}) {
    const RouteQuestion question{.tokens = tokens, .prefix = prefix};
    const auto route = router.pick(question, kNow);
    EXPECT_TRUE(route);
    router.on_sent(route->generation, question);
    return route->generation.replica.value;
  }
  static std::vector<kv::BlockHash> prompt(TokenId first, std::size_t tokens = kPrompt) {
    std::vector<TokenId> all(tokens);
    std::iota(all.begin(), all.end(), first);
    return PrefixMemory::beginnings_of(all, 0);
  }
  Router router;
  std::uint64_t number = 0;
};

TEST_F(RouterLoadTest, WhatOtherGatewaysSentThereCounts) {
  view(2);
  router.on_load(generation(0), {.running = 3, .waiting = 2});
  router.on_load(generation(1), {.running = 1, .waiting = 0});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(send(), 1U) << i;
  EXPECT_EQ(send(), 0U) << "now both have five";
}

TEST_F(RouterLoadTest, WhatEndedSinceTheReportIsNotThereAnyMore) {
  view(2);
  EXPECT_EQ(send(), 0U);
  EXPECT_EQ(send(), 1U);
  router.on_load(generation(0), {.running = 3});
  router.on_load(generation(1), {.running = 2});
  router.on_ended(generation(0), false);
  router.on_ended(generation(1), false);
  EXPECT_EQ(send(), 1U);  // 2 against 1
  EXPECT_EQ(send(), 0U);
}

TEST_F(RouterLoadTest, WhatAReplicaSaidBeforeItsLinkWasCutIsForgotten) {
  view(2);
  router.on_load(generation(0), load());
  router.on_load(generation(1), load(8, 1, 5000, 4));
  EXPECT_EQ(send(), 0U);
  router.on_link_lost(generation(1), kNow);
  router.on_link_open(generation(1));
  EXPECT_EQ(send(), 1U) << "it has fewer sequences, and its work from before is gone";
}

TEST_F(RouterLoadTest, QueuedPromptsAreWaitedForAtTheMeasuredRate) {
  view(2);
  router.on_load(generation(0), load(4, 1, 5000));  // 5 s of prompts
  router.on_load(generation(1), load(8));
  EXPECT_EQ(send(), 1U) << "though more sequences run there";
}

TEST_F(RouterLoadTest, PromptsThatWereSentSinceTheReportCount) {
  view(2);
  router.on_load(generation(0), load());
  router.on_load(generation(1), load());
  EXPECT_EQ(send(100'000), 0U);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(send(100), 1U) << i;
  router.on_load(generation(0), load(1, 0, 0));  // that prompt is computed
  EXPECT_EQ(send(100), 0U);
}

TEST_F(RouterLoadTest, ASlowReplicaGetsItsShare) {
  view(2);
  router.on_load(generation(0), load(0, 0, 0, 4));
  router.on_load(generation(1), load());
  std::vector<int> sent(2);
  for (int i = 0; i < 100; ++i) ++sent[send(100)];
  EXPECT_GT(sent[0], 5) << "it helps";
  EXPECT_LT(sent[0], 35) << "a quarter of the speed";
}

TEST_F(RouterLoadTest, AboutAsFastOnesTakeTurns) {
  view(2);
  router.on_load(generation(0), load(0, 0, 0, 1.02));
  router.on_load(generation(1), load());
  std::vector<int> sent(2);
  for (int i = 0; i < 20; ++i) ++sent[send(10)];
  EXPECT_EQ(sent[0], 10);
}

TEST_F(RouterLoadTest, NumbersDecideAsLongAsOneHasNotSaidHowFastItIs) {
  view(2);
  router.on_load(generation(0), load(0, 0, 0, 100));
  EXPECT_EQ(send(), 0U);
  EXPECT_EQ(send(), 1U);
  EXPECT_EQ(send(), 0U);
}

TEST_F(RouterLoadTest, APromptGoesWhereItsBeginningIs) {
  for (const bool measured : {false, true}) {
    router = Router();
    number = 0;
    view(3);
    for (std::uint32_t i = 0; measured && i < 3; ++i) router.on_load(generation(i), load());
    const std::uint32_t first = send(kPrompt, prompt(0));
    EXPECT_NE(send(kPrompt, prompt(5000)), first);
    router.on_load(generation(first), measured ? load(1) : ReplicaLoad{.running = 1});
    EXPECT_EQ(send(kPrompt + 500, prompt(0, kPrompt + 500)), first) << "the conversation goes on";
    EXPECT_NE(send(kPrompt, prompt(9000)), first) << "another one does not";
  }
}

TEST_F(RouterLoadTest, ABeginningIsNoReasonToWaitLong) {
  view(2);
  router.on_load(generation(0), load());
  router.on_load(generation(1), load());
  const std::uint32_t first = send(kPrompt, prompt(0));
  router.on_load(generation(first), load(4, 4, 50'000));
  EXPECT_NE(send(kPrompt, prompt(0)), first);
  view(2);
  Router fresh;  // nobody has said how fast it is: four sequences more are the limit
  router = fresh;
  number = 0;
  view(2);
  std::vector<int> sent(2);
  for (int i = 0; i < 40; ++i) ++sent[send(kPrompt, prompt(0))];
  EXPECT_GT(sent[0], 12);
  EXPECT_GT(sent[1], 12);
}

TEST_F(RouterLoadTest, ANewGenerationHoldsNothing) {
  view(2);
  EXPECT_EQ(send(kPrompt, prompt(0)), 0U);
  router.on_lost(generation(0, 1));
  view(2, 2);
  EXPECT_EQ(send(10), 1U);
  EXPECT_EQ(send(10), 0U);
  EXPECT_EQ(send(kPrompt, prompt(0)), 1U) << "in turn, not where the beginning was";
}

TEST_F(RouterLoadTest, AnOpenLinkEndsTheRestWithoutANewerView) {
  view(1);
  router.on_link_lost(generation(0), Instant{9000});
  EXPECT_FALSE(router.pick({}, kNow));
  router.on_link_open(generation(0, 7));
  EXPECT_FALSE(router.pick({}, kNow)) << "another generation's link";
  router.on_link_open(generation(0));
  EXPECT_TRUE(router.pick({}, kNow));
  router.on_link_open(generation(5));
}

}  // namespace
}  // namespace herd::routing
