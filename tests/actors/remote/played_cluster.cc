// A coordinator and two leaders played in one process, for `herd serve --config`: it says where the coordinator is on stdout, makes a
// token of every open sequence every few milliseconds, and does what a line on stdin says:
//   serve EPOCH           both leaders serve that generation of their replica
//   cut LEADER            the connections of that leader end
//   coordinator off|on    it goes away; it is there again
//   report                what it was told last, a line on stdout

#include <atomic>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <thread>

#include "tests/actors/remote/played_cluster.h"

namespace herd::actors {
namespace {

using handshake::Role;

constexpr std::chrono::milliseconds kStep{4};
// As one ends (runtime/shard/numerics_id.h).
constexpr const char* kNumerics = "cpu-2/bfloat16/bfloat16/0123456789abcdef0123456789abcdef";

class Played {
 public:
  Played() {
    for (const char* node : {"node-1", "node-2"}) leaders_.push_back(std::make_unique<PlayedLeader>(Role::kRank, node, std::nullopt));
    coordinator_ = std::make_unique<PlayedCoordinator>(Role::kCoordinator, "c", std::nullopt);
    port_ = coordinator_->port();
    std::printf("coordinator %d\n", port_);
    std::fflush(stdout);
    stepping_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        for (const auto& leader : leaders_) leader->step();
        std::this_thread::sleep_for(kStep);
      }
    });
  }

  void obey(const std::string& line) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "serve") {
      words >> epoch_;
      serve();
    } else if (word == "cut") {
      std::size_t leader = 0;
      words >> leader;
      leaders_.at(leader)->cut();
    } else if (word == "coordinator") {
      words >> word;
      coordinator_.reset();
      if (word != "on") return;
      coordinator_ = std::make_unique<PlayedCoordinator>(Role::kCoordinator, "c", std::nullopt, port_);
      serve();
    } else if (word == "report") {
      say_reports();
    }
  }

 private:
  void serve() {
    routing::ClusterView view{.cluster_epoch = Epoch(1), .number = ++number_, .replicas = {}};
    for (std::uint32_t i = 0; i < leaders_.size(); ++i) {
      const routing::ReplicaGeneration generation{ReplicaId(i), Epoch(epoch_)};
      if (served_ != epoch_) leaders_[i]->serve(generation);
      view.replicas.push_back({.route = {generation, leaders_[i]->address(), kNumerics},
                               .state = routing::ReplicaState::kServing,
                               .returns = true,
                               .sequences_max = 64,
                               .max_model_len = 1024});
    }
    served_ = epoch_;
    coordinator_->push(view);
  }
  void say_reports() {
    std::string line = "reports";
    for (const report::ProcessReports& reports : coordinator_->reports())
      for (const report::ProcessReport& one : reports.processes)
        line += " " + one.name + "=" + report::process_state_name(one.state) + "," + one.endpoint_url + "," +
                std::to_string(one.restarts);
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  std::vector<std::unique_ptr<PlayedLeader>> leaders_;
  std::unique_ptr<PlayedCoordinator> coordinator_;
  std::uint16_t port_ = 0;
  std::uint64_t epoch_ = 0, served_ = 0, number_ = 0;
  std::jthread stepping_;
};

}  // namespace
}  // namespace herd::actors

int main() {
  herd::actors::Played played;
  for (std::string line; std::getline(std::cin, line);) played.obey(line);
}
