#pragma once
// Memory of a GPU and the pinned host memory beside it. All of a Device's memory comes from here.
//
// Every buffer is a cudaMalloc of its own: all of them are made at load and live as long as the shard, nothing is
// allocated while it runs, so there is nothing for a pool to reuse. What a pool would save at load: an 80-layer shard
// makes some 600 buffers, for each of which the driver takes well under a millisecond and rounds up to 2 MiB at most.
// free_bytes() then is what the driver says, and the KV pool is sized by it.

#include <cstddef>
#include <memory>

#include "kernels/cuda/stream.h"
#include "kernels/device.h"
#include "kernels/staging.h"

namespace herd::cuda {

// Zeroed before this returns, 256-byte aligned. kMissing when the memory is short.
Expected<std::unique_ptr<DeviceBuffer>> allocate_device(const std::shared_ptr<Stream>& stream, std::size_t bytes,
                                                        const char* what);
Expected<std::unique_ptr<StagedBuffer>> allocate_staged(const std::shared_ptr<Stream>& stream, std::size_t bytes,
                                                        const char* what);
Expected<std::unique_ptr<ReadbackBuffer>> allocate_readback(const std::shared_ptr<Stream>& stream, std::size_t bytes,
                                                            const char* what);
// 0 when the driver does not say (the stream has the error).
[[nodiscard]] std::size_t free_device_bytes(Stream& stream);

}  // namespace herd::cuda
