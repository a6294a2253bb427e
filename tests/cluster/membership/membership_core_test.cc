#include "cluster/membership/membership_core.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/cluster/membership/membership_harness.h"

namespace herd::membership {
namespace {

using handshake::Role;
using report::ReplicaCondition;
using routing::ReplicaGeneration;
using routing::ReplicaState;

// Three nodes in the file, two replicas, two gateways.
MembershipConfig three_nodes() {
  MembershipConfig config;
  config.replicas = 2;
  config.nodes = {"a", "b", "c"};
  config.gateways = {"g", "h"};
  return config;
}

struct MembershipCoreTest : testing::Test {
  // A generation of the coordinator before this one.
  static ReplicaGeneration of_before(std::uint32_t replica, std::uint64_t counter) {
    return {ReplicaId(replica), Epoch((900ULL << 20) + counter)};
  }
  // All three are here, with room for one each, and replica i serves on node i.
  void all_serve() {
    a = cluster.joined("a");
    b = cluster.joined("b");
    c = cluster.joined("c");
    first = cluster.asked_and_serving(a, 0);
    second = cluster.asked_and_serving(b, 1);
  }

  MembershipHarness cluster{three_nodes()};
  PeerId a, b, c;
  ReplicaGeneration first, second;
};

TEST_F(MembershipCoreTest, PlacesNothingBeforeEveryListedNodeHasJoined) {
  a = cluster.joined("a");
  b = cluster.joined("b");
  EXPECT_EQ(cluster.assigned(a), "none");
  EXPECT_FALSE(cluster.core.settled());
  c = cluster.joined("c");
  EXPECT_TRUE(cluster.core.settled());
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_EQ(cluster.assigned(b), "1 ");
  EXPECT_EQ(cluster.assigned(c), "");
}

TEST_F(MembershipCoreTest, WaitsThreeSecondsForANodeThatDoesNotCome) {
  a = cluster.joined("a");
  c = cluster.joined("c");
  EXPECT_EQ(cluster.core.deadline(), (Instant{3'000'000'000}));
  cluster.pass(2.9);
  EXPECT_EQ(cluster.assigned(a), "none");
  cluster.pass(0.1);
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_EQ(cluster.assigned(c), "1 ");
  EXPECT_EQ(cluster.core.deadline(), std::nullopt);
}

TEST_F(MembershipCoreTest, AReplicaIsPlacedServesAndIsLost) {
  const PeerId gateway = cluster.gateway("g");
  all_serve();
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
  EXPECT_EQ(cluster.seen(0).max_model_len, 512);
  EXPECT_EQ(cluster.line(0).condition, ReplicaCondition::kServing);
  cluster.lose(a, first);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kLost);
  EXPECT_TRUE(cluster.seen(0).returns);
  EXPECT_EQ(cluster.line(0).condition, ReplicaCondition::kReforming);
  EXPECT_EQ(cluster.line(0).why, "rank 1 died");
  ASSERT_EQ(cluster.losses[gateway].size(), 1U);
  EXPECT_EQ(cluster.losses[gateway][0].replica, first);
  EXPECT_EQ(cluster.views[gateway].back(), cluster.core.view());
  EXPECT_LT(first.epoch, cluster.asked_and_serving(a, 0).epoch);
  EXPECT_EQ(cluster.line(0).why, "");
}

TEST_F(MembershipCoreTest, AGatewayHearsNothingWhileTheCoordinatorLearnsWhatIsThere) {
  const PeerId early = cluster.gateway("g");
  a = cluster.joined("a");
  EXPECT_TRUE(cluster.views[early].empty());
  cluster.pass(3);
  ASSERT_EQ(cluster.views[early].size(), 1U);
  // The replicas that nobody made yet come back: a gateway must not take them for gone.
  ASSERT_EQ(cluster.views[early][0].replicas.size(), 2U);
  for (const auto& replica : cluster.views[early][0].replicas) EXPECT_TRUE(replica.returns);
  const PeerId late = cluster.gateway("h");
  ASSERT_EQ(cluster.views[late].size(), 1U);
  EXPECT_EQ(cluster.views[late][0], cluster.core.view());
}

TEST_F(MembershipCoreTest, ARestartedCoordinatorAdoptsWhatServesBeforeItPlaces) {
  const PeerId gateway = cluster.gateway("g", Epoch(900), 77);
  a = cluster.node("a");
  b = cluster.node("b");
  c = cluster.node("c");
  cluster.join(a, 1);
  cluster.join(b, 1, {kZero}, {MembershipHarness::serving_view(of_before(0, 5))});
  cluster.join(c, 1, {kOne}, {MembershipHarness::serving_view(of_before(1, 6))});
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_EQ(cluster.assigned(b), "0 ");
  EXPECT_EQ(cluster.assigned(c), "1 ");
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
  EXPECT_EQ(cluster.seen(0).route.generation, of_before(0, 5));
  ASSERT_EQ(cluster.views[gateway].size(), 1U);
  EXPECT_GT(cluster.views[gateway][0].cluster_epoch, Epoch(900));
  EXPECT_TRUE(cluster.losses[gateway].empty());
}

// The coordinator before this one handed out a generation and ended before it served.
TEST_F(MembershipCoreTest, AHalfFormedGenerationOfAnEarlierCoordinatorIsAdoptedWhenItServes) {
  a = cluster.node("a");
  cluster.join(a, 1, {kZero});
  cluster.joined("b");
  cluster.joined("c");
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_EQ(cluster.line(0).condition, ReplicaCondition::kReforming);
  cluster.serve(a, of_before(0, 9));
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
  EXPECT_EQ(cluster.seen(0).route.generation, of_before(0, 9));
}

TEST_F(MembershipCoreTest, WhatNodesSayWhileItGathersIsNotLost) {
  a = cluster.node("a");
  b = cluster.node("b");
  cluster.join(a, 1, {kZero});
  cluster.join(b, 1, {kOne}, {MembershipHarness::serving_view(of_before(1, 2))});
  EXPECT_EQ(cluster.ask(a, 0), ReplicaGeneration{});  // answered when the cluster is known
  cluster.lose(b, of_before(1, 2));
  cluster.joined("c");
  ASSERT_TRUE(cluster.placed.contains(a));
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kMaking);
  EXPECT_EQ(cluster.placed.at(a), cluster.seen(0));
  EXPECT_EQ(cluster.seen(1).state, ReplicaState::kLost);
  EXPECT_EQ(cluster.assigned(b), "1 ");
}

TEST_F(MembershipCoreTest, OfTwoNodesThatHoldAReplicaTheLatestGenerationStays) {
  a = cluster.node("a");
  b = cluster.node("b");
  cluster.join(a, 1, {kZero}, {MembershipHarness::serving_view(of_before(0, 2))});
  cluster.join(b, 1, {kZero}, {MembershipHarness::serving_view(of_before(0, 3))});
  cluster.joined("c", 0);
  EXPECT_EQ(cluster.assigned(a), "1 ");
  EXPECT_EQ(cluster.assigned(b), "0 ");
  EXPECT_EQ(cluster.seen(0).route.generation, of_before(0, 3));
}

TEST_F(MembershipCoreTest, ANodeThatIsAwayForAMomentKeepsWhatItServes) {
  all_serve();
  const PeerId gateway = cluster.gateway("g");
  cluster.close(a);
  cluster.pass(9.9);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
  EXPECT_EQ(cluster.line(0).condition, ReplicaCondition::kReforming);
  EXPECT_EQ(cluster.line(0).why, "node a is out of reach; streams go on where gateways reach its leader");
  a = cluster.node("a");
  cluster.join(a, 1, {kZero}, {MembershipHarness::serving_view(first)});
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_TRUE(cluster.losses[gateway].empty());
  EXPECT_EQ(cluster.views[gateway].size(), 1U);  // nothing has changed
  cluster.pass(60);
  EXPECT_EQ(cluster.assigned(c), "");
}

TEST_F(MembershipCoreTest, WhatANodeDoesNotServeAnyMoreWhenItIsBackIsLost) {
  all_serve();
  const PeerId gateway = cluster.gateway("g");
  cluster.close(a);
  a = cluster.joined("a", 1, 2);  // another life of it
  ASSERT_EQ(cluster.losses[gateway].size(), 1U);
  EXPECT_EQ(cluster.losses[gateway][0].replica, first);
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_TRUE(cluster.seen(0).returns);
  EXPECT_LT(first.epoch, cluster.ask(a, 0).epoch);
}

// Its connection was cut between Placed and Serving.
TEST_F(MembershipCoreTest, WhatANodeStillFormsWhenItIsBackMayComeToServe) {
  a = cluster.joined("a");
  cluster.pass(3);
  first = cluster.ask(a, 0);
  cluster.close(a);
  a = cluster.node("a");
  cluster.join(a, 1, {kZero});
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kMaking);
  cluster.serve(a, first);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
  // A life that began after that forms nothing of it.
  second = cluster.ask(a, 1);
  cluster.close(a);
  a = cluster.joined("a", 2, 2);
  EXPECT_EQ(cluster.seen(1).state, ReplicaState::kLost);
}

TEST_F(MembershipCoreTest, ANodeThatStaysAwayLosesItsReplicasToOneWithRoom) {
  all_serve();
  const PeerId gateway = cluster.gateway("g");
  cluster.close(a);
  EXPECT_EQ(cluster.core.deadline(), (Instant{10'000'000'000}));
  cluster.pass(10);
  ASSERT_EQ(cluster.losses[gateway].size(), 1U);
  EXPECT_EQ(cluster.losses[gateway][0].replica, first);
  EXPECT_EQ(cluster.assigned(c), "0 ");
  const ReplicaGeneration moved = cluster.asked_and_serving(c, 0);
  EXPECT_EQ(cluster.line(0).node, "c");
  // It was only out of reach, and is told to end what it still serves.
  a = cluster.node("a");
  cluster.join(a, 1, {kZero}, {MembershipHarness::serving_view(first)});
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_EQ(cluster.seen(0).route.generation, moved);
}

TEST_F(MembershipCoreTest, WithoutRoomElsewhereTheReplicaWaitsForItsNode) {
  a = cluster.joined("a");
  b = cluster.joined("b");
  cluster.joined("c", 0);
  first = cluster.asked_and_serving(a, 0);
  const PeerId gateway = cluster.gateway("g");
  cluster.close(a);
  cluster.pass(60);
  EXPECT_TRUE(cluster.losses[gateway].empty());
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);  // its leader may well stream
  a = cluster.node("a");
  cluster.join(a, 1, {kZero}, {MembershipHarness::serving_view(first)});
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_EQ(cluster.seen(0).route.generation, first);
}

TEST_F(MembershipCoreTest, RoomThatComesLaterIsUsed) {
  a = cluster.joined("a");
  cluster.pass(3);
  EXPECT_EQ(cluster.line(1).condition, ReplicaCondition::kLost);
  EXPECT_EQ(cluster.line(1).why, "no node has room for it: a has 1 of the 1 it has room for; b is not there; c is not there");
  EXPECT_TRUE(cluster.seen(1).returns);
  b = cluster.joined("b");
  EXPECT_EQ(cluster.assigned(b), "1 ");
  cluster.close(a);
  cluster.pass(10);
  EXPECT_EQ(cluster.line(0).node, "a");
  c = cluster.joined("c");
  EXPECT_EQ(cluster.assigned(c), "0 ");
}

TEST_F(MembershipCoreTest, AReplicaThatIsGivenUpGoesElsewhere) {
  all_serve();
  cluster.lose(a, first);
  cluster.give_up(a, 0);
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_EQ(cluster.assigned(c), "0 ");
  EXPECT_TRUE(cluster.seen(0).returns);
  EXPECT_EQ(cluster.asked_and_serving(c, 0).replica, kZero);
}

TEST_F(MembershipCoreTest, GivenUpEverywhereItIsLostWithTheReasonsUntilANodeStartsAgain) {
  all_serve();
  cluster.give_up(a, 0);
  cluster.give_up(c, 0);
  EXPECT_FALSE(cluster.seen(0).returns);
  EXPECT_EQ(cluster.line(0).condition, ReplicaCondition::kLost);
  EXPECT_EQ(cluster.line(0).why,
            "no node has room for it: a cannot have it (no memory); b has 1 of the 1 it has room for; c cannot have it (no memory)");
  cluster.close(a);
  a = cluster.joined("a", 1, 1);  // the same life: it would fail again
  EXPECT_EQ(cluster.assigned(a), "");
  cluster.close(a);
  a = cluster.joined("a", 1, 2);
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_TRUE(cluster.seen(0).returns);
}

TEST_F(MembershipCoreTest, OtherNumericsAreRefusedWithBothIds) {
  all_serve();
  cluster.lose(a, first);
  EXPECT_EQ(cluster.ask(a, 0, "cpu-2/bfloat16/bfloat16/bb"), ReplicaGeneration{});
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_EQ(cluster.assigned(c), "0 ");
  cluster.give_up(c, 0);
  EXPECT_NE(cluster.line(0).why.find("it would compute cpu-2/bfloat16/bfloat16/bb there, the cluster computes " + std::string(kNumerics)),
            std::string::npos)
      << cluster.line(0).why;
}

TEST_F(MembershipCoreTest, AnotherKindOfDeviceMayComputeOtherBits) {
  all_serve();
  cluster.give_up(a, 0);
  EXPECT_NE(cluster.ask(c, 0, "cuda-1/bfloat16/bfloat16/cc"), ReplicaGeneration{});
}

TEST_F(MembershipCoreTest, WhenNoNodeIsLeftAnotherModelMayCome) {
  all_serve();
  for (const PeerId node : {a, b, c}) cluster.close(node);
  a = cluster.joined("a", 1, 2);
  EXPECT_NE(cluster.ask(a, 0, "cpu-2/bfloat16/bfloat16/bb"), ReplicaGeneration{});
}

// What its files were before is nobody's numerics any more once it is repaired.
TEST_F(MembershipCoreTest, AFirstNodeWithOtherNumericsDoesNotKeepTheOthersOutOnceItIsRepaired) {
  constexpr const char* kWrong = "cpu-2/bfloat16/bfloat16/bb";
  a = cluster.joined("a");
  b = cluster.joined("b");
  cluster.joined("c", 0);
  EXPECT_NE(cluster.ask(a, 0, kWrong), ReplicaGeneration{});
  EXPECT_EQ(cluster.ask(b, 1), ReplicaGeneration{});
  EXPECT_EQ(cluster.assigned(b), "");
  cluster.close(a);
  a = cluster.joined("a", 1, 2);
  EXPECT_EQ(cluster.assigned(b), "1 ");
  cluster.asked_and_serving(b, 1);
  cluster.asked_and_serving(a, 0);
  for (std::uint32_t i = 0; i < 2; ++i) EXPECT_EQ(cluster.line(i).condition, ReplicaCondition::kServing) << cluster.line(i).why;
}

TEST_F(MembershipCoreTest, ARollingRestartOntoOtherNumericsEndsWithAllServing) {
  constexpr const char* kNext = "cpu-2/bfloat16/bfloat16/bb";
  a = cluster.joined("a");
  b = cluster.joined("b");
  cluster.joined("c", 0);
  cluster.asked_and_serving(a, 0);
  cluster.asked_and_serving(b, 1);
  cluster.close(a);
  a = cluster.joined("a", 1, 2);
  EXPECT_EQ(cluster.ask(a, 0, kNext), ReplicaGeneration{});  // replica 1 still computes as before
  EXPECT_EQ(cluster.assigned(a), "");
  cluster.close(b);
  b = cluster.joined("b", 1, 2);
  EXPECT_EQ(cluster.assigned(a), "0 ");
  EXPECT_EQ(cluster.assigned(b), "1 ");
  EXPECT_NE(cluster.ask(a, 0, kNext), ReplicaGeneration{});
  EXPECT_NE(cluster.ask(b, 1, kNext), ReplicaGeneration{});
  EXPECT_EQ(cluster.ask(b, 1), ReplicaGeneration{}) << "the new id holds for all";
}

// Whose ranks form again after a death has streams to go on with.
TEST_F(MembershipCoreTest, ALossOfTheOnlyReplicaDoesNotLetOtherNumericsIn) {
  constexpr const char* kOther = "cpu-2/bfloat16/bfloat16/bb";
  a = cluster.joined("a");
  b = cluster.joined("b");
  cluster.joined("c", 0);
  first = cluster.asked_and_serving(a, 0);
  EXPECT_EQ(cluster.ask(b, 1, kOther), ReplicaGeneration{});
  cluster.lose(a, first);
  EXPECT_EQ(cluster.assigned(b), "");
  cluster.asked_and_serving(a, 0);
  // It does not come back.
  cluster.close(a);
  cluster.pass(10);
  EXPECT_EQ(cluster.assigned(b), "0 ");
  EXPECT_NE(cluster.ask(b, 0, kOther), ReplicaGeneration{});
}

// What a node cannot hold for another reason stays refused for its life.
TEST_F(MembershipCoreTest, OnlyRefusalsForNumericsEndWithThem) {
  all_serve();
  cluster.lose(a, first);
  cluster.give_up(a, 0);
  cluster.give_up(c, 0);
  cluster.close(b);
  b = cluster.joined("b", 1, 2);
  EXPECT_EQ(cluster.assigned(a), "");
  EXPECT_EQ(cluster.assigned(c), "");
  EXPECT_FALSE(cluster.seen(0).returns);
}

// It ends there first, or the node would go on with what the others know as lost.
TEST(MembershipCore, WhatANodeIsRefusedEndsThereBeforeItIsGivenBack) {
  MembershipConfig config;
  config.nodes = {"a"};
  MembershipHarness cluster(config);
  const PeerId a = cluster.joined("a");
  const ReplicaGeneration first = cluster.asked_and_serving(a, 0);
  cluster.core.on_serving(a, MembershipHarness::serving_view({kZero, Epoch(first.epoch.value + 1)}, "cpu-2/bfloat16/bfloat16/bb"),
                          cluster.effects);
  cluster.pass(0);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kLost);
  ASSERT_EQ(cluster.assignments[a].size(), 3U);
  EXPECT_EQ(cluster.assignments[a][1], Assignment{});
  EXPECT_EQ(cluster.assignments[a][2], Assignment{{kZero}});
}

TEST_F(MembershipCoreTest, AnotherProcessUnderTheSameNameIsRefusedUntilTheFirstHasGone) {
  all_serve();
  const PeerId twin = cluster.node("a", 2);
  ASSERT_TRUE(cluster.closed.contains(twin));
  EXPECT_EQ(cluster.closed.at(twin).message(), "node \"a\" is here already, as another process: a name is that of one");
  cluster.join(twin, 1);
  cluster.close(twin);
  EXPECT_EQ(cluster.assigned(twin), "none");
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
  cluster.close(a);
  EXPECT_FALSE(cluster.closed.contains(cluster.joined("a", 1, 2)));
}

TEST_F(MembershipCoreTest, ANodeThatConnectsAgainReplacesItsOlderConnection) {
  all_serve();
  const PeerId again = cluster.node("a");
  ASSERT_TRUE(cluster.closed.contains(a));
  cluster.join(again, 1, {kZero}, {MembershipHarness::serving_view(first)});
  EXPECT_EQ(cluster.assigned(again), "0 ");
  // What still comes over the old one, and its end, mean nothing.
  cluster.lose(a, first);
  cluster.close(a);
  cluster.pass(60);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
  EXPECT_EQ(cluster.line(0).why, "");
}

TEST_F(MembershipCoreTest, ANodeSpeaksOfItsOwnReplicasOnly) {
  all_serve();
  const auto view = cluster.core.view();
  cluster.lose(b, first);
  cluster.serve(c, {kZero, Epoch(first.epoch.value + 1000)});
  cluster.give_up(c, 1);
  EXPECT_EQ(cluster.ask(b, 0), ReplicaGeneration{});
  EXPECT_EQ(cluster.ask(a, 7), ReplicaGeneration{});
  EXPECT_EQ(cluster.core.view(), view);
  EXPECT_EQ(cluster.core.stats().stale, 5U);
}

TEST_F(MembershipCoreTest, LateMessagesOfAnOldGenerationChangeNothing) {
  all_serve();
  cluster.lose(a, first);
  const ReplicaGeneration later = cluster.asked_and_serving(a, 0);
  const auto view = cluster.core.view();
  cluster.lose(a, first);
  cluster.serve(a, first);
  EXPECT_EQ(cluster.core.view(), view);
  EXPECT_EQ(cluster.seen(0).route.generation, later);
}

// The replica was given to another node and back while the first one heard nothing, so gateways have buried what that serves.
TEST_F(MembershipCoreTest, WhatAllOthersKnowAsLostHasToFormAgain) {
  all_serve();
  cluster.close(a);
  cluster.pass(10);  // replica 0 is at c
  cluster.close(c);
  cluster.pass(10);
  a = cluster.node("a");
  cluster.join(a, 1, {kZero}, {MembershipHarness::serving_view(first)});
  ASSERT_EQ(cluster.assignments[a].size(), 2U);
  EXPECT_EQ(cluster.assignments[a][0], Assignment{});
  EXPECT_EQ(cluster.assignments[a][1], Assignment{{kZero}});
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kLost);
}

TEST_F(MembershipCoreTest, UnlistedPeersAreRefused) {
  const PeerId node = cluster.node("d");
  ASSERT_TRUE(cluster.closed.contains(node));
  EXPECT_EQ(cluster.closed.at(node).message(),
            "node \"d\" is not in the coordinator's cluster file; add it under nodes, or set nodes: any-with-certificate");
  EXPECT_TRUE(cluster.closed.contains(cluster.gateway("i")));
  EXPECT_FALSE(cluster.closed.contains(cluster.open(hello_of(Role::kOperator, "operator"))));
  EXPECT_EQ(cluster.core.stats().refusals, 2U);
}

TEST_F(MembershipCoreTest, APeerThatComesAgainAndAgainIsLoggedOnce) {
  for (int i = 0; i < 5; ++i) cluster.node("d");
  EXPECT_EQ(std::ranges::count(cluster.notes, "peer refused", &MembershipNote::event), 1);
  EXPECT_EQ(cluster.core.stats().refusals, 5U);
}

TEST_F(MembershipCoreTest, APeerThatIsLetInAndRefusedAgainAndAgainIsLoggedOnce) {
  for (int i = 0; i < 5; ++i) {
    a = cluster.node("a");
    cluster.join(a, 1, {}, {}, kClusterEpochMax);
    cluster.close(a);
    b = cluster.joined("b");
    cluster.core.on_nonsense(b, bad_input("it reports on processes of others"), cluster.effects);
    cluster.close(b);
  }
  EXPECT_EQ(std::ranges::count(cluster.notes, "peer refused", &MembershipNote::event), 2);
  EXPECT_EQ(cluster.core.stats().refusals, 10U);
  // It behaved in between, so this is news.
  b = cluster.joined("b");
  cluster.close(b);
  b = cluster.joined("b");
  cluster.core.on_nonsense(b, bad_input("it reports on processes of others"), cluster.effects);
  cluster.close(b);
  EXPECT_EQ(std::ranges::count(cluster.notes, "peer refused", &MembershipNote::event), 3);
}

TEST_F(MembershipCoreTest, OneConnectionJoinsOnce) {
  all_serve();
  const PeerId gateway = cluster.gateway("g");
  const auto joins = cluster.core.stats().joins;
  const auto notes = std::ranges::count(cluster.notes, "node joined", &MembershipNote::event);
  for (int i = 0; i < 5; ++i) {
    cluster.join(a, 1);
    cluster.core.on_gateway_join(gateway, {GatewayId(1), {}, 0}, cluster.effects);
  }
  cluster.close(gateway);
  EXPECT_EQ(cluster.closed.at(a).message(), "it joins twice over one connection");
  EXPECT_EQ(cluster.closed.at(gateway).message(), "it joins twice over one connection");
  EXPECT_EQ(cluster.core.stats().joins, joins);
  EXPECT_EQ(std::ranges::count(cluster.notes, "node joined", &MembershipNote::event), notes);
  EXPECT_EQ(std::ranges::count(cluster.notes, "peer refused", &MembershipNote::event), 2);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
}

TEST_F(MembershipCoreTest, OtherTextIsRefusedWithBothDigests) {
  auto hello = hello_of(Role::kNode, "a");
  hello.text_digest = "t1";
  a = cluster.open(hello);
  hello = hello_of(Role::kGateway, "g");
  hello.text_digest = "t2";
  const PeerId gateway = cluster.open(hello);
  ASSERT_TRUE(cluster.closed.contains(gateway));
  EXPECT_EQ(cluster.closed.at(gateway).message(),
            "gateway \"g\" has tokenizer and chat template t2, node \"a\" has t1: give both the same tokenizer files and chat settings");
  // When nobody is left that said one, another may come.
  cluster.close(a);
  EXPECT_FALSE(cluster.closed.contains(cluster.open(hello)));
}

TEST_F(MembershipCoreTest, BeginsBeyondEveryEpochItHearsOf) {
  cluster.gateway("g", Epoch(5000), 3);  // of a coordinator whose clock was ahead
  a = cluster.node("a");
  cluster.join(a, 1, {}, {}, Epoch(6000));
  cluster.pass(3);
  EXPECT_EQ(cluster.core.view().cluster_epoch, Epoch(6001));
  first = cluster.ask(a, 0);
  EXPECT_GT(first.epoch.value, 6001ULL << 20);
  // Heard of when all is settled, it counts too, and gateways are told.
  const PeerId late = cluster.gateway("h", Epoch(7000), 1);
  EXPECT_EQ(cluster.views[late].back().cluster_epoch, Epoch(7001));
  // A gateway that has this coordinator's own view is told no newer epoch.
  cluster.close(late);
  const PeerId again = cluster.gateway("h", cluster.core.view().cluster_epoch, cluster.core.view().number);
  EXPECT_EQ(cluster.views[again].back().cluster_epoch, Epoch(7001));
}

TEST_F(MembershipCoreTest, AnEpochThatNobodyCanHaveHandedOutIsRefused) {
  constexpr Epoch kNever(~std::uint64_t{0});
  a = cluster.node("a");
  cluster.join(a, 1, {}, {}, kNever);
  EXPECT_TRUE(cluster.closed.contains(a));
  b = cluster.node("b");
  cluster.join(b, 1, {kZero}, {MembershipHarness::serving_view({kZero, kNever})});
  EXPECT_TRUE(cluster.closed.contains(b));
  EXPECT_TRUE(cluster.closed.contains(cluster.gateway("g", kNever, 1)));
  EXPECT_EQ(cluster.core.view().cluster_epoch, Epoch(1000));
}

// With a certificate it could else end the cluster: beyond the last epoch no coordinator begins.
TEST_F(MembershipCoreTest, OnePeerCannotUseUpTheEpochs) {
  const Epoch last(kClusterEpochMax.value - 1);
  const ReplicaGeneration late{kZero, Epoch(last.value << 20)};
  a = cluster.node("a");
  cluster.join(a, 1, {}, {}, last);
  EXPECT_TRUE(cluster.closed.contains(a));
  cluster.close(a);
  a = cluster.node("a");
  cluster.join(a, 1, {kZero}, {MembershipHarness::serving_view(late)});
  EXPECT_TRUE(cluster.closed.contains(a));
  cluster.close(a);
  all_serve();
  EXPECT_LT(first.epoch.value, 1001ULL << 20);
  cluster.serve(a, late);
  EXPECT_TRUE(cluster.closed.contains(a));
  cluster.lose(b, {kOne, late.epoch});
  EXPECT_TRUE(cluster.closed.contains(b));
  EXPECT_EQ(cluster.seen(0).route.generation, first);
  EXPECT_EQ(cluster.seen(1).route.generation, second);
  // Who is honest is heard by this coordinator and by the one after it.
  MembershipHarness later(three_nodes(), 2000);
  const PeerId d = later.node("a"), e = later.node("b");
  later.join(d, 1, {kZero}, {MembershipHarness::serving_view(first)}, cluster.core.view().cluster_epoch);
  later.join(e, 1, {kOne}, {MembershipHarness::serving_view(second)}, cluster.core.view().cluster_epoch);
  later.joined("c");
  EXPECT_TRUE(later.closed.empty());
  EXPECT_EQ(later.seen(0).state, ReplicaState::kServing);
  EXPECT_EQ(later.seen(1).state, ReplicaState::kServing);
}

// A coordinator that ran with its clock in the year 2031 was stopped, and this one has the right time.
TEST_F(MembershipCoreTest, WhatAnEarlierCoordinatorsClockHasShownLocksNobodyOut) {
  const Epoch ahead(1'924'992'000'000);
  const ReplicaGeneration serving{kZero, Epoch((ahead.value << 20) + 1)};
  cluster.gateway("g", ahead, 7);
  a = cluster.node("a");
  cluster.join(a, 1, {kZero}, {MembershipHarness::serving_view(serving)}, ahead);
  b = cluster.joined("b");
  c = cluster.joined("c");
  EXPECT_TRUE(cluster.closed.empty());
  EXPECT_EQ(cluster.core.view().cluster_epoch, Epoch(ahead.value + 1));
  EXPECT_EQ(cluster.seen(0).route.generation, serving);
  EXPECT_EQ(cluster.seen(0).state, ReplicaState::kServing);
  EXPECT_GT(cluster.ask(b, 1).epoch.value, serving.epoch.value) << "newer than all that were handed out";
}

// One that lies leads as far as one is believed, once. From there on each coordinator's epoch is the next one, told by all.
TEST_F(MembershipCoreTest, BeyondWhatOnePeerIsBelievedAnotherHasToTellIt) {
  cluster.gateway("g", kEpochOfOnePeerMax, 1);
  const Epoch led(kEpochOfOnePeerMax.value + 1);
  EXPECT_EQ(cluster.core.view().cluster_epoch, led);
  EXPECT_TRUE(cluster.closed.contains(cluster.gateway("h", Epoch(led.value + 1), 1))) << "nobody gets there in small steps";
  a = cluster.node("a");  // what it was told by this coordinator
  cluster.join(a, 1, {}, {}, led);
  EXPECT_FALSE(cluster.closed.contains(a));
  MembershipHarness later(three_nodes(), 2000);
  PeerId d = later.node("a");
  later.join(d, 1, {}, {}, led);
  EXPECT_TRUE(later.closed.contains(d)) << "it is the first that says so";
  later.close(d);
  const PeerId e = later.node("b");
  later.join(e, 1, {}, {}, led);
  d = later.node("a");
  later.join(d, 1, {}, {}, led);
  EXPECT_FALSE(later.closed.contains(e) || later.closed.contains(d));
  EXPECT_EQ(later.core.view().cluster_epoch, Epoch(led.value + 1));
}

TEST(MembershipCore, NodesThatAreNotListedJoinAsTheyCome) {
  MembershipConfig config;
  config.replicas = 2;
  config.any_node = true;
  MembershipHarness cluster(config);
  const PeerId x = cluster.joined("x");
  EXPECT_EQ(cluster.assigned(x), "none");  // others may be on their way
  cluster.pass(3);
  EXPECT_EQ(cluster.assigned(x), "0 ");
  const PeerId y = cluster.joined("y", 2);
  EXPECT_EQ(cluster.assigned(y), "1 ");
  cluster.close(x);
  cluster.pass(10);
  EXPECT_EQ(cluster.assigned(y), "0 1 ");
  EXPECT_TRUE(cluster.core.view().replicas[0].returns);
}

// The choice of cluster_plan.h: the one with the fewest, of equals the first in the file.
TEST(MembershipCore, ReplicasAreSpreadOverNodes) {
  MembershipConfig config;
  config.replicas = 5;
  config.nodes = {"z", "y", "x"};
  MembershipHarness cluster(config);
  const PeerId x = cluster.joined("x", 1), y = cluster.joined("y", 4), z = cluster.joined("z", 4);
  EXPECT_EQ(cluster.assigned(z), "0 3 ");
  EXPECT_EQ(cluster.assigned(y), "1 4 ");
  EXPECT_EQ(cluster.assigned(x), "2 ");
}

}  // namespace
}  // namespace herd::membership
