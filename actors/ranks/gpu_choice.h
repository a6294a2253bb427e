#pragma once
// Which GPU each rank gets: --devices against what there is.

#include <string>
#include <vector>

#include "kernels/gpu_backend.h"
#include "kernels/status.h"

namespace herd::actors {

// --devices gpu and what belongs to it.
struct GpuOptions {
  bool use = false;
  std::vector<int> indices;           // empty: 0, 1, … as many as there are ranks
  double memory_utilization = 0.9;    // of a GPU's whole memory, for weights, step buffers and KV; in (0, 1]
  GpuMatmul matmul = GpuMatmul::kOrdered;
  bool graphs = true;
};

// The GPU of every place. kMissing: an index that is not there, fewer GPUs than places (says how many there are).
[[nodiscard]] Expected<std::vector<GpuInfo>> choose_gpus(const std::vector<GpuInfo>& there,
                                                         const std::vector<int>& wanted, int places);
// load_gpu_backend() and its devices(), with errors that name the flag.
[[nodiscard]] Expected<GpuBackend*> open_gpus(std::vector<GpuInfo>& there);
// An error of the backend, with the flag that asked for a GPU.
[[nodiscard]] Status named_by_flag(const Status& error);

}  // namespace herd::actors
