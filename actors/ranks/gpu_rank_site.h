#pragma once
// Ranks on GPUs of this machine, one a rank: each has weights and KV of its own.

#include <memory>

#include "actors/ranks/gpu_choice.h"
#include "actors/ranks/rank_site.h"
#include "kernels/status.h"

namespace herd::actors {

// Takes the GPUs. kMissing: no library, driver or GPU, too few of them, or GPUs that compute differently.
[[nodiscard]] Expected<std::shared_ptr<RankSite>> site_on_gpus(const GpuOptions& options, RankCounts counts,
                                                               RankHooks hooks = {});

}  // namespace herd::actors
