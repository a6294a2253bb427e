#include "cluster/routing/router.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "tests/cluster/routing/generations.h"

namespace herd::routing {
namespace {

constexpr Instant kLater{2000};

ReplicaView replica(std::uint32_t id, std::uint64_t epoch = 1, ReplicaState state = ReplicaState::kServing,
                    std::uint32_t sequences_max = 4) {
  return {.route = {generation(id, epoch), "replica-" + std::to_string(id), "cpu-1"},
          .state = state,
          .returns = true,
          .sequences_max = sequences_max};
}

struct RouterTest : testing::Test {
  ~RouterTest() override { router.check_integrity(); }
  void view(std::vector<ReplicaView> replicas) {
    EXPECT_TRUE(router.on_view({.cluster_epoch = Epoch(1), .number = ++number, .replicas = std::move(replicas)}));
  }
  std::optional<ReplicaGeneration> pick(const RouteQuestion& question = {}, Instant now = kNow) {
    const auto to = router.pick(question, now);
    if (!to) return std::nullopt;
    return to->route.generation;
  }
  std::optional<ReplicaGeneration> send(const RouteQuestion& question = {}, Instant now = kNow) {
    const auto to = pick(question, now);
    if (to) router.on_sent(*to, question, 0, kNow);
    return to;
  }

  Router router;
  std::uint64_t number = 0;
};

TEST_F(RouterTest, WithoutAViewPicksNoneButHopes) {
  EXPECT_EQ(pick(), std::nullopt);
  EXPECT_FALSE(router.serves());
  EXPECT_TRUE(router.may_serve({}));
}

TEST_F(RouterTest, ALaterCoordinatorMayFindAnOlderGenerationThatServes) {
  view({replica(0, 2)});
  router.on_lost(generation(0, 2));
  view({replica(0, 1)});
  EXPECT_EQ(pick(), std::nullopt) << "the coordinator that told of the loss knows no better";
  EXPECT_TRUE(router.on_view({.cluster_epoch = Epoch(2), .number = 1, .replicas = {replica(0, 2)}}));
  EXPECT_EQ(pick(), std::nullopt) << "what is lost stays so";
  EXPECT_TRUE(router.on_view({.cluster_epoch = Epoch(2), .number = 2, .replicas = {replica(0, 1)}}));
  EXPECT_EQ(pick(), generation(0, 1));
}

TEST_F(RouterTest, TakesTurnsAmongEquals) {
  view({replica(0), replica(1), replica(2)});
  for (const std::uint32_t expected : {0U, 1U, 2U, 0U, 1U}) EXPECT_EQ(pick(), generation(expected));
}

TEST_F(RouterTest, PrefersTheReplicaThatRunsFewest) {
  view({replica(0), replica(1), replica(2)});
  router.on_sent(generation(0), {}, 0, kNow);
  router.on_sent(generation(2), {}, 0, kNow);
  router.on_sent(generation(2), {}, 0, kNow);
  EXPECT_EQ(send(), generation(1));
  EXPECT_EQ(send(), generation(0));
  EXPECT_EQ(send(), generation(1));
}

TEST_F(RouterTest, SendsNothingBeyondTheRoomOfAReplica) {
  view({replica(0, 1, ReplicaState::kServing, 1), replica(1, 1, ReplicaState::kServing, 2)});
  EXPECT_TRUE(send() && send() && send());
  EXPECT_FALSE(router.has_room(kNow));
  EXPECT_EQ(send(), std::nullopt);
  EXPECT_TRUE(router.serves());
  router.on_ended(generation(1), false);
  EXPECT_EQ(send(), generation(1));
}

TEST_F(RouterTest, AsksOnlyWhatServes) {
  view({replica(0, 1, ReplicaState::kMaking), replica(1, 1, ReplicaState::kDraining), replica(2, 1, ReplicaState::kLost),
        replica(3)});
  EXPECT_EQ(send(), generation(3));
  EXPECT_EQ(send(), generation(3));
}

TEST_F(RouterTest, AViewTakesBackWhatAViewSaidOfADrainNotWhatTheReplicaSaid) {
  view({replica(0, 1, ReplicaState::kDraining)});
  EXPECT_TRUE(router.drains(generation(0)));
  EXPECT_EQ(pick({}), std::nullopt);
  view({replica(0)});
  EXPECT_FALSE(router.drains(generation(0)));
  EXPECT_EQ(send(), generation(0));
  EXPECT_TRUE(router.on_draining(generation(0)));
  EXPECT_FALSE(router.on_draining(generation(0)));
  view({replica(0)});
  EXPECT_TRUE(router.drains(generation(0)));
  EXPECT_EQ(pick({}), std::nullopt);
}

TEST_F(RouterTest, KeepsToTheNumericsOfAStream) {
  auto other = replica(0);
  other.route.numerics = "sm90-1";
  view({other, replica(1)});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pick({.numerics = "cpu-1"}), generation(1));
  EXPECT_EQ(pick({.numerics = "cpu-2"}), std::nullopt);
  EXPECT_TRUE(router.may_serve("sm90-1"));
  EXPECT_FALSE(router.may_serve("cpu-2"));
}

TEST_F(RouterTest, AViewThatIsNotNewerChangesNothing) {
  view({replica(0)});
  const auto older = [&](std::uint64_t epoch, std::uint64_t number) {
    return router.on_view({.cluster_epoch = Epoch(epoch), .number = number, .replicas = {}});
  };
  EXPECT_FALSE(older(1, 1));
  EXPECT_FALSE(older(0, 9));
  EXPECT_EQ(pick(), generation(0));
  EXPECT_TRUE(older(2, 0)) << "a later coordinator counts from the beginning";
  EXPECT_EQ(pick(), std::nullopt);
}

TEST_F(RouterTest, ALostGenerationIsNeverAskedAgain) {
  view({replica(0, 3)});
  router.on_lost(generation(0, 3));
  EXPECT_EQ(pick(), std::nullopt);
  EXPECT_FALSE(router.is_alive(generation(0, 3)));
  view({replica(0, 3)});
  EXPECT_EQ(pick(), std::nullopt) << "the view was made before the loss";
  view({replica(0, 4)});
  EXPECT_EQ(pick(), generation(0, 4));
  router.on_lost(generation(0, 3));
  EXPECT_EQ(pick(), generation(0, 4)) << "the late notice of an older loss";
}

TEST_F(RouterTest, ACutLinkRestsUntilItsTimeOrANewerView) {
  view({replica(0)});
  router.on_link_lost(generation(0), kLater);
  EXPECT_EQ(pick(), std::nullopt);
  EXPECT_EQ(router.next_rest_end(kNow), kLater);
  EXPECT_EQ(pick({}, kLater), generation(0));
  router.on_link_lost(generation(0), Instant{9000});
  EXPECT_EQ(router.failures_in_a_row(generation(0)), 2U);
  view({replica(0)});
  EXPECT_EQ(pick(), generation(0));
}

TEST_F(RouterTest, AFullReplicaRestsUntilItsTimeOrAPlaceIsFree) {
  view({replica(0), replica(1)});
  router.on_sent(generation(0), {}, 0, kNow);
  router.on_refused(generation(0), kLater);
  EXPECT_EQ(send(), generation(1));
  EXPECT_EQ(send(), generation(1)) << "though it runs more";
  EXPECT_EQ(pick({}, kLater), generation(0));
  view({replica(0), replica(1)});
  EXPECT_EQ(pick(), generation(1)) << "a view does not say that it has room";
  router.on_ended(generation(0), false);
  EXPECT_EQ(pick(), generation(0));
  EXPECT_EQ(router.failures_in_a_row(generation(0)), 0U);
}

TEST_F(RouterTest, AReplicaTakesOneSuspectAtATime) {
  view({replica(0), replica(1)});
  EXPECT_EQ(send({.alone = true}), generation(0));
  EXPECT_EQ(send({.alone = true}), generation(1));
  EXPECT_EQ(send({.alone = true}), std::nullopt);
  EXPECT_EQ(send(), generation(0)) << "others may be there";
  router.on_suspicion_cleared(generation(1));
  EXPECT_EQ(send({.alone = true}), generation(1));
  router.on_left(generation(0), true);
  EXPECT_EQ(send({.alone = true}), generation(0));
}

TEST_F(RouterTest, OfACrowdAReplicaTakesHalfOfItsFreePlacesARound) {
  view({replica(0, 1, ReplicaState::kServing, 8)});
  const RouteQuestion orphan{.orphan = true};
  for (const int expected : {4, 2, 1, 1, 0}) {
    router.begin_round();
    int sent = 0;
    while (send(orphan)) ++sent;
    EXPECT_EQ(sent, expected);
    EXPECT_EQ(router.takes_next_round(orphan, kNow), router.has_room(kNow));
  }
  router.on_ended(generation(0), false);
  EXPECT_TRUE(send(orphan)) << "the place that got free";
  EXPECT_FALSE(send(orphan));
}

TEST_F(RouterTest, HopesWhileAReplicaMayComeBack) {
  struct Case {
    ReplicaState state;
    bool returns;
    bool hope;
  };
  for (const Case& c : {Case{ReplicaState::kServing, false, true}, Case{ReplicaState::kMaking, false, true},
                        Case{ReplicaState::kDraining, true, true}, Case{ReplicaState::kDraining, false, false},
                        Case{ReplicaState::kLost, true, true}, Case{ReplicaState::kLost, false, false}}) {
    Router fresh;
    auto one = replica(0, 1, c.state);
    one.returns = c.returns;
    EXPECT_TRUE(fresh.on_view({.cluster_epoch = Epoch(1), .number = 1, .replicas = {one}}));
    EXPECT_EQ(fresh.may_serve({}), c.hope) << static_cast<int>(c.state) << c.returns;
    EXPECT_EQ(fresh.may_serve("cpu-1"), c.hope);
  }
  view({});
  EXPECT_FALSE(router.may_serve({}));
}

// Replicas that are lost and never in a view.
TEST_F(RouterTest, RemembersALossWhileItIsOfTheViewOrThereAreFew) {
  router.on_lost(generation(0));
  router.on_lost(generation(1));
  view({replica(1), replica(2)});
  EXPECT_TRUE(router.is_known_lost(generation(0)));
  for (std::uint32_t id = 10; id < 10 + kReplicasMax; ++id) router.on_lost(generation(id));
  view({replica(1), replica(2)});
  EXPECT_TRUE(router.is_known_lost(generation(1)));
  for (const std::uint32_t forgotten : {0U, 10U, 500U}) EXPECT_FALSE(router.is_known_lost(generation(forgotten)));
}

}  // namespace
}  // namespace herd::routing
