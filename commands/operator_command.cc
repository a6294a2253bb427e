#include "commands/operator_command.h"

#include <cstdint>

#include <CLI/CLI.hpp>

#include "commands/cluster_spec_file.h"
#include "commands/demo_cluster.h"
#include "commands/random_bytes.h"

namespace herd::commands {

void add_operator_flags(CLI::App& command, OperatorFlags& flags, const char* output_help) {
  command.add_option("--config", flags.config, "The cluster's file (YAML); without: the demo cluster of `herd up`");
  command.add_option("--output", flags.output, output_help);
}

Expected<std::unique_ptr<processes::OperatorClient>> start_operator_client(OperatorFlags& flags) {
  if (flags.output != "text" && flags.output != "json")
    return fail(usage_error("--output must be text or json, not " + flags.output));
  if (flags.config.empty()) flags.config = demo_config_path();
  const auto spec = read_cluster_spec(flags.config);
  if (!spec) return fail(spec.error());
  return processes::OperatorClient::start(*spec, random_incarnation());
}

}  // namespace herd::commands
