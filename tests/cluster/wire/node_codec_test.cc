// What the messages between nodes, leaders, ranks, the coordinator and operators refuse, and that the largest ones travel.

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tests/cluster/wire/refused.h"

namespace herd::wire {
namespace {

routing::ReplicaView serving_view(std::uint32_t id) {
  return {{{ReplicaId(id), Epoch(9)}, "10.0.0.1:7000", "cpu-1/x"}, routing::ReplicaState::kServing, true, 8, 2048};
}

membership::NodeJoin three_held(Random&) {
  return {3, Epoch(9), {ReplicaId(1), ReplicaId(4), ReplicaId(6)}, {serving_view(1), serving_view(4)}};
}

TEST(NodeJoinCodec, RefusesWhatACoordinatorCouldNotAdopt) {
  const auto refuses = [](auto spoil) { return refused<three_held, decode_node_join>(spoil); };
  EXPECT_FALSE(refuses([](auto& join) { join.serving[0].state = routing::ReplicaState::kDraining; }));
  EXPECT_FALSE(refuses([](auto& join) { join.serving.clear(); }));
  EXPECT_TRUE(refuses([](auto& join) { join.replicas_max = 65; }));
  EXPECT_TRUE(refuses([](auto& join) { join.held[1] = ReplicaId(1); }));
  EXPECT_TRUE(refuses([](auto& join) { join.held[0] = ReplicaId(5); }));
  EXPECT_TRUE(refuses([](auto& join) { join.held.erase(join.held.begin()); })) << "it serves what it does not hold";
  EXPECT_TRUE(refuses([](auto& join) { std::swap(join.serving[0], join.serving[1]); }));
  EXPECT_TRUE(refuses([](auto& join) { join.serving[1] = join.serving[0]; }));
  EXPECT_FALSE(refuses([](auto& join) { join.serving[0].state = routing::ReplicaState::kMaking; })) << "as it was placed";
  EXPECT_TRUE(refuses([](auto& join) { join.serving[0].state = routing::ReplicaState::kLost; }));
  EXPECT_TRUE(refuses([](auto& join) { join.serving[0].route.generation.epoch = Epoch(0); }));
  EXPECT_TRUE(refuses([](auto& join) { join.serving[0].route.address.clear(); }));
  EXPECT_TRUE(refuses([](auto& join) { join.serving[0].route.numerics.clear(); }));
  EXPECT_TRUE(refuses([](auto& join) { join.serving[0].route.numerics = "\x1b[2J"; }));
  EXPECT_TRUE(refuses([](auto& join) { join.serving[0].max_model_len = (1 << 20) + 1; }));
  EXPECT_TRUE(refuses([](auto& join) {
    join.held.clear();
    for (std::uint32_t id = 0; id < 65; ++id) join.held.emplace_back(id);
  }));
  EXPECT_FALSE(refuses([](auto& join) { join.drained = {ReplicaId(3), ReplicaId(99)}; })) << "wherever they were";
  EXPECT_TRUE(refuses([](auto& join) { join.drained = {ReplicaId(99), ReplicaId(3)}; }));
  EXPECT_TRUE(refuses([](auto& join) {
    for (std::uint32_t id = 0; id <= kReplicasMax; ++id) join.drained.emplace_back(id);
  }));
}

membership::Assignment one_of_two_drains(Random&) {
  return {{ReplicaId(1), ReplicaId(4)}, {ReplicaId(4)}, 30, false, {ReplicaId(4), ReplicaId(9)}};
}

TEST(DrainCodecs, RefuseWhatCouldNotBeDrained) {
  const auto refuses = [](auto spoil) { return refused<one_of_two_drains, decode_assignment>(spoil); };
  EXPECT_FALSE(refuses([](auto& assignment) { assignment.draining = assignment.replicas; }));
  EXPECT_TRUE(refuses([](auto& assignment) { assignment.draining = {ReplicaId(2)}; })) << "not assigned";
  EXPECT_TRUE(refuses([](auto& assignment) { assignment.draining = {ReplicaId(4), ReplicaId(1)}; }));
  EXPECT_TRUE(refuses([](auto& assignment) { assignment.drain_s = -1; }));
  EXPECT_TRUE(refuses([](auto& assignment) { assignment.drain_s = NAN; }));
  EXPECT_TRUE(refuses([](auto& assignment) { assignment.drained = {ReplicaId(9), ReplicaId(9)}; }));
  EXPECT_TRUE(refuses([](auto& assignment) {
    assignment.drained.clear();
    for (std::uint32_t id = 0; id <= kReplicasMax; ++id) assignment.drained.emplace_back(id);
  }));
  const auto leaving = [](double s) { return refused<random_node_leaving, decode_node_leaving>([s](auto& it) { it.drain_s = s; }); };
  const auto stop = [](double s) { return refused<random_stop_replica, decode_stop_replica>([s](auto& it) { it.drain_s = s; }); };
  const auto ask = [](double s) { return refused<random_drain_ask, decode_drain_ask>([s](auto& it) { it.drain_s = s; }); };
  for (const double seconds : {0.0, 86'400.0}) EXPECT_FALSE(leaving(seconds) || stop(seconds) || ask(seconds)) << seconds;
  for (const double seconds : {-0.1, 86'400.1, double{INFINITY}, double{NAN}})
    EXPECT_TRUE(leaving(seconds) && stop(seconds) && ask(seconds)) << seconds;
}

TEST(OrderCodec, RefusesWhatCouldNotBeDone) {
  const auto ask = [](auto spoil) { return refused<random_drain_ask, decode_drain_ask>(spoil); };
  EXPECT_TRUE(ask([](auto& it) { it.target.clear(); }));
  EXPECT_TRUE(ask([](auto& it) { it.target = std::string(257, 't'); }));
  EXPECT_TRUE(ask([](auto& it) { it.target = "node-a\n"; }));
  EXPECT_TRUE((refused<random_reload_prepare, decode_reload_prepare>([](auto& it) { it.number = 0; })));
  EXPECT_TRUE((refused<random_reload_prepare, decode_reload_prepare>([](auto& it) { it.config_digest = "a\tb"; })));
  EXPECT_TRUE((refused<random_reload_prepared, decode_reload_prepared>([](auto& it) { it.number = 0; })));
  EXPECT_TRUE((refused<random_reload_prepared, decode_reload_prepared>([](auto& it) { it.changed.resize(257); })));
  EXPECT_TRUE((refused<random_reload_decision, decode_reload_decision>([](auto& it) { it.number = 0; })));
  EXPECT_TRUE((refused<random_order_answer, decode_order_answer>([](auto& it) { it.lines.resize(257); })));
  EXPECT_FALSE((refused<random_order_answer, decode_order_answer>([](auto& it) { it.lines.resize(256); })));
}

// What they say may come from a file or another process: it is written clean and cut, whatever it holds.
TEST(OrderCodec, SaysSentencesOfOneLine) {
  const std::string said = "herd.yaml:3:\x1b[2J" + std::string(10'000, 'x');
  const std::string heard = "herd.yaml:3: [2J" + std::string(512 - 16, 'x');
  const report::OrderAnswer answer{{StatusCode::kBadInput, said}, {said, "ok"}};
  EXPECT_FALSE(validate(answer).ok());
  const auto answered = decode_order_answer(encode(answer).words);
  ASSERT_TRUE(answered.has_value()) << answered.error().message();
  EXPECT_EQ(answered->lines, (std::vector<std::string>{heard, "ok"}));
  EXPECT_EQ(answered->status.message(), "herd.yaml:3: [2J" + std::string(4096 - 16, 'x'));
  const auto prepared = decode_reload_prepared(encode(report::ReloadPrepared{1, {}, {said}}).words);
  ASSERT_TRUE(prepared.has_value()) << prepared.error().message();
  EXPECT_EQ(prepared->changed, std::vector<std::string>{heard});
  const auto status = decode_cluster_status(encode(report::ClusterStatusReport{"lab", {}, {}, {said}}).words);
  ASSERT_TRUE(status.has_value()) << status.error().message();
  EXPECT_EQ(status->notices, std::vector<std::string>{heard});
}

TEST(AssignmentCodec, RefusesMoreThanANodeHolds) {
  membership::Assignment assignment;
  for (std::uint32_t id = 0; id < membership::kReplicasOfNodeMax; ++id) assignment.replicas.emplace_back(id);
  EXPECT_TRUE(seal(encode(assignment), Epoch(1)).has_value());
  EXPECT_TRUE(decode_assignment(encode(assignment).words).has_value());
  assignment.replicas.emplace_back(1000);
  EXPECT_FALSE(decode_assignment(encode(assignment).words).has_value());
  EXPECT_FALSE(decode_assignment(encode(membership::Assignment{{ReplicaId(2), ReplicaId(2)}}).words).has_value());
}

TEST(PlaceCodec, RefusesWhatCouldNotBePlaced) {
  const auto refuses = [](auto spoil) { return refused<random_place_ask, decode_place_ask>(spoil); };
  EXPECT_TRUE(refuses([](auto& ask) { ask.address.clear(); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.address = std::string(257, 'a'); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.numerics.clear(); }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.numerics = "a\nb"; }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.sequences_max = 0; }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.max_model_len = 0; }));
  EXPECT_TRUE(refuses([](auto& ask) { ask.max_model_len = (1 << 20) + 1; }));
  EXPECT_TRUE((refused<random_placed, decode_placed>([](auto& placed) { placed.view.route.generation.epoch = {}; })));
  EXPECT_TRUE((refused<random_placed, decode_placed>([](auto& placed) { placed.view.state = routing::ReplicaState::kLost; })));
  EXPECT_TRUE((refused<random_serving, decode_serving>([](auto& said) { said.view.state = routing::ReplicaState::kLost; })));
  EXPECT_TRUE((refused<random_given_up, decode_given_up>([](auto& given_up) { given_up.why = {}; })));
}

// What a device or an operating system says of a failure may hold anything; it travels as one line of at most 4096 bytes.
TEST(Reasons, TravelAsOneLine) {
  const std::string said = "first\nsecond\x1b[2J" + std::string(10'000, 'x');
  const auto given_up = decode_given_up(encode(membership::GivenUp{ReplicaId(1), {StatusCode::kInternal, said}}).words);
  ASSERT_TRUE(given_up.has_value());
  EXPECT_EQ(given_up->why.message(), "first second [2J" + std::string(4096 - 16, 'x'));
  const auto failed = decode_rank_failed(encode(replica::RankFailedNote{{StatusCode::kInternal, said}}).words);
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->why, given_up->why);
  report::ProcessReport process;
  process.name = "node-a";
  process.last_death = said;
  const auto reports = decode_process_reports(encode(report::ProcessReports{{process}}).words);
  ASSERT_TRUE(reports.has_value());
  EXPECT_EQ(reports->processes[0].last_death, "first second [2J" + std::string(512 - 16, 'x'));
}

TEST(GroupCodec, RefusesWhatANodeCouldNotBelieve) {
  EXPECT_TRUE((refused<random_rank_loading, decode_rank_loading>([](auto& it) { it.done_bytes = it.all_bytes + 1; })));
  const auto refuses = [](auto spoil) { return refused<random_rank_ready, decode_rank_ready>(spoil); };
  EXPECT_TRUE(refuses([](auto& ready) { ready.rates.flops_per_s = 0; }));
  EXPECT_TRUE(refuses([](auto& ready) { ready.rates.bytes_per_s = NAN; }));
  EXPECT_TRUE(refuses([](auto& ready) { ready.rates.step_overhead_s = -1; }));
  EXPECT_TRUE(refuses([](auto& ready) { ready.rates.attention_flops_per_s = INFINITY; }));
  EXPECT_TRUE(refuses([](auto& ready) { ready.status = {}, ready.numerics_class.clear(); }));
  EXPECT_TRUE(refuses([](auto& ready) { ready.device = std::string(257, 'd'); }));
  EXPECT_TRUE(refuses([](auto& ready) { ready.address = "a\tb"; }));
  EXPECT_TRUE(refuses([](auto& ready) { ready.metrics_address = "a\tb"; }));
  EXPECT_TRUE((refused<random_rank_left, decode_rank_left>([](auto& left) { left.epoch = {}; })));
  EXPECT_TRUE((refused<random_leave_group, decode_leave_group>([](auto& order) { order.epoch = {}; })));
  EXPECT_TRUE((refused<random_rank_failed, decode_rank_failed>([](auto& failed) { failed.why = {}; })));
  EXPECT_TRUE((refused<random_rank_ended, decode_rank_ended>([](auto& ended) { ended.loss.why = {}; })));
  EXPECT_TRUE((refused<random_rank_ended, decode_rank_ended>([](auto& ended) { ended.rank = 1024; })));
  const auto ended = [](auto spoil) { return refused<random_generation_ended, decode_generation_ended>(spoil); };
  EXPECT_TRUE(ended([](auto& it) { it.loss.why = {}; }));
  EXPECT_TRUE(ended([](auto& it) { it.loss.blamed = {2, 1}; }));
  EXPECT_TRUE(ended([](auto& it) { it.last.operation_s = -0.5; }));
  EXPECT_TRUE(ended([](auto& it) { it.last.steps_s = NAN; }));
}

TEST(GroupCodec, RefusesWhatALeaderCouldNotForm) {
  const auto refuses = [](auto spoil) { return refused<random_form_replica, decode_form_replica>(spoil); };
  EXPECT_TRUE(refuses([](auto& order) { order.view.route.generation.epoch = {}; }));
  EXPECT_TRUE(refuses([](auto& order) { order.ranks = 3; }));
  EXPECT_TRUE(refuses([](auto& order) { order.rendezvous.clear(); }));
  EXPECT_TRUE(refuses([](auto& order) { order.rendezvous = std::string(kRendezvousBytesMax + 1, 'r'); }));
  EXPECT_TRUE(refuses([](auto& order) { order.scheduler.max_num_seqs = 0; }));
  EXPECT_TRUE(refuses([](auto& order) { order.scheduler.max_num_seqs = 65537, order.scheduler.max_num_batched_tokens = 65537; }));
  EXPECT_TRUE(refuses([](auto& order) { order.scheduler.max_num_batched_tokens = (1 << 20) + 1; }));
  EXPECT_TRUE(refuses([](auto& order) { order.scheduler.max_model_len = (1 << 20) + 1, order.scheduler.queue_tokens_max = 1 << 30; }));
  EXPECT_TRUE(refuses([](auto& order) { order.scheduler.steps_ahead = 3; }));
  EXPECT_TRUE(refuses([](auto& order) { order.scheduler.vocab_size = -1; }));
  EXPECT_TRUE(refuses([](auto& order) { order.scheduler.block_size = 24; }));
  EXPECT_TRUE(refuses([](auto& order) { order.rates.flops_per_s = -1; }));
  EXPECT_TRUE(refuses([](auto& order) { order.step_seconds_max = 0; }));
  EXPECT_TRUE(refuses([](auto& order) { order.step_seconds_max = NAN; }));
  EXPECT_TRUE(refuses([](auto& order) { order.step_seconds_max = 2e7; }));
  EXPECT_TRUE(refuses([](auto& order) { order.watch.look_every_s = 0; }));
  EXPECT_TRUE(refuses([](auto& order) { order.watch.least_s = -1; }));
  EXPECT_TRUE(refuses([](auto& order) { order.watch.factor = INFINITY; }));
  EXPECT_TRUE(refuses([](auto& order) { order.watch.gap_s = 2e7; }));
  EXPECT_TRUE((refused<random_join_group, decode_join_group>([](auto& order) { order.rendezvous.clear(); })));
}

TEST(GroupCodec, RefusesNumbersThatCannotBe) {
  const auto refuses = [](auto spoil) { return refused<random_replica_report, decode_replica_report>(spoil); };
  EXPECT_TRUE(refuses([](auto& report) { report.stats.decode_step_s = -1; }));
  EXPECT_TRUE(refuses([](auto& report) { report.stats.prompt_token_s = NAN; }));
  EXPECT_TRUE(refuses([](auto& report) { report.stats.scheduler.oldest_waiting_since = {-1}; }));
  EXPECT_TRUE(refuses([](auto& report) { report.stats.scheduler.blocks.num_blocks += 1; }));
  EXPECT_TRUE(refuses([](auto& report) {
    report.stats.scheduler.num_waiting = 2;
    report.stats.scheduler.num_held_back = 3;
  }));
}

report::ClusterStatusReport small_status(Random&) {
  report::ClusterStatusReport status;
  status.cluster = "lab";
  status.replicas.resize(2);
  status.replicas[1].replica = ReplicaId(1);
  status.processes.resize(2);
  status.processes[0].name = "node-a";
  status.processes[1].name = "node-b";
  return status;
}

TEST(ReportCodec, RefusesWhatAnOperatorCouldNotRead) {
  const auto refuses = [](auto spoil) { return refused<small_status, decode_cluster_status>(spoil); };
  EXPECT_FALSE(refuses([](auto& status) {
    status.processes[1] = status.processes[0];
    status.processes[1].role = handshake::Role::kGateway;
  }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[1] = status.processes[0]; })) << "a process twice";
  EXPECT_TRUE(refuses([](auto& status) { status.cluster.clear(); }));
  EXPECT_TRUE(refuses([](auto& status) { status.cluster = "lab\x7f"; }));
  EXPECT_TRUE(refuses([](auto& status) { status.replicas[1] = status.replicas[0]; }));
  EXPECT_TRUE(refuses([](auto& status) { status.replicas[1].node = std::string(257, 'n'); }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].name.clear(); }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].node = "a\nb"; }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].role = handshake::Role::kOperator; }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].pid = -1; }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].leader = true; })) << "a node";
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].loaded_percent = 101; }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].loaded_percent = -2; }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].endpoint_url = std::string(257, 'u'); }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].metrics_url = "http://\r\n"; }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].access_digest = "-/-"; })) << "a node";
  const auto refuses_digest = [&](const std::string& digest) {
    return refuses([&](auto& status) {
      status.processes[0].role = handshake::Role::kGateway;
      status.processes[0].access_digest = digest;
    });
  };
  EXPECT_FALSE(refuses_digest("-/-"));
  EXPECT_TRUE(refuses_digest("-/\x1b[2J"));
  EXPECT_TRUE(refuses_digest(std::string(34, 'k')));
  EXPECT_FALSE(refuses([](auto& status) { status.processes[0].weights_digest = std::string(16, 'w'); }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].weights_digest = std::string(17, 'w'); }));
  EXPECT_TRUE(refuses([](auto& status) { status.processes[0].tokenizer_digest = "a\nb"; }));
  EXPECT_TRUE(refuses([](auto& status) {
    status.processes[0].role = handshake::Role::kGateway;
    status.processes[0].weights_digest = "w";
  })) << "a gateway";
  EXPECT_FALSE(refuses([](auto& status) { status.notices.resize(256); }));
  EXPECT_TRUE(refuses([](auto& status) { status.notices.resize(257); }));
}

// What the limits of a kind allow fits into its longest frame.
TEST(NodeCodecs, SealTheLargest) {
  const std::string name(256, 'n');
  const Status why{StatusCode::kInternal, std::string(kErrorMessageBytesMax, 'w')};
  routing::ReplicaView view = serving_view(1);
  view.route.address = view.route.numerics = name;
  membership::NodeJoin join{64, Epoch(1), {}, {}};
  for (std::uint32_t id = 0; id < membership::kReplicasOfNodeMax; ++id) {
    join.held.emplace_back(id);
    join.serving.push_back(view);
    join.serving.back().route.generation.replica = ReplicaId(id);
  }
  for (std::uint32_t id = 0; id < kReplicasMax; ++id) join.drained.emplace_back(id);
  travels(join, decode_node_join);
  travels(membership::Assignment{join.held, join.held, 86'400, true, join.drained}, decode_assignment);
  travels(report::DrainAsk{name, true, 86'400}, decode_drain_ask);
  const std::vector<std::string> lines(256, std::string(512, 'l'));
  travels(report::OrderAnswer{why, lines}, decode_order_answer);
  travels(report::ReloadPrepare{1, name}, decode_reload_prepare);
  travels(report::ReloadPrepared{1, why, lines}, decode_reload_prepared);
  travels(membership::PlaceAsk{ReplicaId(1), name, name, 1, 1}, decode_place_ask);
  travels(membership::Placed{view}, decode_placed);
  travels(membership::Serving{view}, decode_serving);
  travels(membership::GivenUp{ReplicaId(1), why}, decode_given_up);
  travels(replica::RankReadyNote{why, {}, name, {}, name, name, name}, decode_rank_ready);
  Random random(3);
  replica::FormReplica order = random_form_replica(random);
  order.view = view;
  order.rendezvous = std::string(kRendezvousBytesMax, 'r');
  travels(order, decode_form_replica);
  travels(replica::JoinGroupOrder{order.rendezvous}, decode_join_group);
  travels(replica::RankJoinedNote{why}, decode_rank_joined);
  travels(replica::RankFailedNote{why}, decode_rank_failed);
  travels(replica::RankEnded{1, {routing::LossCause::kKilled, why}}, decode_rank_ended);
  replica::GenerationEnded ended;
  ended.loss.why = why;
  ended.loss.in_step.emplace(kLostAttemptsMax);
  for (std::uint32_t rank = 0; rank < kBlamedRanksMax; ++rank) ended.loss.blamed.push_back(rank);
  travels(ended, decode_generation_ended);
}

TEST(NodeCodecs, SealTheReportOfTheLargestCluster) {
  report::ClusterStatusReport status{std::string(256, 'c'), {}, {}};
  for (std::size_t i = 0; i < report::kProcessesMax; ++i) {
    report::ProcessReport& process = status.processes.emplace_back();
    process.name = std::string(252, 'p') + std::to_string(1000 + i);
    process.node = process.endpoint_url = process.metrics_url = std::string(256, 'n');
    process.weights_digest = process.tokenizer_digest = std::string(kModelDigestBytesMax, 'w');
    process.last_death = std::string(512, 'd');
  }
  for (std::uint32_t id = 0; id < routing::kReplicasMax; ++id)
    status.replicas.push_back({ReplicaId(id), report::ReplicaCondition::kLost, std::string(256, 'n'), 1, std::string(512, 'w')});
  status.notices.assign(256, std::string(512, 's'));
  ASSERT_TRUE(validate(status).ok()) << validate(status).message();
  EXPECT_TRUE(seal(encode(status), Epoch(1)).has_value());
  EXPECT_EQ(decode_cluster_status(encode(status).words).value(), status);
  EXPECT_TRUE(seal(encode(report::ProcessReports{status.processes}), Epoch(1)).has_value());
  status.processes.emplace_back().name = "one more";
  EXPECT_FALSE(validate(status).ok());
}

}  // namespace
}  // namespace herd::wire
