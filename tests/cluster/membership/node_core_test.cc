// What a node decides: events in, effects out.

#include "cluster/membership/node_core.h"

#include <gtest/gtest.h>

namespace herd::membership {
namespace {

using routing::ReplicaGeneration;

// "start 3 in 0", "end 3", "end 3 within 30", "place 3/7", "> join 2: held 3,4 serving 3/7", "> ask 3", "> serving 3/7", "> lost 3/7",
// "> given up 3: why", "> leaving within 30"
std::string text_of(const ReplicaGeneration& generation) {
  return std::to_string(generation.replica.value) + "/" + std::to_string(generation.epoch.value);
}
struct TextOf {
  std::string operator()(const StartReplica& order) const {
    return "start " + std::to_string(order.replica.value) + " in " + std::to_string(order.slot);
  }
  std::string operator()(const EndReplica& order) const {
    return "end " + std::to_string(order.replica.value) +
           (order.drain_s > 0 ? " within " + std::to_string(static_cast<int>(order.drain_s)) : "");
  }
  std::string operator()(const Place& order) const { return "place " + text_of(order.view.route.generation); }
  std::string operator()(const SayToCoordinator& order) const {
    return "> " + std::visit([](const auto& message) { return said(message); }, order.message);
  }
  static std::string said(const NodeJoin& join) {
    std::string text = "join " + std::to_string(join.replicas_max) + " newest " + std::to_string(join.newest.value) + ": held";
    for (const ReplicaId replica : join.held) text += " " + std::to_string(replica.value);
    text += ", serving";
    for (const routing::ReplicaView& view : join.serving)
      text += (view.state == routing::ReplicaState::kDraining ? " draining " : " ") + text_of(view.route.generation);
    if (join.drains) text += ", drains";
    for (const ReplicaId replica : join.drained) text += ", drained " + std::to_string(replica.value);
    return text;
  }
  static std::string said(const PlaceAsk& ask) { return "ask " + std::to_string(ask.replica.value) + " at " + ask.address; }
  static std::string said(const Serving& serving) {
    return (serving.view.state == routing::ReplicaState::kDraining ? "draining " : "serving ") + text_of(serving.view.route.generation);
  }
  static std::string said(const NodeLeaving& leaving) { return "leaving within " + std::to_string(static_cast<int>(leaving.drain_s)); }
  static std::string said(const routing::ReplicaLoss& loss) { return "lost " + text_of(loss.replica); }
  static std::string said(const GivenUp& given_up) {
    return "given up " + std::to_string(given_up.replica.value) + ": " + given_up.why.message();
  }
};

class NodeCoreTest : public testing::Test {
 protected:
  using Lines = std::vector<std::string>;
  template <class Event>
  Lines on(Event event) {
    NodeEffects effects;
    event(effects);
    Lines lines;
    for (const NodeEffect& effect : effects) lines.push_back(std::visit(TextOf{}, effect));
    return lines;
  }
  Lines connect() {
    return on([&](NodeEffects& effects) { core.on_connected(effects); });
  }
  Lines assign(std::initializer_list<std::uint32_t> replicas) {
    Assignment assignment;
    for (const std::uint32_t replica : replicas) assignment.replicas.emplace_back(replica);
    return on([&](NodeEffects& effects) { core.on_assignment(assignment, effects); });
  }
  static routing::ReplicaView view(std::uint32_t replica, std::uint64_t epoch) {
    routing::ReplicaView view;
    view.route = {{ReplicaId(replica), Epoch(epoch)}, "10.0.0.1:9001", "cpu-2/x"};
    return view;
  }
  Lines ask(std::uint32_t replica) {
    PlaceAsk ask;
    ask.replica = ReplicaId(replica);
    ask.address = "10.0.0.1:9001";
    return on([&](NodeEffects& effects) { core.on_place_ask(ask, effects); });
  }
  Lines placed(std::uint32_t replica, std::uint64_t epoch) {
    return on([&](NodeEffects& effects) { core.on_placed({view(replica, epoch)}, effects); });
  }
  Lines drain(std::initializer_list<std::uint32_t> replicas, std::initializer_list<std::uint32_t> draining, double drain_s) {
    Assignment assignment;
    for (const std::uint32_t replica : replicas) assignment.replicas.emplace_back(replica);
    for (const std::uint32_t replica : draining) assignment.draining.emplace_back(replica);
    assignment.drain_s = drain_s;
    return on([&](NodeEffects& effects) { core.on_assignment(assignment, effects); });
  }
  Lines draining(std::uint32_t replica, std::uint64_t epoch) {
    routing::ReplicaView drains = view(replica, epoch);
    drains.state = routing::ReplicaState::kDraining;
    return on([&](NodeEffects& effects) { core.on_serving(drains, effects); });
  }
  Lines serving(std::uint32_t replica, std::uint64_t epoch) {
    return on([&](NodeEffects& effects) { core.on_serving(view(replica, epoch), effects); });
  }
  Lines lost(std::uint32_t replica, std::uint64_t epoch) {
    routing::ReplicaLoss loss;
    loss.replica = {ReplicaId(replica), Epoch(epoch)};
    loss.why = {StatusCode::kAborted, "it broke"};
    return on([&](NodeEffects& effects) { core.on_lost(loss, effects); });
  }
  Lines given_up(std::uint32_t replica) {
    return on([&](NodeEffects& effects) { core.on_given_up(ReplicaId(replica), missing("no memory"), effects); });
  }
  Lines ended(std::uint32_t replica) {
    return on([&](NodeEffects& effects) { core.on_ended(ReplicaId(replica), effects); });
  }
  Lines stop(double drain_s = 0) {
    return on([&](NodeEffects& effects) { core.on_stop(drain_s, effects); });
  }

  NodeCore core{2};
};

TEST_F(NodeCoreTest, HoldsWhatItIsAssignedAndTellsHowItGoes) {
  EXPECT_EQ(connect(), Lines{"> join 2 newest 0: held, serving"});
  EXPECT_EQ(assign({0, 4}), (Lines{"start 0 in 0", "start 4 in 1"}));
  EXPECT_EQ(ask(4), Lines{"> ask 4 at 10.0.0.1:9001"});
  EXPECT_EQ(placed(4, 7), Lines{"place 4/7"});
  EXPECT_EQ(serving(4, 7), Lines{"> serving 4/7"});
  EXPECT_EQ(lost(4, 7), Lines{"> lost 4/7"});
  EXPECT_EQ(assign({0, 4}), Lines{}) << "nothing new";
}

TEST_F(NodeCoreTest, WhatIsNotAssignedAnyMoreEndsAndThenItsSlotIsFree) {
  connect();
  assign({0, 1});
  EXPECT_EQ(assign({1, 2}), Lines{"end 0"}) << "replica 2 waits for its slot";
  EXPECT_EQ(assign({1, 2}), Lines{});
  EXPECT_EQ(ended(0), Lines{"start 2 in 0"});
}

TEST_F(NodeCoreTest, OneThatIsAssignedAgainWhileItEndsIsStartedAfresh) {
  connect();
  assign({0});
  EXPECT_EQ(assign({}), Lines{"end 0"});
  EXPECT_EQ(assign({0}), Lines{});
  EXPECT_EQ(ended(0), Lines{"start 0 in 0"});
}

TEST_F(NodeCoreTest, WithoutRoomItSaysSoAndDoesNotStartWhatWasGivenUpLater) {
  connect();
  EXPECT_EQ(assign({0, 1, 2}), (Lines{"start 0 in 0", "start 1 in 1", "> given up 2: this node has room for 2 replicas"}));
  EXPECT_EQ(assign({1, 2}), Lines{"end 0"});
  EXPECT_EQ(ended(0), Lines{}) << "it was told that it cannot be had here";
  EXPECT_EQ(assign({1}), Lines{});
  EXPECT_EQ(assign({1, 2}), Lines{"start 2 in 0"}) << "asked for anew, it is tried anew";
}

TEST_F(NodeCoreTest, OneThatIsGivenUpEndsAndIsTriedAnewOnlyWhenItIsAssignedAnew) {
  connect();
  assign({0});
  EXPECT_EQ(given_up(0), (Lines{"end 0", "> given up 0: no memory"}));
  EXPECT_EQ(given_up(0), Lines{});
  EXPECT_EQ(ended(0), Lines{});
  EXPECT_EQ(assign({0}), Lines{});
  core.on_disconnected();
  EXPECT_EQ(connect(), (Lines{"> join 2 newest 0: held, serving", "> given up 0: no memory"})) << "it may not have been heard";
  EXPECT_EQ(assign({}), Lines{});
  EXPECT_EQ(assign({0}), Lines{"start 0 in 0"});
}

TEST_F(NodeCoreTest, WhileTheCoordinatorIsAwayNothingEndsAndItHearsOfAllWhenItIsBack) {
  connect();
  core.on_epoch(Epoch(5));
  core.on_epoch(Epoch(4));
  assign({0, 1});
  ask(0);
  placed(0, 7);
  serving(0, 7);
  core.on_disconnected();
  EXPECT_EQ(ask(1), Lines{});
  EXPECT_EQ(lost(0, 7), Lines{});
  EXPECT_EQ(serving(0, 8), Lines{});
  EXPECT_EQ(connect(), (Lines{"> join 2 newest 5: held 0 1, serving 0/8", "> ask 1 at 10.0.0.1:9001"}));
  EXPECT_EQ(placed(1, 9), Lines{"place 1/9"});
}

TEST_F(NodeCoreTest, AnAnswerThatNobodyWaitsForPlacesNothing) {
  connect();
  assign({0});
  EXPECT_EQ(placed(0, 7), Lines{}) << "not asked";
  ask(0);
  EXPECT_EQ(placed(1, 7), Lines{}) << "not held";
  EXPECT_EQ(placed(0, 8), Lines{"place 0/8"});
  EXPECT_EQ(placed(0, 8), Lines{}) << "twice";
  ask(0);
  assign({});
  EXPECT_EQ(placed(0, 9), Lines{}) << "it ends";
  EXPECT_EQ(ask(0), Lines{});
}

TEST_F(NodeCoreTest, ALateLossOfAnEarlierGenerationDoesNotHideTheOneThatServes) {
  connect();
  assign({0});
  serving(0, 8);
  lost(0, 7);
  core.on_disconnected();
  EXPECT_EQ(connect(), Lines{"> join 2 newest 0: held 0, serving 0/8"});
}

TEST_F(NodeCoreTest, WhatEndsIsNotSaidToBeHeld) {
  connect();
  assign({0, 1});
  serving(0, 7);
  assign({1});
  core.on_disconnected();
  EXPECT_EQ(connect(), Lines{"> join 2 newest 0: held 1, serving"});
}

TEST_F(NodeCoreTest, WhatDrainsEndsInItsTimeAndIsNotStartedAgain) {
  connect();
  assign({0, 1});
  serving(0, 7);
  EXPECT_EQ(drain({0, 1}, {0}, 30), Lines{"end 0 within 30"});
  EXPECT_EQ(draining(0, 7), Lines{"> draining 0/7"});
  EXPECT_EQ(drain({0, 1}, {0}, 30), Lines{}) << "said again, its time does not begin anew";
  EXPECT_EQ(drain({0, 1}, {0}, 5), Lines{"end 0 within 5"}) << "it is hurried";
  EXPECT_EQ(lost(0, 7), Lines{"> lost 0/7"});
  EXPECT_EQ(ended(0), Lines{});
  EXPECT_EQ(drain({0, 1}, {0}, 5), Lines{});
  EXPECT_EQ(assign({0, 1}), Lines{"start 0 in 0"}) << "it is not to drain any more";
}

TEST_F(NodeCoreTest, OneThatIsNotToDrainAfterAllComesBackOnceItHasEnded) {
  connect();
  assign({0});
  drain({0}, {0}, 30);
  EXPECT_EQ(assign({0}), Lines{}) << "its leader takes nothing new in this generation";
  EXPECT_EQ(ended(0), Lines{"start 0 in 0"});
}

TEST_F(NodeCoreTest, WhatDrainsEndsAtOnceWhenItIsNotAssignedAnyMoreAndStaysSo) {
  connect();
  assign({0});
  drain({0}, {0}, 30);
  EXPECT_EQ(assign({}), Lines{"end 0"});
  EXPECT_EQ(drain({0}, {0}, 30), Lines{});
}

TEST_F(NodeCoreTest, ACoordinatorThatComesLaterHearsWhatDrains) {
  connect();
  assign({0, 1});
  serving(0, 7);
  drain({0, 1}, {0}, 30);
  draining(0, 7);
  core.on_disconnected();
  EXPECT_EQ(connect(), Lines{"> join 2 newest 0: held 0 1, serving draining 0/7"});
}

TEST_F(NodeCoreTest, WhatAnOperatorDrainedIsRememberedForTheNextCoordinator) {
  connect();
  Assignment assignment;
  assignment.node_drains = true;
  assignment.drained = {ReplicaId(5)};
  on([&](NodeEffects& effects) { core.on_assignment(assignment, effects); });
  core.on_disconnected();
  EXPECT_EQ(connect(), Lines{"> join 2 newest 0: held, serving, drains, drained 5"});
  assign({});
  core.on_disconnected();
  EXPECT_EQ(connect(), Lines{"> join 2 newest 0: held, serving"});
}

TEST_F(NodeCoreTest, ANodeThatLeavesDrainsWhatItHolds) {
  connect();
  assign({0, 1});
  serving(0, 7);
  EXPECT_EQ(stop(30), (Lines{"> leaving within 30", "end 0 within 30", "end 1 within 30"}));
  draining(0, 7);
  EXPECT_EQ(assign({1, 2}), Lines{});
  core.on_disconnected();
  EXPECT_EQ(connect(), (Lines{"> join 2 newest 0: held 0 1, serving draining 0/7", "> leaving within 30"}))
      << "a coordinator that started meanwhile";
  ended(1);
  EXPECT_FALSE(core.over());
  EXPECT_EQ(stop(0), (Lines{"> leaving within 0", "end 0"})) << "it is hurried";
  ended(0);
  EXPECT_TRUE(core.over());
}

TEST_F(NodeCoreTest, StoppingEndsAllAndStartsNothing) {
  connect();
  assign({0, 1});
  given_up(1);
  EXPECT_FALSE(core.over());
  EXPECT_EQ(stop(), (Lines{"> leaving within 0", "end 0"}));
  EXPECT_EQ(assign({0, 1}), Lines{});
  ended(0);
  EXPECT_FALSE(core.over());
  EXPECT_EQ(ended(1), Lines{});
  EXPECT_TRUE(core.over());
}

}  // namespace
}  // namespace herd::membership
