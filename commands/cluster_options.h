#pragma once
// What a cluster file says of its ranks and of the model's text as options: as `herd serve` takes the same settings, and judged by the
// same code.

#include "actors/engine.h"
#include "cluster/config/cluster_spec.h"
#include "endpoint/served/served_text.h"
#include "kernels/status.h"

namespace herd::commands {

struct FileOptions {
  actors::EngineOptions engine;
  served::TextOptions text;
};

// kUsage: a setting that cannot be, with the flag that it is.
[[nodiscard]] Expected<FileOptions> options_of(const config::ClusterSpec& spec);

}  // namespace herd::commands
