// herd reload: every process of a cluster takes what the file says now, or none does.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "actors/processes/operator_client.h"
#include "commands/cluster_spec_file.h"
#include "commands/command_line.h"
#include "commands/demo_cluster.h"
#include "commands/random_bytes.h"
#include "commands/reload_json.h"
#include "commands/standard_output.h"

namespace herd::commands {
namespace {

// The coordinator waits 5 s for answers and 2 s for those who take it.
constexpr std::chrono::seconds kPatience{10};

struct ReloadFlags {
  std::string config;
  std::string output = "text";
};

Status reload(ReloadFlags& flags) {
  if (flags.config.empty()) flags.config = demo_config_path();
  if (flags.output != "text" && flags.output != "json") return usage_error("--output must be text or json, not " + flags.output);
  const auto spec = read_cluster_spec(flags.config);
  if (!spec) return spec.error();
  auto client = processes::OperatorClient::start(*spec, std::max<std::uint64_t>(1, random_number()));
  if (!client) return client.error();
  const auto answer = (*client)->order(report::ReloadAsk{}, kPatience);
  if (!answer) return answer.error();
  if (flags.output == "json") {
    print_bytes(reload_json(flags.config, *answer));
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
  command->add_option("--config", flags->config, "The cluster's file (YAML); without: the demo cluster of `herd up`");
  command->add_option("--output", flags->output, "text, or json: one line");
  command->callback([flags, exit_code] { *exit_code = report(reload(*flags)); });
}

}  // namespace herd::commands
