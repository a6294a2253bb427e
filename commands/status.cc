// herd status: what the coordinator of a cluster knows of its processes and replicas.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "actors/processes/operator_client.h"
#include "commands/cluster_spec_file.h"
#include "commands/command_line.h"
#include "commands/demo_cluster.h"
#include "commands/random_bytes.h"
#include "commands/standard_output.h"
#include "commands/status_output.h"

namespace herd::commands {
namespace {

constexpr std::chrono::seconds kPatience{3};
constexpr std::chrono::milliseconds kWatchEvery{500};

struct StatusFlags {
  std::string config;
  std::string output = "text";
  bool watch = false;
};

std::string shown(const StatusFlags& flags, const report::ClusterStatusReport& report) {
  return flags.output == "json" ? cluster_status_json(flags.config, report) : cluster_status_text(report);
}

// Whatever changes, until somebody ends it. The refusal: nobody reads it any more.
Status watch(const StatusFlags& flags, processes::OperatorClient& client) {
  std::string last, trouble;
  for (;;) {
    const auto answer = client.ask(kPatience);
    const std::string text = answer ? shown(flags, *answer) : "";
    if (answer && text != last) {
      print_bytes((last.empty() || flags.output == "json" ? "" : "\n") + text);
      if (Status lost = flush_output(); !lost.ok()) return lost;
    }
    if (!answer && answer.error().message() != trouble) std::fprintf(stderr, "herd: %s\n", answer.error().message().c_str());
    trouble = answer ? "" : answer.error().message();
    if (answer) last = text;
    std::this_thread::sleep_for(kWatchEvery);
  }
}

Status status(StatusFlags& flags) {
  if (flags.config.empty()) flags.config = demo_config_path();
  if (flags.output != "text" && flags.output != "json") return usage_error("--output must be text or json, not " + flags.output);
  const auto spec = read_cluster_spec(flags.config);
  if (!spec) return spec.error();
  auto client = processes::OperatorClient::start(*spec, std::max<std::uint64_t>(1, random_number()));
  if (!client) return client.error();
  if (flags.watch) return watch(flags, **client);
  const auto answer = (*client)->ask(kPatience);
  if (!answer) return answer.error();
  print_bytes(shown(flags, *answer));
  return {};
}

}  // namespace

void add_status(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<StatusFlags>();
  CLI::App* command = app.add_subcommand(
      "status", "What the coordinator of a cluster knows of its replicas and processes, asked under the certificate of an operator");
  command->add_option("--config", flags->config, "The cluster's file (YAML); without: the demo cluster of `herd up`");
  command->add_option("--output", flags->output, "text, or json: one line, as `herd up --output json` prints it");
  command->add_flag("--watch", flags->watch, "Print it again whenever it changes, until interrupted");
  command->callback([flags, exit_code] { *exit_code = report(status(*flags)); });
}

}  // namespace herd::commands
