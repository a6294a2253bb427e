// What nodes, leaders, ranks, the coordinator and operators tell each other.

#include "tests/cluster/wire/golden_values.h"

namespace herd::wire {
namespace {

routing::ReplicaView golden_replica(routing::ReplicaState state) {
  return {{{ReplicaId(2), Epoch(7)}, "10.0.0.1:7001", "cpu-1/one"}, state, true, 32, 4096};
}

scheduler::DeviceRates golden_rates() { return {3e10, 2e10, 0.00025, 1e10, 1.5e10}; }

scheduler::SchedulerConfig golden_scheduler(std::optional<std::uint32_t> max_step_ms) {
  return {.max_num_seqs = 48,
          .max_num_batched_tokens = 640,
          .max_prefill_seqs = 16,
          .prefill_chunk_max = 128,
          .max_step_ms = max_step_ms,
          .queue_requests_max = 512,
          .queue_tokens_max = 1ULL << 33,
          .max_model_len = 4096,
          .vocab_size = 128256,
          .block_size = 32,
          .num_blocks = 1000,
          .watermark_blocks = 12,
          .prefix_caching = false,
          .shared_prefix_min = 96,
          .transfer_blocks_per_step = 12,
          .policy = scheduler::SchedulingPolicy::kPriority,
          .steps_ahead = 1};
}

std::vector<report::ProcessReport> golden_processes() {
  return {{.role = handshake::Role::kRank,
           .name = "replica-2/rank-0",
           .node = "node-a",
           .pid = 4711,
           .leader = true,
           .state = report::ProcessState::kServing,
           .epoch = 7,
           .restarts = 2,
           .last_death = "killed by signal 9 (SIGKILL)",
           .endpoint_url = "",
           .metrics_url = "http://127.0.0.1:9101/metrics",
           .loaded_percent = 100},
          {.role = handshake::Role::kGateway,
           .name = "gateway-0",
           .node = "node-b",
           .pid = 0,
           .leader = false,
           .state = report::ProcessState::kStopped,
           .epoch = 0,
           .restarts = 0,
           .last_death = "",
           .endpoint_url = "http://127.0.0.1:8000",
           .metrics_url = "",
           .loaded_percent = -1,
           .access_digest = "0123456789abcdef/fedcba9876543210"},
          {.role = handshake::Role::kNode,
           .name = "node-a",
           .node = "node-a",
           .pid = 4710,
           .leader = false,
           .state = report::ProcessState::kDraining,
           .epoch = 0,
           .restarts = 0,
           .last_death = "",
           .endpoint_url = "",
           .metrics_url = "",
           .loaded_percent = -1,
           .access_digest = "",
           .weights_digest = "00112233445566ff",
           .tokenizer_digest = "0a1b2c3d4e5f6789"}};
}

}  // namespace

membership::NodeJoin golden_node_join() {
  return {4,    Epoch(7),      {ReplicaId(2), ReplicaId(5)}, {golden_replica(routing::ReplicaState::kDraining)},
          true, {ReplicaId(9)}};
}

membership::Assignment golden_assignment() {
  return {{ReplicaId(2), ReplicaId(6)}, {ReplicaId(6)}, 30.5, true, {ReplicaId(6), ReplicaId(9)}};
}

membership::NodeLeaving golden_node_leaving() { return {12.5}; }

membership::PlaceAsk golden_place_ask() { return {ReplicaId(2), "10.0.0.1:7001", "cpu-1/one", 32, 4096}; }

membership::Placed golden_placed() { return {golden_replica(routing::ReplicaState::kMaking)}; }

membership::Serving golden_serving() { return {golden_replica(routing::ReplicaState::kServing)}; }

membership::GivenUp golden_given_up() { return {ReplicaId(2), {StatusCode::kMissing, "3 restarts in 60 s"}}; }

replica::RankLoading golden_rank_loading() { return {1ULL << 33, 1ULL << 34}; }

replica::RankReadyNote golden_rank_ready() {
  return {{}, golden_rates(), "cpu-1", {{11, 12}, {13, 14}}, "10.0.0.1:7001", "127.0.0.1:9101", "AVX-512, 6 threads"};
}

replica::FormReplica golden_form_replica() {
  return {.view = golden_replica(routing::ReplicaState::kMaking),
          .ranks = 2,
          .rendezvous = "replica-2/7",
          .scheduler = golden_scheduler(40),
          .rates = golden_rates(),
          .step_seconds_max = 90.5,
          .watch = {0.25, 2.5, 8, 1.25}};
}

replica::FormReplica golden_form_replica_unbounded() {
  replica::FormReplica order = golden_form_replica();
  order.scheduler = golden_scheduler(std::nullopt);
  return order;
}

replica::JoinGroupOrder golden_join_group() { return {"replica-2/7"}; }

replica::RankJoinedNote golden_rank_joined() { return {{StatusCode::kAborted, "rank 1 did not come"}}; }

replica::LeaveGroupOrder golden_leave_group() { return {Epoch(7)}; }

replica::RankLeftNote golden_rank_left() { return {Epoch(7)}; }

replica::RankFailedNote golden_rank_failed() { return {{StatusCode::kInternal, "step 9: no memory"}}; }

replica::StopReplicaOrder golden_stop_replica() { return {30.5}; }

replica::RankEnded golden_rank_ended() {
  return {1, {routing::LossCause::kDiedOfItself, {StatusCode::kAborted, "rank 1 was killed by signal 11 (SIGSEGV)"}}};
}

replica::GenerationEnded golden_generation_ended() { return {golden_loss(), {0.5, 1.5, true}}; }

replica::ReplicaReport golden_replica_report() {
  return {{.serving = true,
           .steps = 1,
           .stale_results = 2,
           .stale_submissions = 3,
           .decode_step_s = 0.25,
           .prompt_token_s = 0.125,
           .saved_s = 1.75,
           .scheduler = {.num_waiting = 5,
                         .num_held_back = 4,
                         .queue_tokens = 6,
                         .num_running = 7,
                         .num_draining = 8,
                         .plans_outstanding = 9,
                         .num_exports = 35,
                         .num_imports = 36,
                         .oldest_waiting_since = {10},
                         .accepted = 11,
                         .refused_overloaded = 12,
                         .refused_bad_input = 13,
                         .finished_stop = 14,
                         .finished_length = 15,
                         .aborted = 16,
                         .failed = 17,
                         .preemptions = 18,
                         .held_back = 19,
                         .steps_planned = 20,
                         .prefill_rows = 21,
                         .decode_rows = 22,
                         .tokens_emitted = 23,
                         .tokens_discarded = 24,
                         .stale_results = 25,
                         .blocks_exported = 37,
                         .blocks_imported = 38,
                         .blocks_damaged = 39,
                         .blocks_given_up = 40,
                         .blocks = {.num_blocks = 81,
                                    .num_free = 26,
                                    .num_idle = 27,
                                    .num_held = 28,
                                    .query_tokens = 29,
                                    .hit_tokens = 30,
                                    .hit_blocks = 31,
                                    .miss_blocks = 32,
                                    .published_blocks = 33,
                                    .evicted_blocks = 34}},
           .moves = {.fetches = 41,
                     .fetches_whole = 42,
                     .fetches_failed = 43,
                     .blocks_in = 44,
                     .bytes_in = 45,
                     .blocks_recomputed = 46,
                     .blocks_damaged = 47,
                     .blocks_out = 48,
                     .bytes_out = 49,
                     .leases_expired = 50,
                     .open = 51,
                     .token_s = 0.375}},
          true,
          kv::BlockNews{kv::BlockNews::Kind::kChanges, 52, 32, 1000, {53, 0xFEDCBA9876543210}, {54}}};
}

replica::MoveAsk golden_move_ask() {
  return {TransferId(61), {"cpu-1/one", "cpu-1/bfloat16/30x16x3x64", 2}, 0xFEDCBA9876543210, 1, {{62, 63}, {64, 65}, {66, 67}}};
}

replica::MoveGrant golden_move_grant() { return {TransferId(61), 8}; }

replica::MoveStop golden_move_stop() { return {TransferId(61)}; }

replica::MoveFound golden_move_found() { return {TransferId(61), {}, {128000, 40, 4510, 279}}; }

replica::MoveOver golden_move_over() { return {TransferId(61), {StatusCode::kAborted, "this replica ends"}}; }

report::ProcessReports golden_process_reports() { return {golden_processes()}; }

report::ClusterStatusReport golden_cluster_status() {
  return {"lab",
          golden_processes(),
          {{ReplicaId(2), report::ReplicaCondition::kServing, "node-a", 7, ""},
           {ReplicaId(3), report::ReplicaCondition::kLost, "", 6, "no node has room for it"}},
          {"gateway-2 has another resume key than gateway-1"}};
}

report::DrainAsk golden_drain_ask() { return {"node-a", true, 45.5}; }

report::OrderAnswer golden_order_answer() { return {{StatusCode::kMissing, "node-x: not a node"}, {"nodes: node-a, node-b"}}; }

report::ReloadPrepare golden_reload_prepare() { return {17, "fedcba98"}; }

report::ReloadPrepared golden_reload_prepared() {
  return {17, {StatusCode::kBadInput, "herd.yaml:3: model.path cannot change"}, {"limits.request_timeout"}};
}

report::ReloadDecision golden_reload_decision() { return {17, true}; }

}  // namespace herd::wire
