// Writes the seeds of the wire's fuzz targets, valid messages and frames: make_wire_corpus tests/fuzz/corpus

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "cluster/link/link_session.h"
#include "tests/cluster/link/link_pair.h"
#include "tests/cluster/wire/random_values.h"

namespace {

namespace fs = std::filesystem;
using herd::wire::Random;

constexpr int kSeedsOfEach = 3;

void write_file(const fs::path& path, const void* data, std::size_t bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
}

// `choice`: the value of the first byte that the target decodes such a message by.
template <class Draw>
void write_seeds(const fs::path& corpus, const std::string& target, std::uint8_t choice, Draw draw) {
  Random random(choice);
  for (int i = 0; i < kSeedsOfEach; ++i) {
    const std::string name = "valid_" + std::to_string(choice) + "_" + std::to_string(i);
    const herd::wire::Frame frame = herd::wire::encode(draw(random));
    herd::wire::Words words = frame.words;
    words.insert(words.begin(), choice);
    write_file(corpus / target / name, words.data(), words.size() * 8);
    const auto sealed = herd::wire::seal(frame, herd::Epoch(1), {herd::ReplicaId(2), herd::Epoch(3)});
    if (i == 0) write_file(corpus / "frame" / (target + "_" + std::to_string(choice)), sealed->data(), sealed->size());
  }
}

// One message of each kind that nodes, leaders, ranks, the coordinator and operators send, as a fragment of a connection on which
// it may be sent: the number of link_session_fuzz.cc's speakers, the frame.
void write_spoken_seeds(const fs::path& corpus) {
  using herd::wire::encode;
  Random random(2);
  const std::pair<int, herd::wire::Frame> spoken[] = {{1, encode(herd::wire::random_node_join(random))},
                                                      {1, encode(herd::wire::random_place_ask(random))},
                                                      {1, encode(herd::wire::random_loss(random))},
                                                      {1, encode(herd::wire::random_process_reports(random))},
                                                      {1, encode(herd::wire::random_reload_prepared(random))},
                                                      {1, encode(herd::wire::random_node_leaving(random))},
                                                      {2, encode(herd::wire::random_rank_ready(random))},
                                                      {2, encode(herd::wire::random_serving(random))},
                                                      {2, encode(herd::wire::random_generation_ended(random))},
                                                      {3, encode(herd::wire::random_rank_spec(random))},
                                                      {3, encode(herd::wire::random_form_replica(random))},
                                                      {3, encode(herd::wire::random_rank_ended(random))},
                                                      {4, encode(herd::wire::random_plan(random))},
                                                      {4, encode(herd::wire::random_result(random))},
                                                      {5, encode(herd::wire::random_deltas(random))},
                                                      {5, encode(herd::wire::random_replica_report(random))},
                                                      {6, encode(herd::wire::random_assignment(random))},
                                                      {6, encode(herd::wire::random_placed(random))},
                                                      {6, encode(herd::wire::random_reload_prepare(random))},
                                                      {7, encode(herd::wire::random_view(random))},
                                                      {7, encode(herd::wire::random_reload_decision(random))},
                                                      {7, encode(herd::wire::random_quota_shares(random))},
                                                      {8, encode(herd::wire::random_join(random))},
                                                      {8, encode(herd::wire::random_quota_demand(random))},
                                                      {9, encode(herd::wire::random_status_ask(random))},
                                                      {9, encode(herd::wire::random_drain_ask(random))},
                                                      {9, encode(herd::wire::random_reload_ask(random))},
                                                      {10, encode(herd::wire::random_cluster_status(random))},
                                                      {10, encode(herd::wire::random_order_answer(random))},
                                                      {4, encode(herd::wire::random_block_part(random))},
                                                      {4, encode(herd::wire::random_move_ask(random))},
                                                      {4, encode(herd::wire::random_move_grant(random))},
                                                      {4, encode(herd::wire::random_move_stop(random))},
                                                      {4, encode(herd::wire::random_move_found(random))},
                                                      {4, encode(herd::wire::random_move_over(random))}};
  for (const auto& [speakers, frame] : spoken) {
    const std::vector<std::byte> bytes = herd::wire::seal(frame, herd::Epoch(1)).value();
    std::string seed{static_cast<char>(speakers * 4 + 3), static_cast<char>(herd::link::lane_of(frame.kind))};
    seed.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    write_file(corpus / "link_session" / ("spoken_" + std::to_string(static_cast<int>(frame.kind))), seed.data(), seed.size());
  }
}

// What the leader of a pair may read: a hello as it comes, and frames behind one, whole and as fragments are cut.
void write_link_seeds(const fs::path& corpus) {
  const auto write = [&](const std::string& name, char how, const std::vector<std::byte>& bytes) {
    std::string seed(1, how);
    seed.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    write_file(corpus / "link_session" / name, seed.data(), seed.size());
  };
  herd::link::LinkPair pair;
  write("hello", 0, herd::link::drain(pair.gateway, {}));
  herd::link::LinkPair open;
  open.open();
  Random random(1);
  const herd::wire::Frame frames[] = {herd::wire::encode(herd::wire::random_attempt(random)),
                                      herd::wire::encode(herd::wire::random_ping(random)),
                                      herd::wire::encode(herd::handshake::Goodbye{herd::bad_input("no")})};
  (void)open.gateway.send(frames[0].kind, herd::wire::seal(frames[0], herd::Epoch(1)).value(), {});
  open.gateway.on_time(herd::link::at_seconds(0.5));
  open.gateway.finish({}, herd::link::at_seconds(0.5));
  write("open", 1, herd::link::drain(open.gateway, herd::link::at_seconds(0.5)));
  for (const herd::wire::Frame& frame : frames) {
    std::vector<std::byte> bytes = herd::wire::seal(frame, herd::Epoch(1)).value();
    const auto lane = static_cast<std::byte>(herd::link::lane_of(frame.kind));
    bytes.insert(bytes.begin(), lane);
    for (const char how : {2, 3}) write("frame_" + std::to_string(static_cast<int>(frame.kind)) + "_" + std::to_string(how), how, bytes);
  }
}

}  // namespace

int main(int, char** argv) {
  const fs::path corpus = argv[1];
  write_seeds(corpus, "generate_codec", 0, herd::wire::random_submission);
  write_seeds(corpus, "generate_codec", 1, herd::wire::random_deltas);
  write_seeds(corpus, "generate_codec", 2, herd::wire::random_attempt);
  write_seeds(corpus, "step_codec", 0, herd::wire::random_plan);
  write_seeds(corpus, "step_codec", 1, herd::wire::random_result);
  write_seeds(corpus, "step_codec", 2, herd::wire::random_block_part);
  write_seeds(corpus, "control_codec", 0, herd::wire::random_hello);
  write_seeds(corpus, "control_codec", 1, herd::wire::random_join);
  write_seeds(corpus, "control_codec", 2, herd::wire::random_view);
  write_seeds(corpus, "control_codec", 3, herd::wire::random_loss);
  write_seeds(corpus, "control_codec", 4, herd::wire::random_quota_demand);
  write_seeds(corpus, "control_codec", 5, herd::wire::random_quota_shares);
  write_seeds(corpus, "link_codec", 0, herd::wire::random_ping);
  write_seeds(corpus, "link_codec", 1, herd::wire::random_goodbye);
  write_seeds(corpus, "membership_codec", 0, herd::wire::random_node_join);
  write_seeds(corpus, "membership_codec", 1, herd::wire::random_assignment);
  write_seeds(corpus, "membership_codec", 2, herd::wire::random_place_ask);
  write_seeds(corpus, "membership_codec", 3, herd::wire::random_placed);
  write_seeds(corpus, "membership_codec", 4, herd::wire::random_serving);
  write_seeds(corpus, "membership_codec", 5, herd::wire::random_given_up);
  write_seeds(corpus, "membership_codec", 6, herd::wire::random_node_leaving);
  write_seeds(corpus, "moves_codec", 0, herd::wire::random_move_ask);
  write_seeds(corpus, "moves_codec", 1, herd::wire::random_move_grant);
  write_seeds(corpus, "moves_codec", 2, herd::wire::random_move_stop);
  write_seeds(corpus, "moves_codec", 3, herd::wire::random_move_found);
  write_seeds(corpus, "moves_codec", 4, herd::wire::random_move_over);
  write_seeds(corpus, "group_codec", 0, herd::wire::random_rank_loading);
  write_seeds(corpus, "group_codec", 1, herd::wire::random_rank_ready);
  write_seeds(corpus, "group_codec", 2, herd::wire::random_form_replica);
  write_seeds(corpus, "group_codec", 3, herd::wire::random_join_group);
  write_seeds(corpus, "group_codec", 4, herd::wire::random_rank_joined);
  write_seeds(corpus, "group_codec", 5, herd::wire::random_leave_group);
  write_seeds(corpus, "group_codec", 6, herd::wire::random_rank_left);
  write_seeds(corpus, "group_codec", 7, herd::wire::random_rank_failed);
  write_seeds(corpus, "group_codec", 8, herd::wire::random_stop_replica);
  write_seeds(corpus, "group_codec", 9, herd::wire::random_rank_ended);
  write_seeds(corpus, "group_codec", 10, herd::wire::random_generation_ended);
  write_seeds(corpus, "group_codec", 11, herd::wire::random_replica_report);
  write_seeds(corpus, "report_codec", 0, herd::wire::random_process_reports);
  write_seeds(corpus, "report_codec", 1, herd::wire::random_status_ask);
  write_seeds(corpus, "report_codec", 2, herd::wire::random_cluster_status);
  write_seeds(corpus, "report_codec", 3, herd::wire::random_drain_ask);
  write_seeds(corpus, "report_codec", 4, herd::wire::random_reload_ask);
  write_seeds(corpus, "report_codec", 5, herd::wire::random_order_answer);
  write_seeds(corpus, "report_codec", 6, herd::wire::random_reload_prepare);
  write_seeds(corpus, "report_codec", 7, herd::wire::random_reload_prepared);
  write_seeds(corpus, "report_codec", 8, herd::wire::random_reload_decision);
  write_seeds(corpus, "rank_codec", 0, herd::wire::random_rank_spec);
  write_link_seeds(corpus);
  write_spoken_seeds(corpus);
}
