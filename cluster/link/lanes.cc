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
      return Lane::kControl;
    case FrameKind::kTokenDeltas:
    case FrameKind::kStepPlan:
    case FrameKind::kStepResult:
    case FrameKind::kStepOutputs:
      return Lane::kTokens;
    case FrameKind::kSubmission:
    case FrameKind::kAbort:
      return Lane::kRequests;
  }
  return Lane::kLink;
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
      return from == Role::kRank && to == Role::kGateway;
    case FrameKind::kStepPlan:
    case FrameKind::kStepResult:
    case FrameKind::kStepOutputs:
      return from == Role::kRank && to == Role::kRank;
    case FrameKind::kGatewayJoin:
      return from == Role::kGateway && to == Role::kCoordinator;
    case FrameKind::kClusterView:
      return from == Role::kCoordinator && to == Role::kGateway;
    case FrameKind::kReplicaLoss:
      return (from == Role::kCoordinator && to == Role::kGateway) ||
             (from == Role::kRank && (to == Role::kGateway || to == Role::kCoordinator));
    case FrameKind::kRankSpec:
      return from == Role::kNode && to == Role::kRank;
  }
  return false;
}

}  // namespace herd::link
