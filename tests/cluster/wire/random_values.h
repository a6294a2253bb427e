#pragma once
// Valid values of every message, drawn from a seed: for round trips, mutations and fuzz corpora.

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
#include "tests/cluster/wire/random_draws.h"

namespace herd::wire {

step::Submission random_submission(Random& random);
std::vector<step::TokenDelta> random_deltas(Random& random);
step::StepPlan random_plan(Random& random);
step::StepResult random_result(Random& random);
step::BlockPart random_block_part(Random& random);
step::AttemptKey random_attempt(Random& random);
handshake::Hello random_hello(Random& random);
routing::GatewayJoin random_join(Random& random);
routing::ClusterView random_view(Random& random);
routing::ReplicaLoss random_loss(Random& random);
routing::QuotaDemand random_quota_demand(Random& random);
routing::QuotaShares random_quota_shares(Random& random);
placement::RankSpec random_rank_spec(Random& random);
handshake::Ping random_ping(Random& random);
handshake::Goodbye random_goodbye(Random& random);

membership::NodeJoin random_node_join(Random& random);
membership::Assignment random_assignment(Random& random);
membership::PlaceAsk random_place_ask(Random& random);
membership::Placed random_placed(Random& random);
membership::Serving random_serving(Random& random);
membership::GivenUp random_given_up(Random& random);
membership::NodeLeaving random_node_leaving(Random& random);

replica::RankLoading random_rank_loading(Random& random);
replica::RankReadyNote random_rank_ready(Random& random);
replica::FormReplica random_form_replica(Random& random);
replica::JoinGroupOrder random_join_group(Random& random);
replica::RankJoinedNote random_rank_joined(Random& random);
replica::LeaveGroupOrder random_leave_group(Random& random);
replica::RankLeftNote random_rank_left(Random& random);
replica::RankFailedNote random_rank_failed(Random& random);
replica::StopReplicaOrder random_stop_replica(Random& random);
replica::RankEnded random_rank_ended(Random& random);
replica::GenerationEnded random_generation_ended(Random& random);
replica::ReplicaReport random_replica_report(Random& random);

replica::MoveAsk random_move_ask(Random& random);
replica::MoveGrant random_move_grant(Random& random);
replica::MoveStop random_move_stop(Random& random);
replica::MoveFound random_move_found(Random& random);
replica::MoveOver random_move_over(Random& random);

report::ProcessReports random_process_reports(Random& random);
report::StatusAsk random_status_ask(Random& random);
report::ClusterStatusReport random_cluster_status(Random& random);
report::DrainAsk random_drain_ask(Random& random);
report::ReloadAsk random_reload_ask(Random& random);
report::OrderAnswer random_order_answer(Random& random);
report::ReloadPrepare random_reload_prepare(Random& random);
report::ReloadPrepared random_reload_prepared(Random& random);
report::ReloadDecision random_reload_decision(Random& random);

}  // namespace herd::wire
