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
  std::uint32_t send(std::uint64_t tokens = kPrompt, const PromptPrefix& prefix = {}) {
    const RouteQuestion question{.tokens = tokens, .prefix = &prefix};
    const auto to = router.pick(question, now);
    EXPECT_TRUE(to);
    router.on_sent(to->route.generation, question, to->held, now);
    return to->route.generation.replica.value;
  }
  // Where blocks would come from if it went to that one of three, as the others have no room.
  std::optional<step::KvSource> source(std::uint32_t to, const RouteQuestion& question) const {
    Router others_full = router;
    for (std::uint32_t i = 0; i < 3; ++i)
      if (i != to) others_full.on_refused(generation(i), seconds_after(now, 1));
    const auto destination = others_full.pick(question, now);
    EXPECT_TRUE(destination);
    EXPECT_EQ(destination->route.generation, generation(to));
    return destination->source;
  }
  static PromptPrefix prompt(TokenId first, std::size_t tokens = kPrompt) {
    std::vector<TokenId> all(tokens);
    std::iota(all.begin(), all.end(), first);
    return PromptPrefix::of(all, 0, 16);
  }
  // Its cache tells that it holds the first `blocks` blocks of the prompt, and nothing else.
  void holds(std::uint32_t replica, const PromptPrefix& prompt, std::size_t blocks) {
    const kv::BlockNews all{kv::BlockNews::Kind::kAll, 0, 16, 1000,
                            {prompt.keys.begin(), prompt.keys.begin() + static_cast<std::ptrdiff_t>(blocks)}, {}};
    ASSERT_TRUE(router.on_news(generation(replica), all));
  }
  Router router;
  Instant now = kNow;
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

TEST_F(RouterLoadTest, LoadsOfThoseThatServeAreKnownWithWhatWasSentThere) {
  const auto first_tokens = [this] {
    std::vector<double> seconds;
    router.for_each_load([&](const LoadEstimate& load) { seconds.push_back(load.first_token_seconds_of(100)); });
    return seconds;
  };
  view(2);
  router.on_load(generation(0), load(4, 1, 5000));
  router.on_load(generation(1), load(8));
  EXPECT_EQ(first_tokens(), (std::vector{5.11, 0.11}));
  ASSERT_EQ(send(400), 1U);
  EXPECT_EQ(first_tokens(), (std::vector{5.11, 0.51}));
  router.on_ended(generation(1), false);
  router.on_lost(generation(1));
  EXPECT_EQ(first_tokens(), std::vector{5.11});
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
    for (std::uint32_t i = 0; i < 3; ++i) holds(i, {}, 0);
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

TEST_F(RouterLoadTest, APromptGoesWhereMostOfItIsCached) {
  view(3);
  const PromptPrefix asked = prompt(0);
  for (std::uint32_t i = 0; i < 3; ++i) router.on_load(generation(i), load());
  holds(0, asked, 10);
  holds(1, asked, 50);
  holds(2, asked, 20);
  EXPECT_EQ(send(kPrompt, asked), 1U);
  EXPECT_EQ(router.stats().held_tokens, 800U);
  EXPECT_EQ(router.stats().prompt_tokens, kPrompt);
  holds(1, asked, 0);  // it was evicted there; what was sent is expected to be cached soon
  EXPECT_EQ(send(kPrompt, asked), 1U);
  router.on_load(generation(1), load());
  now = seconds_after(now, 61);  // nothing came of it
  EXPECT_EQ(send(kPrompt, asked), 2U);
}

TEST_F(RouterLoadTest, ACachedBeginningIsWorthTheTimeThatItSaves) {
  view(2);
  const PromptPrefix asked = prompt(0);
  router.on_load(generation(0), load(8, 0, 500));  // half a second of other prompts
  router.on_load(generation(1), load());
  holds(0, asked, 60);  // 960 tokens: 0.96 s
  holds(1, asked, 0);
  EXPECT_EQ(send(kPrompt, asked), 0U);
  router.on_load(generation(0), load(8, 1, 5000));
  router.on_load(generation(1), load());
  EXPECT_EQ(send(kPrompt, asked), 1U) << "five seconds of other prompts";
}

TEST_F(RouterLoadTest, WhoWasSentItLastIsAskedAmongThoseThatHoldTheSame) {
  view(3);
  const PromptPrefix asked = prompt(0);
  for (std::uint32_t i = 0; i < 3; ++i) {
    router.on_load(generation(i), load());
    holds(i, asked, 62);
  }
  const std::uint32_t first = send(kPrompt, asked);
  for (int i = 0; i < 3; ++i) {
    router.on_ended(generation(first), false);
    router.on_load(generation(first), load());
    EXPECT_EQ(send(kPrompt, asked), first) << i;
  }
}

TEST_F(RouterLoadTest, BlocksMayComeFromWhoHasMoreOfThePrompt) {
  view(3);
  const PromptPrefix asked = prompt(0);
  holds(0, asked, 50);
  holds(1, asked, 48);
  holds(2, asked, 10);
  const RouteQuestion question{.tokens = kPrompt, .prefix = &asked};
  EXPECT_EQ(source(2, question), (step::KvSource{ReplicaId(0), Epoch(1), "h:1", 800}));
  EXPECT_FALSE(source(0, question)) << "it has most itself";
  EXPECT_FALSE(source(1, question)) << "32 tokens more are not worth asking";
  EXPECT_TRUE(router.on_draining(generation(0)));
  EXPECT_EQ(source(2, question)->replica, ReplicaId(0)) << "it gives while it drains";
  router.on_link_lost(generation(0), seconds_after(now, 1));
  EXPECT_EQ(source(2, question)->replica, ReplicaId(1)) << "who cannot be reached from here cannot from there";
  router.on_lost(generation(1));
  EXPECT_FALSE(source(2, question));
  EXPECT_FALSE(source(2, {.tokens = kPrompt}));
}

TEST_F(RouterLoadTest, BlocksOfOtherNumericsAreNoUse) {
  view(2);
  ClusterView other = router.view();
  other.number = ++number;
  other.replicas[0].route.numerics = "m";
  ASSERT_TRUE(router.on_view(other));
  const PromptPrefix asked = prompt(0);
  holds(0, asked, 60);
  holds(1, asked, 0);
  EXPECT_FALSE(source(1, {.tokens = kPrompt, .prefix = &asked}));
}

TEST_F(RouterLoadTest, WhatMovesSoonMakesAnotherReplicaWorthIt) {
  view(2);
  const PromptPrefix asked = prompt(0);
  holds(0, asked, 60);
  holds(1, asked, 0);
  ReplicaLoad busy = load(4, 1, 700), idle = load();
  router.on_load(generation(0), busy);
  router.on_load(generation(1), idle);
  EXPECT_EQ(send(kPrompt, asked), 0U) << "0.7 s of other prompts are less than a second";
  idle.moved_token_s = 0.00005;  // 960 tokens in 0.05 s
  router.on_load(generation(0), busy);
  router.on_load(generation(1), idle);
  EXPECT_EQ(send(kPrompt, asked), 1U);
}

TEST_F(RouterLoadTest, MissedNewsAreAskedForOnceAndUntilThenNothingIsHeld) {
  view(2);
  const PromptPrefix asked = prompt(0);
  for (std::uint32_t i = 0; i < 2; ++i) router.on_load(generation(i), load());
  holds(1, asked, 62);
  using Kind = kv::BlockNews::Kind;
  EXPECT_FALSE(router.on_news(generation(1), {Kind::kChanges, 2, 16, 1000, {1}, {}}));
  EXPECT_TRUE(router.on_news(generation(1), {Kind::kChanges, 3, 16, 1000, {2}, {}})) << "it was asked already";
  EXPECT_EQ(router.stats().news_missed, 1U);
  EXPECT_FALSE(router.directory().knows(generation(1)));
  holds(1, asked, 62);
  EXPECT_EQ(send(kPrompt, asked), 1U);
  EXPECT_FALSE(router.on_news(generation(1), {Kind::kChanges, 5, 16, 1000, {1}, {}}));
  router.on_link_lost(generation(1), kNow);
  EXPECT_FALSE(router.on_news(generation(1), {Kind::kChanges, 6, 16, 1000, {1}, {}})) << "the question may have been lost";
  EXPECT_TRUE(router.on_news(generation(9), {Kind::kChanges, 6, 16, 1000, {1}, {}})) << "not in the view";
}

TEST_F(RouterLoadTest, RoundRobinLooksAtNothing) {
  router = Router(RoutingPolicy::kRoundRobin);
  view(3);
  const PromptPrefix asked = prompt(0);
  for (std::uint32_t i = 0; i < 3; ++i) {
    router.on_load(generation(i), load(i * 5, i, 1000 * i));
    holds(i, asked, i == 0 ? 62 : 0);
  }
  for (std::uint32_t i = 0; i < 9; ++i) EXPECT_EQ(send(kPrompt, asked), i % 3);
}

TEST_F(RouterLoadTest, ANewGenerationHoldsNothing) {
  view(2);
  holds(0, {}, 0);
  EXPECT_EQ(send(kPrompt, prompt(0)), 0U);
  holds(0, prompt(0), 62);
  router.on_lost(generation(0, 1));
  EXPECT_EQ(router.directory().blocks(), 0U);
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
