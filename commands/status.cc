// herd status: what the coordinator of a cluster knows of its processes and replicas.

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include "actors/processes/operator_client.h"
#include "commands/command_line.h"
#include "commands/operator_command.h"
#include "commands/standard_output.h"
#include "commands/status_output.h"

namespace herd::commands {
namespace {

constexpr std::chrono::seconds kPatience{3};
constexpr std::chrono::milliseconds kWatchEvery{500};

struct StatusFlags {
  OperatorFlags at;
  bool watch = false;
};

std::string shown(const StatusFlags& flags, const report::ClusterStatusReport& report) {
  return flags.at.output == "json" ? cluster_status_json(flags.at.config, report) : cluster_status_text(report);
}

// Whatever changes, until somebody ends it. The refusal: nobody reads it any more.
Status watch(const StatusFlags& flags, processes::OperatorClient& client) {
  std::string last, trouble;
  for (;;) {
    const auto answer = client.ask(kPatience);
    const std::string text = answer ? shown(flags, *answer) : "";
    if (answer && text != last) {
      print_bytes((last.empty() || flags.at.output == "json" ? "" : "\n") + text);
      if (Status lost = flush_output(); !lost.ok()) return lost;
    }
    if (!answer && answer.error().message() != trouble) std::fprintf(stderr, "herd: %s\n", answer.error().message().c_str());
    trouble = answer ? "" : answer.error().message();
    if (answer) last = text;
    std::this_thread::sleep_for(kWatchEvery);
  }
}

Status status(StatusFlags& flags) {
  auto client = start_operator_client(flags.at);
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
  add_operator_flags(*command, flags->at, "text, or json: one line, as `herd up --output json` prints it");
  command->add_flag("--watch", flags->watch, "Print it again whenever it changes, until interrupted");
  command->callback([flags, exit_code] { *exit_code = report(status(*flags)); });
}

}  // namespace herd::commands
