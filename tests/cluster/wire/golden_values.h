#pragma once
// The values that the frames in golden/ were made of.

#include <vector>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/group_codec.h"
#include "cluster/wire/link_codec.h"
#include "cluster/wire/membership_codec.h"
#include "cluster/wire/moves_codec.h"
#include "cluster/wire/rank_codec.h"
#include "cluster/wire/report_codec.h"
#include "cluster/wire/step_codec.h"

namespace herd::wire {

inline constexpr step::AttemptKey kGoldenAttempt{GatewayId(0x1122334455667788), SequenceId(42), 1};

handshake::Hello golden_hello();
step::Submission golden_submission();
std::vector<step::TokenDelta> golden_deltas();
step::StepPlan golden_plan();
step::StepResult golden_result();
step::BlockPart golden_block_part();
routing::GatewayJoin golden_join();
routing::ClusterView golden_view();
routing::ReplicaLoss golden_loss();
routing::QuotaDemand golden_quota_demand();
routing::QuotaShares golden_quota_shares();
placement::RankSpec golden_rank_spec();
placement::RankSpec golden_gpu_rank_spec();
handshake::Goodbye golden_goodbye();

membership::NodeJoin golden_node_join();
membership::Assignment golden_assignment();
membership::PlaceAsk golden_place_ask();
membership::Placed golden_placed();
membership::Serving golden_serving();
membership::GivenUp golden_given_up();
membership::NodeLeaving golden_node_leaving();

replica::RankLoading golden_rank_loading();
replica::RankReadyNote golden_rank_ready();
replica::FormReplica golden_form_replica();
replica::FormReplica golden_form_replica_unbounded();
replica::JoinGroupOrder golden_join_group();
replica::RankJoinedNote golden_rank_joined();
replica::LeaveGroupOrder golden_leave_group();
replica::RankLeftNote golden_rank_left();
replica::RankFailedNote golden_rank_failed();
replica::StopReplicaOrder golden_stop_replica();
replica::RankEnded golden_rank_ended();
replica::GenerationEnded golden_generation_ended();
replica::ReplicaReport golden_replica_report();

replica::MoveAsk golden_move_ask();
replica::MoveGrant golden_move_grant();
replica::MoveStop golden_move_stop();
replica::MoveFound golden_move_found();
replica::MoveOver golden_move_over();

report::ProcessReports golden_process_reports();
report::ClusterStatusReport golden_cluster_status();
report::DrainAsk golden_drain_ask();
report::OrderAnswer golden_order_answer();
report::ReloadPrepare golden_reload_prepare();
report::ReloadPrepared golden_reload_prepared();
report::ReloadDecision golden_reload_decision();

}  // namespace herd::wire
