// Frames of older encoders still decode to the values they were made of, with fields added since at their defaults.
// Each file in tests/cluster/wire/golden/ was written once and never changes; an encoder that adds fields, and every
// new protocol version, gets a file of its own:
//   v1.hex           protocol 1, its first encoder
//   v1_1.hex         a loss names the ranks that are to blame, a step's result the sequences that failed alone
//   v1_2.hex         a view says how long sequences may be; what nodes, leaders, ranks, the coordinator and operators say
//   v1_3.hex         what drains, and what a rank was working on; orders of operators, quotas
//   v1_4.hex         KV blocks that are copied between replicas; what a prefix cache holds, and who has a beginning of a prompt
//   v1_5.hex         which weights and which tokenizer a node has

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "cluster/wire/envelope.h"
#include "tests/cluster/wire/golden_values.h"

namespace herd::wire {
namespace {

constexpr routing::ReplicaGeneration kGoldenReplica{ReplicaId(2), Epoch(7)};
constexpr int kObsoleteOutputs = 7;  // its kind, in each file up to the sixth
constexpr const char* kGoldenFolder = "tests/cluster/wire/golden/";

std::vector<std::vector<std::byte>> read_golden(const std::string& name) {
  std::vector<std::vector<std::byte>> frames;
  std::ifstream file(kGoldenFolder + name);
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::vector<std::byte> bytes;
    for (std::size_t at = 0; at + 1 < line.size(); at += 2)
      bytes.push_back(static_cast<std::byte>(std::stoi(line.substr(at, 2), nullptr, 16)));
    frames.push_back(std::move(bytes));
  }
  return frames;
}

std::vector<Frame> open_golden(const std::string& name) {
  std::vector<Frame> frames;
  for (const auto& bytes : read_golden(name)) {
    auto opened = open(bytes);
    if (std::to_integer<int>(bytes.at(6)) == kObsoleteOutputs) {
      EXPECT_FALSE(opened) << "no process ever sent it";
      continue;
    }
    if (!opened) {
      ADD_FAILURE() << name << ": " << opened.error().message();
      return {};
    }
    EXPECT_EQ(opened->header.cluster_epoch, Epoch(5));
    EXPECT_EQ(opened->header.replica, kGoldenReplica);
    frames.push_back(std::move(opened->frame));
  }
  return frames;
}

// Of the first nine, those that gained fields in steps of their own.
struct StreamValues {
  step::Submission submission = golden_submission();
  step::StepPlan plan = golden_plan();
  step::StepResult result = golden_result();
};

StreamValues streams_without_moves() {
  StreamValues values;
  values.submission.source = {};
  values.plan.reads.clear();
  values.plan.writes.clear();
  values.plan.forgotten.clear();
  values.result.blocks_written = 0;
  values.result.damaged.clear();
  return values;
}

// What every encoder of protocol 1 writes first, of these values.
void expect_first_nine(const std::vector<Frame>& frames, const StreamValues& streams, const routing::ClusterView& view,
                      const routing::ReplicaLoss& loss) {
  EXPECT_EQ(decode_hello(frames[0].words).value(), golden_hello());
  EXPECT_EQ(decode_submission(frames[1].words).value(), streams.submission);
  EXPECT_EQ(decode_abort(frames[2].words).value(), kGoldenAttempt);
  EXPECT_EQ(decode_token_deltas(frames[3].words).value(), golden_deltas());
  EXPECT_EQ(decode_step_plan(frames[4].words).value(), streams.plan);
  EXPECT_EQ(decode_step_result(frames[5].words).value(), streams.result);
  EXPECT_EQ(decode_gateway_join(frames[6].words).value(), golden_join());
  EXPECT_EQ(decode_cluster_view(frames[7].words).value(), view);
  EXPECT_EQ(decode_replica_loss(frames[8].words).value(), loss);
}

routing::ClusterView view_without_lengths() {
  routing::ClusterView view = golden_view();
  for (routing::ReplicaView& replica : view.replicas) replica.max_model_len = 0;
  return view;
}

routing::ReplicaLoss loss_without_work() {
  routing::ReplicaLoss loss = golden_loss();
  loss.at_work.clear();
  return loss;
}

// What the third encoder and those after it write behind the first nine, without the fields that came later.
struct NodeValues {
  membership::NodeJoin join = golden_node_join();
  membership::Assignment assignment = golden_assignment();
  replica::FormReplica form = golden_form_replica();
  replica::FormReplica form_unbounded = golden_form_replica_unbounded();
  replica::StopReplicaOrder stop = golden_stop_replica();
  replica::GenerationEnded ended = golden_generation_ended();
  replica::ReplicaReport report = golden_replica_report();
  report::ProcessReports processes = golden_process_reports();
  report::ClusterStatusReport status = golden_cluster_status();
};

// Without the node, who has them.
NodeValues values_without_model_digests() {
  NodeValues values;
  for (auto* processes : {&values.processes.processes, &values.status.processes}) processes->pop_back();
  return values;
}

NodeValues values_without_moves() {
  NodeValues values = values_without_model_digests();
  values.form.scheduler.transfer_blocks_per_step = values.form_unbounded.scheduler.transfer_blocks_per_step = 0;
  replica::ReplicaStats& stats = values.report.stats;
  stats.saved_s = 0;
  stats.moves = {};
  stats.scheduler.num_exports = stats.scheduler.num_imports = 0;
  stats.scheduler.blocks_exported = stats.scheduler.blocks_imported = 0;
  stats.scheduler.blocks_damaged = stats.scheduler.blocks_given_up = 0;
  values.report.news.reset();
  return values;
}

NodeValues values_without_drains() {
  NodeValues values = values_without_moves();
  values.join.drains = false;
  values.join.drained.clear();
  values.assignment = {values.assignment.replicas, {}, 0, false, {}};
  values.stop.drain_s = 0;
  values.ended.loss = loss_without_work();
  values.report.draining = false;
  for (auto* processes : {&values.processes.processes, &values.status.processes})
    for (report::ProcessReport& process : *processes) process.access_digest.clear();
  values.status.notices.clear();
  return values;
}

void expect_next_26(const std::vector<Frame>& frames, const NodeValues& values) {
  std::size_t next = 9;
  const auto expect = [&](auto decode, const auto& value) { EXPECT_EQ(decode(frames[next++].words).value(), value); };
  expect(decode_rank_spec, golden_rank_spec());
  expect(decode_rank_spec, golden_gpu_rank_spec());
  expect(decode_ping, handshake::Ping());
  expect(decode_goodbye, golden_goodbye());
  expect(decode_node_join, values.join);
  expect(decode_assignment, values.assignment);
  expect(decode_place_ask, golden_place_ask());
  expect(decode_placed, golden_placed());
  expect(decode_serving, golden_serving());
  expect(decode_given_up, golden_given_up());
  expect(decode_rank_loading, golden_rank_loading());
  expect(decode_rank_ready, golden_rank_ready());
  expect(decode_form_replica, values.form);
  expect(decode_form_replica, values.form_unbounded);
  expect(decode_join_group, golden_join_group());
  expect(decode_rank_joined, golden_rank_joined());
  expect(decode_leave_group, golden_leave_group());
  expect(decode_rank_left, golden_rank_left());
  expect(decode_rank_failed, golden_rank_failed());
  expect(decode_stop_replica, values.stop);
  expect(decode_rank_ended, golden_rank_ended());
  expect(decode_generation_ended, values.ended);
  expect(decode_replica_report, values.report);
  expect(decode_process_reports, values.processes);
  expect(decode_status_ask, report::StatusAsk());
  expect(decode_cluster_status, values.status);
}

TEST(GoldenFrames, OfTheFirstEncoderStillDecode) {
  const auto frames = open_golden("v1.hex");
  ASSERT_EQ(frames.size(), 9U) << "run from the repository root";
  StreamValues streams = streams_without_moves();
  streams.result.failed.clear();
  routing::ReplicaLoss loss = loss_without_work();
  loss.blamed.clear();
  expect_first_nine(frames, streams, view_without_lengths(), loss);
}

TEST(GoldenFrames, OfTheSecondEncoderStillDecode) {
  const auto frames = open_golden("v1_1.hex");
  ASSERT_EQ(frames.size(), 9U);
  expect_first_nine(frames, streams_without_moves(), view_without_lengths(), loss_without_work());
}

TEST(GoldenFrames, OfTheThirdEncoderStillDecode) {
  const auto frames = open_golden("v1_2.hex");
  ASSERT_EQ(frames.size(), 35U);
  expect_first_nine(frames, streams_without_moves(), golden_view(), loss_without_work());
  expect_next_26(frames, values_without_drains());
}

// From the fourth encoder on: the nine behind those.
void expect_next_9(const std::vector<Frame>& frames) {
  std::size_t next = 35;
  const auto expect = [&](auto decode, const auto& value) { EXPECT_EQ(decode(frames[next++].words).value(), value); };
  expect(decode_drain_ask, golden_drain_ask());
  expect(decode_reload_ask, report::ReloadAsk());
  expect(decode_order_answer, golden_order_answer());
  expect(decode_reload_prepare, golden_reload_prepare());
  expect(decode_reload_prepared, golden_reload_prepared());
  expect(decode_reload_decision, golden_reload_decision());
  expect(decode_quota_demand, golden_quota_demand());
  expect(decode_quota_shares, golden_quota_shares());
  expect(decode_node_leaving, golden_node_leaving());
}

TEST(GoldenFrames, OfTheFourthEncoderStillDecode) {
  const auto frames = open_golden("v1_3.hex");
  ASSERT_EQ(frames.size(), 44U);
  expect_first_nine(frames, streams_without_moves(), golden_view(), golden_loss());
  expect_next_26(frames, values_without_moves());
  expect_next_9(frames);
}

// The fifth encoder and those after it.
void expect_50(const std::vector<Frame>& frames, const NodeValues& values) {
  ASSERT_EQ(frames.size(), 50U);
  expect_first_nine(frames, {}, golden_view(), golden_loss());
  expect_next_26(frames, values);
  expect_next_9(frames);
  EXPECT_EQ(decode_block_part(frames[44].words).value(), golden_block_part());
  EXPECT_EQ(decode_move_ask(frames[45].words).value(), golden_move_ask());
  EXPECT_EQ(decode_move_grant(frames[46].words).value(), golden_move_grant());
  EXPECT_EQ(decode_move_stop(frames[47].words).value(), golden_move_stop());
  EXPECT_EQ(decode_move_found(frames[48].words).value(), golden_move_found());
  EXPECT_EQ(decode_move_over(frames[49].words).value(), golden_move_over());
}

TEST(GoldenFrames, OfTheFifthEncoderStillDecode) { expect_50(open_golden("v1_4.hex"), values_without_model_digests()); }

TEST(GoldenFrames, OfTheSixthEncoderStillDecode) { expect_50(open_golden("v1_5.hex"), {}); }

std::vector<Frame> frames_of_today() {
  return {encode(golden_hello()),
          encode(golden_submission()),
          encode(kGoldenAttempt),
          encode(golden_deltas()),
          encode(golden_plan()),
          encode(golden_result()),
          encode(golden_join()),
          encode(golden_view()),
          encode(golden_loss()),
          encode(golden_rank_spec()),
          encode(golden_gpu_rank_spec()),
          encode(handshake::Ping()),
          encode(golden_goodbye()),
          encode(golden_node_join()),
          encode(golden_assignment()),
          encode(golden_place_ask()),
          encode(golden_placed()),
          encode(golden_serving()),
          encode(golden_given_up()),
          encode(golden_rank_loading()),
          encode(golden_rank_ready()),
          encode(golden_form_replica()),
          encode(golden_form_replica_unbounded()),
          encode(golden_join_group()),
          encode(golden_rank_joined()),
          encode(golden_leave_group()),
          encode(golden_rank_left()),
          encode(golden_rank_failed()),
          encode(golden_stop_replica()),
          encode(golden_rank_ended()),
          encode(golden_generation_ended()),
          encode(golden_replica_report()),
          encode(golden_process_reports()),
          encode(report::StatusAsk()),
          encode(golden_cluster_status()),
          encode(golden_drain_ask()),
          encode(report::ReloadAsk()),
          encode(golden_order_answer()),
          encode(golden_reload_prepare()),
          encode(golden_reload_prepared()),
          encode(golden_reload_decision()),
          encode(golden_quota_demand()),
          encode(golden_quota_shares()),
          encode(golden_node_leaving()),
          encode(golden_block_part()),
          encode(golden_move_ask()),
          encode(golden_move_grant()),
          encode(golden_move_stop()),
          encode(golden_move_found()),
          encode(golden_move_over())};
}

// Not a promise to peers (a newer encoder may add fields), but a change here wants to be meant.
TEST(GoldenFrames, OfTheNewestFileAreWhatThisBuildWrites) {
  const auto golden = read_golden("v1_5.hex");
  const auto frames = frames_of_today();
  EXPECT_EQ(golden.size(), frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto bytes = seal(frames[i], Epoch(5), kGoldenReplica).value();
    std::ostringstream hex;
    for (const std::byte byte : bytes) {
      static constexpr char kDigits[] = "0123456789abcdef";
      hex << kDigits[std::to_integer<int>(byte) >> 4] << kDigits[std::to_integer<int>(byte) & 15];
    }
    EXPECT_TRUE(i < golden.size() && bytes == golden[i]) << "frame " << i << " is now\n" << hex.str();
  }
}

}  // namespace
}  // namespace herd::wire
