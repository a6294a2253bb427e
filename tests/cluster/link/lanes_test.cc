#include "cluster/link/lanes.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

#include "tests/cluster/link/link_pair.h"

namespace herd::link {
namespace {

using handshake::Role;
using wire::FrameKind;

constexpr Role kCoordinator = Role::kCoordinator, kNode = Role::kNode, kGateway = Role::kGateway, kRank = Role::kRank,
               kOperator = Role::kOperator;
constexpr Role kRoles[] = {kCoordinator, kNode, kGateway, kRank, kOperator};
constexpr unsigned kKinds = 50;  // the last one's number, and one

// Every kind with its lane and who says it to whom.
struct Row {
  FrameKind kind;
  Lane lane;
  std::vector<std::pair<Role, Role>> says;
};
const std::vector<Row>& rows() {
  static const std::vector<Row> all{
      {FrameKind::kSubmission, Lane::kRequests, {{kGateway, kRank}}},
      {FrameKind::kAbort, Lane::kRequests, {{kGateway, kRank}}},
      {FrameKind::kTokenDeltas, Lane::kTokens, {{kRank, kGateway}}},
      {FrameKind::kReplicaReport, Lane::kTokens, {{kRank, kGateway}}},
      {FrameKind::kStepPlan, Lane::kTokens, {{kRank, kRank}}},
      {FrameKind::kStepResult, Lane::kTokens, {{kRank, kRank}}},
      {FrameKind::kBlockPart, Lane::kTokens, {{kRank, kRank}}},
      {FrameKind::kJoinGroup, Lane::kControl, {{kRank, kRank}}},
      {FrameKind::kRankJoined, Lane::kControl, {{kRank, kRank}}},
      {FrameKind::kGatewayJoin, Lane::kControl, {{kGateway, kCoordinator}, {kGateway, kRank}}},
      {FrameKind::kClusterView, Lane::kControl, {{kCoordinator, kGateway}}},
      {FrameKind::kReplicaLoss, Lane::kControl, {{kCoordinator, kGateway}, {kRank, kGateway}, {kNode, kCoordinator}}},
      {FrameKind::kRankSpec, Lane::kControl, {{kNode, kRank}}},
      {FrameKind::kFormReplica, Lane::kControl, {{kNode, kRank}}},
      {FrameKind::kLeaveGroup, Lane::kControl, {{kNode, kRank}}},
      {FrameKind::kStopReplica, Lane::kControl, {{kNode, kRank}, {kRank, kNode}}},
      {FrameKind::kRankEnded, Lane::kControl, {{kNode, kRank}}},
      {FrameKind::kRankLoading, Lane::kControl, {{kRank, kNode}}},
      {FrameKind::kRankReady, Lane::kControl, {{kRank, kNode}}},
      {FrameKind::kRankLeft, Lane::kControl, {{kRank, kNode}}},
      {FrameKind::kRankFailed, Lane::kControl, {{kRank, kNode}}},
      {FrameKind::kGenerationEnded, Lane::kControl, {{kRank, kNode}}},
      {FrameKind::kServing, Lane::kControl, {{kRank, kNode}, {kNode, kCoordinator}}},
      {FrameKind::kNodeJoin, Lane::kControl, {{kNode, kCoordinator}}},
      {FrameKind::kPlaceAsk, Lane::kControl, {{kNode, kCoordinator}}},
      {FrameKind::kGivenUp, Lane::kControl, {{kNode, kCoordinator}}},
      {FrameKind::kAssignment, Lane::kControl, {{kCoordinator, kNode}}},
      {FrameKind::kPlaced, Lane::kControl, {{kCoordinator, kNode}}},
      {FrameKind::kProcessReports, Lane::kControl, {{kNode, kCoordinator}, {kGateway, kCoordinator}}},
      {FrameKind::kStatusAsk, Lane::kControl, {{kOperator, kCoordinator}}},
      {FrameKind::kClusterStatus, Lane::kControl, {{kCoordinator, kOperator}}},
      {FrameKind::kDrainAsk, Lane::kControl, {{kOperator, kCoordinator}}},
      {FrameKind::kReloadAsk, Lane::kControl, {{kOperator, kCoordinator}}},
      {FrameKind::kOrderAnswer, Lane::kControl, {{kCoordinator, kOperator}}},
      {FrameKind::kReloadPrepare, Lane::kControl, {{kCoordinator, kNode}, {kCoordinator, kGateway}}},
      {FrameKind::kReloadPrepared, Lane::kControl, {{kNode, kCoordinator}, {kGateway, kCoordinator}}},
      {FrameKind::kReloadDecision, Lane::kControl, {{kCoordinator, kNode}, {kCoordinator, kGateway}}},
      {FrameKind::kQuotaDemand, Lane::kControl, {{kGateway, kCoordinator}}},
      {FrameKind::kQuotaShares, Lane::kControl, {{kCoordinator, kGateway}}},
      {FrameKind::kNodeLeaving, Lane::kControl, {{kNode, kCoordinator}}},
      {FrameKind::kMoveAsk, Lane::kRequests, {{kRank, kRank}}},
      {FrameKind::kMoveGrant, Lane::kRequests, {{kRank, kRank}}},
      {FrameKind::kMoveStop, Lane::kRequests, {{kRank, kRank}}},
      {FrameKind::kMoveFound, Lane::kRequests, {{kRank, kRank}}},
      {FrameKind::kMoveOver, Lane::kRequests, {{kRank, kRank}}},
  };
  return all;
}

TEST(Lanes, EveryKindIsInTheTable) {
  std::set<FrameKind> kinds{FrameKind::kUnknown, FrameKind::kHello, FrameKind::kPing, FrameKind::kGoodbye};
  for (const Row& row : rows()) EXPECT_TRUE(kinds.insert(row.kind).second) << static_cast<unsigned>(row.kind);
  EXPECT_EQ(kinds.size(), kKinds - 1) << "one of them is obsolete";
  for (const FrameKind kind : kinds) {
    EXPECT_LT(static_cast<unsigned>(kind), kKinds);
    EXPECT_EQ(wire::frame_words_max(kind) > 0, kind != FrameKind::kUnknown);
  }
  EXPECT_EQ(wire::frame_words_max(static_cast<FrameKind>(kKinds)), 0U);
}

TEST(Lanes, EachKindHasOneAndASender) {
  for (const Row& row : rows()) {
    EXPECT_EQ(lane_of(row.kind), row.lane) << static_cast<unsigned>(row.kind);
    for (const Role from : kRoles)
      for (const Role to : kRoles)
        EXPECT_EQ(may_send(row.kind, from, to), std::ranges::find(row.says, std::pair(from, to)) != row.says.end())
            << static_cast<unsigned>(row.kind) << " from " << handshake::role_name(from) << " to " << handshake::role_name(to);
  }
  EXPECT_EQ(lane_of(FrameKind::kReplicaLoss, kRank), lane_of(FrameKind::kTokenDeltas)) << "it would overtake the last tokens";
  EXPECT_EQ(lane_of(FrameKind::kReplicaLoss, kNode), lane_of(FrameKind::kPlaceAsk)) << "it would come behind the next generation";
  EXPECT_EQ(lane_of(FrameKind::kReplicaLoss, kCoordinator), lane_of(FrameKind::kClusterView)) << "likewise";
  for (const FrameKind kind : {FrameKind::kHello, FrameKind::kPing, FrameKind::kGoodbye}) {
    EXPECT_EQ(lane_of(kind), Lane::kLink);
    EXPECT_TRUE(may_send(kind, kOperator, kRank));
  }
  EXPECT_FALSE(may_send(FrameKind::kUnknown, kNode, kCoordinator));
}

// A message of the link itself is one fragment: no other waits behind a part of it.
TEST(Lanes, TheLinksOwnFramesAreOneFragment) {
  for (const FrameKind kind : {FrameKind::kHello, FrameKind::kPing, FrameKind::kGoodbye})
    EXPECT_LE(wire::kFrameHeaderBytes + std::size_t{wire::frame_words_max(kind)} * 8, kPayloadBytesMax);
}

// What a process may not hear ends the connection before its payload is looked at; all else arrives.
TEST(Lanes, AnOpenSessionTakesWhatThePeersRoleMaySay) {
  for (const Role from : kRoles) {
    for (const Role to : kRoles) {
      for (const Row& row : rows()) {
        LinkSession mine(rules_of(to, "here", {{from, ""}}), {});
        LinkSession theirs(rules_of(from, "there", {{to, ""}}), {});
        mine.on_bytes(drain(theirs, {}), {});
        ASSERT_TRUE(mine.is_open()) << mine.why().message();
        (void)mine.take_events();
        mine.on_bytes(fragment_of(frame_of(row.kind, 2), lane_of(row.kind, from), 2), {});
        const bool right = may_send(row.kind, from, to);
        EXPECT_EQ(mine.is_open(), right);
        EXPECT_EQ(frames_of(mine).size(), right ? 1U : 0U);
        if (!right) {
          EXPECT_NE(mine.why().message().find("has no right to send"), std::string::npos) << mine.why().message();
        }
      }
    }
  }
}

}  // namespace
}  // namespace herd::link
