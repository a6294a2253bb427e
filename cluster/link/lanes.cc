#include "cluster/link/lanes.h"

namespace herd::link {

using handshake::Role;
using wire::FrameKind;

Lane lane_of(FrameKind kind) {
  switch (kind) {
    case FrameKind::kUnknown:
    case FrameKind::kHello:
    case FrameKind::kPing:
    case FrameKind::kGoodbye:
      return Lane::kLink;
    case FrameKind::kGatewayJoin:
    case FrameKind::kClusterView:
    case FrameKind::kReplicaLoss:
    case FrameKind::kRankSpec:
    case FrameKind::kNodeJoin:
    case FrameKind::kAssignment:
    case FrameKind::kPlaceAsk:
    case FrameKind::kPlaced:
    case FrameKind::kServing:
    case FrameKind::kGivenUp:
    case FrameKind::kRankLoading:
    case FrameKind::kRankReady:
    case FrameKind::kFormReplica:
    case FrameKind::kJoinGroup:
    case FrameKind::kRankJoined:
    case FrameKind::kLeaveGroup:
    case FrameKind::kRankLeft:
    case FrameKind::kRankFailed:
    case FrameKind::kStopReplica:
    case FrameKind::kRankEnded:
    case FrameKind::kGenerationEnded:
    case FrameKind::kProcessReports:
    case FrameKind::kStatusAsk:
    case FrameKind::kClusterStatus:
    case FrameKind::kDrainAsk:
    case FrameKind::kReloadAsk:
    case FrameKind::kOrderAnswer:
    case FrameKind::kReloadPrepare:
    case FrameKind::kReloadPrepared:
    case FrameKind::kReloadDecision:
    case FrameKind::kQuotaDemand:
    case FrameKind::kQuotaShares:
    case FrameKind::kNodeLeaving:
      return Lane::kControl;
    case FrameKind::kTokenDeltas:
    case FrameKind::kReplicaReport:
    case FrameKind::kStepPlan:
    case FrameKind::kStepResult:
    case FrameKind::kBlockPart:  // a plan does not overtake the bytes that it writes
      return Lane::kTokens;
    case FrameKind::kSubmission:
    case FrameKind::kAbort:
    case FrameKind::kMoveAsk:
    case FrameKind::kMoveGrant:
    case FrameKind::kMoveStop:
    case FrameKind::kMoveFound:
    case FrameKind::kMoveOver:
      return Lane::kRequests;
  }
  return Lane::kLink;
}

Lane lane_of(FrameKind kind, Role from) {
  return kind == FrameKind::kReplicaLoss && from == Role::kRank ? Lane::kTokens : lane_of(kind);
}

bool may_send(FrameKind kind, Role from, Role to) {
  switch (kind) {
    case FrameKind::kUnknown:
      return false;
    case FrameKind::kHello:
    case FrameKind::kPing:
    case FrameKind::kGoodbye:
      return true;
    case FrameKind::kSubmission:
    case FrameKind::kAbort:
      return from == Role::kGateway && to == Role::kRank;
    case FrameKind::kTokenDeltas:
    case FrameKind::kReplicaReport:
      return from == Role::kRank && to == Role::kGateway;
    case FrameKind::kStepPlan:
    case FrameKind::kStepResult:
    case FrameKind::kBlockPart:
    case FrameKind::kJoinGroup:
    case FrameKind::kRankJoined:
    case FrameKind::kMoveAsk:
    case FrameKind::kMoveGrant:
    case FrameKind::kMoveStop:
    case FrameKind::kMoveFound:
    case FrameKind::kMoveOver:
      return from == Role::kRank && to == Role::kRank;
    case FrameKind::kGatewayJoin:
      return from == Role::kGateway && (to == Role::kCoordinator || to == Role::kRank);
    case FrameKind::kClusterView:
      return from == Role::kCoordinator && to == Role::kGateway;
    case FrameKind::kReplicaLoss:
      return (from == Role::kCoordinator && to == Role::kGateway) ||
             (from == Role::kRank && to == Role::kGateway) || (from == Role::kNode && to == Role::kCoordinator);
    case FrameKind::kRankSpec:
    case FrameKind::kFormReplica:
    case FrameKind::kLeaveGroup:
    case FrameKind::kRankEnded:
      return from == Role::kNode && to == Role::kRank;
    case FrameKind::kStopReplica:
      return (from == Role::kNode && to == Role::kRank) || (from == Role::kRank && to == Role::kNode);
    case FrameKind::kRankLoading:
    case FrameKind::kRankReady:
    case FrameKind::kRankLeft:
    case FrameKind::kRankFailed:
    case FrameKind::kGenerationEnded:
      return from == Role::kRank && to == Role::kNode;
    case FrameKind::kServing:
      return (from == Role::kRank && to == Role::kNode) || (from == Role::kNode && to == Role::kCoordinator);
    case FrameKind::kNodeJoin:
    case FrameKind::kPlaceAsk:
    case FrameKind::kGivenUp:
    case FrameKind::kNodeLeaving:
      return from == Role::kNode && to == Role::kCoordinator;
    case FrameKind::kAssignment:
    case FrameKind::kPlaced:
      return from == Role::kCoordinator && to == Role::kNode;
    case FrameKind::kProcessReports:
    case FrameKind::kReloadPrepared:
      return (from == Role::kNode || from == Role::kGateway) && to == Role::kCoordinator;
    case FrameKind::kStatusAsk:
    case FrameKind::kDrainAsk:
    case FrameKind::kReloadAsk:
      return from == Role::kOperator && to == Role::kCoordinator;
    case FrameKind::kClusterStatus:
    case FrameKind::kOrderAnswer:
      return from == Role::kCoordinator && to == Role::kOperator;
    case FrameKind::kReloadPrepare:
    case FrameKind::kReloadDecision:
      return from == Role::kCoordinator && (to == Role::kNode || to == Role::kGateway);
    case FrameKind::kQuotaDemand:
      return from == Role::kGateway && to == Role::kCoordinator;
    case FrameKind::kQuotaShares:
      return from == Role::kCoordinator && to == Role::kGateway;
  }
  return false;
}

}  // namespace herd::link
