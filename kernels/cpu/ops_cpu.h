#pragma once
// The SIMD backends: launchers that check nothing (ops.cc does), cut an operation into ranges over the pool and hand
// them to the kernels of one instruction set (kernel_table.h). Bits equal reference/ whatever the cut.

#include <memory>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/slab_memory.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/device.h"
#include "kernels/ops.h"

namespace herd {

// `isa` is kAvx2, kAvx512, kAvx512Vnni or kAvx512Bf16, which the caller knows this CPU to have.
const KernelTable& kernels_of(CpuIsa isa);
// `pool` and `memory`, of which scratch is cut, outlive the Ops. For one thread at a time.
std::unique_ptr<Ops> make_cpu_ops(CpuIsa isa, ThreadPool& pool, SlabMemory& memory);

}  // namespace herd
