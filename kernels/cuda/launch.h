#pragma once
// How a kernel is started: launch(stream, "rms_norm", rms_norm_kernel, grid, threads, shared bytes, arguments...).
// Arguments are plain data, passed by value. Nothing is enqueued on a stream that has failed.

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "kernels/cuda/stream.h"

namespace herd::cuda {

inline constexpr std::size_t kSharedBytesDefault = 48 * 1024;  // beyond, a kernel has to ask for it
inline constexpr std::size_t kStaticSharedBytesMax = 8 * 1024;  // what herd's kernels declare themselves

template <class... Params, class... Args>
void launch(Stream& stream, const char* name, void (*kernel)(Params...), dim3 grid, int threads,
            std::size_t shared_bytes, const Args&... args) {
  static_assert((std::is_trivially_copyable_v<Params> && ...), "kernel parameters are plain data");
  if (!stream.ok() || grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  // All that a block may have, not what this launch takes: a launch recorded or under way may need more than the next.
  const std::size_t allowed = std::max(shared_bytes, stream.shared_bytes_max() - kStaticSharedBytesMax);
  if (shared_bytes > kSharedBytesDefault &&
      !stream.check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                         cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(allowed)),
                    name))
    return;
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream.handle();
  stream.check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...), name);
}

}  // namespace herd::cuda
