#include "commands/cluster_options.h"

#include <algorithm>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "cluster/config/setting_table.h"
#include "commands/serve_flags.h"

namespace herd::commands {

Expected<actors::EngineOptions> engine_options_of(const config::ClusterSpec& spec) {
  CLI::App app;
  ServeFlags flags;
  add_serve_flags(app, flags);
  std::vector<std::string> words = config::serve_flags_of(spec, nullptr, nullptr);
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    return fail({StatusCode::kInternal, std::string("a setting is no flag: ") + error.what()});
  }
  if (Status status = check(flags); !status.ok()) return fail(std::move(status));
  auto options = engine_options(flags.model);
  if (!options) return fail(options.error());
  options->compute_nice = flags.compute_nice;
  if (flags.policy == "priority") options->scheduler.policy = scheduler::SchedulingPolicy::kPriority;
  return options;
}

}  // namespace herd::commands
