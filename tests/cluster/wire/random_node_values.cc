// Random values of membership.capnp, group.capnp, moves.capnp and report.capnp.

#include <optional>
#include <string>
#include <vector>

#include "tests/cluster/wire/random_values.h"

namespace herd::wire {
namespace {

// Rising.
std::vector<ReplicaId> replica_ids(Random& random, std::size_t most) {
  std::vector<ReplicaId> ids;
  std::uint32_t id = 0;
  for (std::size_t left = below(random, most + 1); left > 0; --left) {
    ids.emplace_back(id);
    id += 1 + static_cast<std::uint32_t>(below(random, 1000));
  }
  return ids;
}

ReplicaId replica_id(Random& random) { return ReplicaId(number(random)); }

Epoch epoch(Random& random) { return Epoch(1 + random() / 2); }

routing::ReplicaView generation(Random& random, ReplicaId id) {
  routing::ReplicaView replica = random_replica(random, id);
  replica.route = {{id, epoch(random)}, letters(random, 1, 256, 'a'), letters(random, 1, 256, 'n')};
  replica.state = static_cast<routing::ReplicaState>(below(random, 3));
  return replica;
}

scheduler::DeviceRates rates(Random& random) {
  return {1.0 + seconds(random), 1.0 + seconds(random), seconds(random), seconds(random), seconds(random)};
}

double drain_seconds(Random& random) { return static_cast<double>(below(random, 86'400'001)) * 1e-3; }

std::vector<std::string> sentences(Random& random, char letter) {
  std::vector<std::string> sentences(below(random, 5));
  for (std::string& sentence : sentences) sentence = letters(random, 0, 512, letter);
  return sentences;
}

digest::Digest128 digest(Random& random) { return {random(), random()}; }

scheduler::SchedulerConfig scheduler_config(Random& random) {
  scheduler::SchedulerConfig config;
  config.max_num_seqs = 1 + static_cast<std::uint32_t>(below(random, 65536));
  config.max_num_batched_tokens = config.max_num_seqs + static_cast<std::uint32_t>(below(random, 4096));
  config.max_prefill_seqs = 1 + static_cast<std::uint32_t>(below(random, 64));
  config.prefill_chunk_max = number(random);
  if (maybe(random)) config.max_step_ms = number(random);
  config.queue_requests_max = 1 + static_cast<std::uint32_t>(below(random, 4096));
  config.max_model_len = 1 + static_cast<std::uint32_t>(below(random, 1U << 20));
  config.queue_tokens_max = config.max_model_len + below(random, 1U << 30);
  config.vocab_size = static_cast<TokenId>(below(random, 1U << 31));
  config.block_size = 16U << below(random, 6);
  config.num_blocks = 2 + static_cast<std::uint32_t>(below(random, 1U << 20));
  config.watermark_blocks = static_cast<std::uint32_t>(below(random, config.num_blocks));
  config.prefix_caching = maybe(random);
  config.shared_prefix_min = number(random);
  config.policy = static_cast<scheduler::SchedulingPolicy>(below(random, 2));
  config.steps_ahead = 1 + static_cast<std::uint32_t>(below(random, 2));
  config.transfer_blocks_per_step = static_cast<std::uint32_t>(below(random, scheduler::kTransferBlocksPerStepMax + 1));
  return config;
}

kv::BlockStats block_stats(Random& random) {
  kv::BlockStats blocks;
  blocks.num_free = number(random) / 4;
  blocks.num_idle = number(random) / 4;
  blocks.num_held = number(random) / 4;
  blocks.num_blocks = blocks.num_free + blocks.num_idle + blocks.num_held;
  for (std::uint64_t* counter : {&blocks.query_tokens, &blocks.hit_tokens, &blocks.hit_blocks, &blocks.miss_blocks,
                                 &blocks.published_blocks, &blocks.evicted_blocks})
    *counter = random();
  return blocks;
}

scheduler::SchedulerStats scheduler_stats(Random& random) {
  scheduler::SchedulerStats stats;
  for (std::uint32_t* count : {&stats.num_waiting, &stats.num_running, &stats.num_draining, &stats.plans_outstanding,
                               &stats.num_exports, &stats.num_imports})
    *count = number(random);
  stats.num_held_back = static_cast<std::uint32_t>(below(random, std::uint64_t{stats.num_waiting} + 1));
  stats.oldest_waiting_since = {static_cast<std::int64_t>(random() >> 1)};
  for (std::uint64_t* counter :
       {&stats.queue_tokens, &stats.accepted, &stats.refused_overloaded, &stats.refused_bad_input, &stats.finished_stop,
        &stats.finished_length, &stats.aborted, &stats.failed, &stats.preemptions, &stats.held_back, &stats.steps_planned,
        &stats.prefill_rows, &stats.decode_rows, &stats.tokens_emitted, &stats.tokens_discarded, &stats.stale_results,
        &stats.blocks_exported, &stats.blocks_imported, &stats.blocks_damaged, &stats.blocks_given_up})
    *counter = random();
  stats.blocks = block_stats(random);
  return stats;
}

replica::MoveStats move_stats(Random& random) {
  replica::MoveStats stats;
  for (std::uint64_t* counter :
       {&stats.fetches, &stats.fetches_whole, &stats.fetches_failed, &stats.blocks_in, &stats.bytes_in, &stats.blocks_recomputed,
        &stats.blocks_damaged, &stats.blocks_out, &stats.bytes_out, &stats.leases_expired})
    *counter = random();
  stats.open = number(random);
  stats.token_s = seconds(random);
  return stats;
}

kv::BlockNews block_news(Random& random) {
  kv::BlockNews news{static_cast<kv::BlockNews::Kind>(below(random, 3)), random(), 1 + number(random) / 2, 1 + number(random) / 2, {},
                     {}};
  for (auto* const keys : {&news.stored, &news.evicted}) {
    for (std::size_t left = below(random, 9); left > 0; --left) keys->push_back(random());
  }
  return news;
}

TransferId move_id(Random& random) { return TransferId(1 + random() / 2); }

std::vector<report::ProcessReport> processes(Random& random) {
  std::vector<report::ProcessReport> processes(below(random, 6));
  for (std::size_t i = 0; i < processes.size(); ++i) {
    report::ProcessReport& process = processes[i];
    process.role = static_cast<handshake::Role>(below(random, 4));
    process.name = letters(random, 1, 255, 'p') + static_cast<char>('0' + i);
    process.node = letters(random, 0, 256, 'n');
    process.pid = static_cast<std::int64_t>(random() >> 1);
    process.leader = process.role == handshake::Role::kRank && maybe(random);
    process.state = static_cast<report::ProcessState>(below(random, 5));
    process.epoch = random();
    process.restarts = number(random);
    process.last_death = letters(random, 0, 512, 'd');
    process.endpoint_url = letters(random, 0, 256, 'e');
    process.metrics_url = letters(random, 0, 256, 'm');
    process.loaded_percent = static_cast<std::int32_t>(below(random, 102)) - 1;
    if (process.role == handshake::Role::kGateway) process.access_digest = letters(random, 0, kAccessDigestBytesMax, 'k');
    if (process.role != handshake::Role::kNode) continue;
    process.weights_digest = letters(random, 0, kModelDigestBytesMax, 'w');
    process.tokenizer_digest = letters(random, 0, kModelDigestBytesMax, 't');
  }
  return processes;
}

}  // namespace

membership::NodeJoin random_node_join(Random& random) {
  membership::NodeJoin join{static_cast<std::uint32_t>(below(random, 65)), Epoch(random()), replica_ids(random, 8), {}, maybe(random),
                            replica_ids(random, 8)};
  for (const ReplicaId id : join.held) {
    if (maybe(random)) join.serving.push_back(generation(random, id));
  }
  return join;
}

membership::Assignment random_assignment(Random& random) {
  membership::Assignment assignment{replica_ids(random, 64), {}, drain_seconds(random), maybe(random), replica_ids(random, 100)};
  for (const ReplicaId id : assignment.replicas) {
    if (maybe(random)) assignment.draining.push_back(id);
  }
  return assignment;
}

membership::PlaceAsk random_place_ask(Random& random) {
  return {replica_id(random), letters(random, 1, 256, 'a'), letters(random, 1, 256, 'n'), 1 + number(random) / 2,
          1 + static_cast<std::int64_t>(below(random, 1U << 20))};
}

membership::Placed random_placed(Random& random) { return {generation(random, replica_id(random))}; }
membership::Serving random_serving(Random& random) { return {generation(random, replica_id(random))}; }
membership::GivenUp random_given_up(Random& random) { return {replica_id(random), failure(random)}; }
membership::NodeLeaving random_node_leaving(Random& random) { return {drain_seconds(random)}; }

replica::RankLoading random_rank_loading(Random& random) {
  const std::uint64_t all = random() >> 1;
  return {below(random, all + 1), all};
}

replica::RankReadyNote random_rank_ready(Random& random) {
  const Status prepared = status(random);
  return {prepared,
          rates(random),
          letters(random, prepared.ok() ? 1 : 0, 256, 'c'),
          {digest(random), digest(random)},
          letters(random, 0, 256, 'a'),
          letters(random, 0, 256, 'm'),
          letters(random, 0, 256, 'd')};
}

replica::FormReplica random_form_replica(Random& random) {
  return {.view = generation(random, replica_id(random)),
          .ranks = 1U << below(random, 4),
          .rendezvous = letters(random, 1, kRendezvousBytesMax, 'r'),
          .scheduler = scheduler_config(random),
          .rates = rates(random),
          .step_seconds_max = 0.5 + seconds(random),
          .watch = {0.1 + seconds(random), seconds(random), seconds(random), seconds(random)}};
}

replica::JoinGroupOrder random_join_group(Random& random) { return {letters(random, 1, kRendezvousBytesMax, 'r')}; }
replica::RankJoinedNote random_rank_joined(Random& random) { return {status(random)}; }
replica::LeaveGroupOrder random_leave_group(Random& random) { return {epoch(random)}; }
replica::RankLeftNote random_rank_left(Random& random) { return {epoch(random)}; }
replica::RankFailedNote random_rank_failed(Random& random) { return {failure(random)}; }
replica::StopReplicaOrder random_stop_replica(Random& random) { return {drain_seconds(random)}; }

replica::RankEnded random_rank_ended(Random& random) {
  return {static_cast<std::uint32_t>(below(random, 1024)), {static_cast<routing::LossCause>(below(random, 5)), failure(random)}};
}

replica::GenerationEnded random_generation_ended(Random& random) {
  return {random_loss(random), {seconds(random), seconds(random), maybe(random)}};
}

replica::ReplicaReport random_replica_report(Random& random) {
  return {{.serving = maybe(random),
           .steps = random(),
           .stale_results = random(),
           .stale_submissions = random(),
           .decode_step_s = seconds(random),
           .prompt_token_s = seconds(random),
           .saved_s = seconds(random),
           .scheduler = scheduler_stats(random),
           .moves = maybe(random) ? move_stats(random) : replica::MoveStats()},
          maybe(random),
          maybe(random) ? std::optional(block_news(random)) : std::nullopt};
}

replica::MoveAsk random_move_ask(Random& random) {
  replica::MoveAsk ask{
      move_id(random), {letters(random, 1, 256, 'n'), letters(random, 1, 256, 'k'), 1U << below(random, 4)}, random(), 0, {}};
  for (std::size_t left = 1 + below(random, 20); left > 0; --left) ask.hashes.push_back({random(), random()});
  ask.first = static_cast<std::uint32_t>(below(random, ask.hashes.size()));
  return ask;
}

replica::MoveGrant random_move_grant(Random& random) {
  return {move_id(random), 1 + static_cast<std::uint32_t>(below(random, kMoveBlocksMax))};
}

replica::MoveStop random_move_stop(Random& random) { return {move_id(random)}; }

replica::MoveFound random_move_found(Random& random) {
  replica::MoveFound found{move_id(random), status(random), {}};
  for (std::size_t left = found.status.ok() ? below(random, 50) : 0; left > 0; --left)
    found.tokens.push_back(static_cast<TokenId>(below(random, 1U << 31)));
  return found;
}

replica::MoveOver random_move_over(Random& random) { return {move_id(random), failure(random)}; }

report::ProcessReports random_process_reports(Random& random) { return {processes(random)}; }
report::StatusAsk random_status_ask(Random&) { return {}; }

report::ClusterStatusReport random_cluster_status(Random& random) {
  report::ClusterStatusReport report{letters(random, 1, 256, 'c'), processes(random), {}, sentences(random, 's')};
  for (const ReplicaId id : replica_ids(random, 6))
    report.replicas.push_back({id, static_cast<report::ReplicaCondition>(below(random, 4)), letters(random, 0, 256, 'n'),
                               random(), letters(random, 0, 512, 'w')});
  return report;
}

report::DrainAsk random_drain_ask(Random& random) { return {letters(random, 1, 256, 't'), maybe(random), drain_seconds(random)}; }
report::ReloadAsk random_reload_ask(Random&) { return {}; }
report::OrderAnswer random_order_answer(Random& random) { return {status(random), sentences(random, 'l')}; }
report::ReloadPrepare random_reload_prepare(Random& random) { return {1 + random() / 2, letters(random, 0, 256, 'd')}; }
report::ReloadPrepared random_reload_prepared(Random& random) { return {1 + random() / 2, status(random), sentences(random, 'k')}; }
report::ReloadDecision random_reload_decision(Random& random) { return {1 + random() / 2, maybe(random)}; }

}  // namespace herd::wire
