// herd reload: every process of a cluster takes what the file says now, or none does.

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "actors/processes/operator_client.h"
#include "commands/command_line.h"
#include "commands/operator_command.h"
#include "commands/reload_json.h"
#include "commands/standard_output.h"

namespace herd::commands {
namespace {

// The coordinator waits 5 s for answers and 2 s for those who take it.
constexpr std::chrono::seconds kPatience{10};

struct ReloadFlags {
  OperatorFlags at;
};

Status reload(ReloadFlags& flags) {
  auto client = start_operator_client(flags.at);
  if (!client) return client.error();
  const auto answer = (*client)->order(report::ReloadAsk{}, kPatience);
  if (!answer) return answer.error();
  if (flags.at.output == "json") {
    print_bytes(reload_json(flags.at.config, *answer));
    return answer->status;
  }
  if (!answer->status.ok()) {
    for (const std::string& line : answer->lines) std::fprintf(stderr, "%s\n", line.c_str());
    return answer->status;
  }
  std::string text = answer->lines.empty() ? "no key has changed; keys and certificates were read again\n" : "";
  for (const std::string& line : answer->lines) text += line + "\n";
  print_bytes(text);
  return {};
}

}  // namespace

void add_reload(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ReloadFlags>();
  CLI::App* command = app.add_subcommand(
      "reload", "Every process of a cluster reads the cluster's file again and takes what may change while it runs, or none does: limits, "
                "keys, logs, supervision, nodes and gateways that are new or gone. A key that cannot change is named");
  add_operator_flags(*command, flags->at, "text, or json: one line");
  command->callback([flags, exit_code] { *exit_code = report(reload(*flags)); });
}

}  // namespace herd::commands
