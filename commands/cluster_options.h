#pragma once
// What a cluster file says of its ranks as options of an engine: as `herd serve` takes the same settings, and judged by the same code.

#include "actors/engine.h"
#include "cluster/config/cluster_spec.h"
#include "kernels/status.h"

namespace herd::commands {

// kUsage: a setting that cannot be, with the flag that it is.
[[nodiscard]] Expected<actors::EngineOptions> engine_options_of(const config::ClusterSpec& spec);

}  // namespace herd::commands
