#include "commands/cluster_options.h"

#include <utility>

#include "cluster/config/setting_table.h"
#include "commands/command_line.h"
#include "commands/serve_flags.h"

namespace herd::commands {

Expected<FileOptions> options_of(const config::ClusterSpec& spec) {
  ServeFlags flags;
  if (Status status = take_settings(config::serve_flags_of(spec, nullptr), flags); !status.ok()) return fail(std::move(status));
  if (Status status = check(flags); !status.ok()) return fail(std::move(status));
  auto engine = engine_options(flags);
  if (!engine) return fail(engine.error());
  return FileOptions{std::move(*engine), text_options(flags.model)};
}

}  // namespace herd::commands
