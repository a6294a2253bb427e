#pragma once
// What every codec's fuzz target asks of a message: refused, or valid and unchanged by another round trip.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/envelope.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/group_codec.h"
#include "cluster/wire/link_codec.h"
#include "cluster/wire/membership_codec.h"
#include "cluster/wire/moves_codec.h"
#include "cluster/wire/rank_codec.h"
#include "cluster/wire/report_codec.h"
#include "cluster/wire/step_codec.h"
#include "kernels/check.h"

namespace herd::wire {

// What follows the eight bytes that choose the message; at least those are there.
inline Words words_of(const std::uint8_t* data, std::size_t size) {
  Words words((size - 8) / 8);
  if (!words.empty()) std::memcpy(words.data(), data + 8, words.size() * 8);
  return words;
}

template <class Decode>
void try_decode(const Words& words, Decode decode) {
  const auto value = decode(words);
  if (!value) return;
  HERD_CHECK(validate(*value).ok(), "what decode lets through is valid");
  const auto again = decode(encode(*value).words);
  HERD_CHECK(again.has_value(), "a decoded value can be sent on");
  // Bytes, not values: NaN is not equal to itself.
  HERD_CHECK(encode(*again) == encode(*value), "a round trip changes nothing");
}

// As the process would that takes a frame of that kind from a connection. The link's own are not among them.
inline void try_decode_kind(FrameKind kind, const Words& words) {
  switch (kind) {
    case FrameKind::kUnknown:
    case FrameKind::kHello:
    case FrameKind::kPing:
    case FrameKind::kGoodbye:
      HERD_CHECK(false, "the connection keeps it");
      return;
    case FrameKind::kSubmission:
      return try_decode(words, decode_submission);
    case FrameKind::kAbort:
      return try_decode(words, decode_abort);
    case FrameKind::kTokenDeltas:
      return try_decode(words, decode_token_deltas);
    case FrameKind::kStepPlan:
      return try_decode(words, decode_step_plan);
    case FrameKind::kStepResult:
      return try_decode(words, decode_step_result);
    case FrameKind::kBlockPart:
      return try_decode(words, decode_block_part);
    case FrameKind::kGatewayJoin:
      return try_decode(words, decode_gateway_join);
    case FrameKind::kClusterView:
      return try_decode(words, decode_cluster_view);
    case FrameKind::kReplicaLoss:
      return try_decode(words, decode_replica_loss);
    case FrameKind::kRankSpec:
      return try_decode(words, decode_rank_spec);
    case FrameKind::kNodeJoin:
      return try_decode(words, decode_node_join);
    case FrameKind::kAssignment:
      return try_decode(words, decode_assignment);
    case FrameKind::kPlaceAsk:
      return try_decode(words, decode_place_ask);
    case FrameKind::kPlaced:
      return try_decode(words, decode_placed);
    case FrameKind::kServing:
      return try_decode(words, decode_serving);
    case FrameKind::kGivenUp:
      return try_decode(words, decode_given_up);
    case FrameKind::kRankLoading:
      return try_decode(words, decode_rank_loading);
    case FrameKind::kRankReady:
      return try_decode(words, decode_rank_ready);
    case FrameKind::kFormReplica:
      return try_decode(words, decode_form_replica);
    case FrameKind::kJoinGroup:
      return try_decode(words, decode_join_group);
    case FrameKind::kRankJoined:
      return try_decode(words, decode_rank_joined);
    case FrameKind::kLeaveGroup:
      return try_decode(words, decode_leave_group);
    case FrameKind::kRankLeft:
      return try_decode(words, decode_rank_left);
    case FrameKind::kRankFailed:
      return try_decode(words, decode_rank_failed);
    case FrameKind::kStopReplica:
      return try_decode(words, decode_stop_replica);
    case FrameKind::kRankEnded:
      return try_decode(words, decode_rank_ended);
    case FrameKind::kGenerationEnded:
      return try_decode(words, decode_generation_ended);
    case FrameKind::kReplicaReport:
      return try_decode(words, decode_replica_report);
    case FrameKind::kProcessReports:
      return try_decode(words, decode_process_reports);
    case FrameKind::kStatusAsk:
      return try_decode(words, decode_status_ask);
    case FrameKind::kClusterStatus:
      return try_decode(words, decode_cluster_status);
    case FrameKind::kDrainAsk:
      return try_decode(words, decode_drain_ask);
    case FrameKind::kReloadAsk:
      return try_decode(words, decode_reload_ask);
    case FrameKind::kOrderAnswer:
      return try_decode(words, decode_order_answer);
    case FrameKind::kReloadPrepare:
      return try_decode(words, decode_reload_prepare);
    case FrameKind::kReloadPrepared:
      return try_decode(words, decode_reload_prepared);
    case FrameKind::kReloadDecision:
      return try_decode(words, decode_reload_decision);
    case FrameKind::kQuotaDemand:
      return try_decode(words, decode_quota_demand);
    case FrameKind::kQuotaShares:
      return try_decode(words, decode_quota_shares);
    case FrameKind::kNodeLeaving:
      return try_decode(words, decode_node_leaving);
    case FrameKind::kMoveAsk:
      return try_decode(words, decode_move_ask);
    case FrameKind::kMoveGrant:
      return try_decode(words, decode_move_grant);
    case FrameKind::kMoveStop:
      return try_decode(words, decode_move_stop);
    case FrameKind::kMoveFound:
      return try_decode(words, decode_move_found);
    case FrameKind::kMoveOver:
      return try_decode(words, decode_move_over);
  }
}

}  // namespace herd::wire
