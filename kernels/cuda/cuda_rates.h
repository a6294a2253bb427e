#pragma once
// What a GPU can do at most, measured by its own clock (events around the work): the bounds of GpuRates.

#include <memory>

#include "kernels/gpu_backend.h"

namespace herd::cuda {

// On a stream of its own, the best of several samples, after half a second of work that lets the clocks rise; takes a
// second or two, and half of the free memory at most.
Expected<GpuRates> measure_rates(int gpu);

}  // namespace herd::cuda
