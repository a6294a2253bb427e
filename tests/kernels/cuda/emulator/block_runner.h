#pragma once
// Runs the blocks of a kernel one after the other on the calling OS thread, the threads of a block as fibers: round to
// nearest, FTZ and DAZ as device code is compiled, dynamic shared memory of exactly the launched size, full of 0xff.
// A collective that part of a warp or block never reaches ends the process with a message: never a hang.

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>

namespace herd::emulator {

void run_kernel(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes,
                const std::function<void()>& body);

}  // namespace herd::emulator
