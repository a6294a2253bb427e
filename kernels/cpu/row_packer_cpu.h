#pragma once
// The SIMD backends' RowPacker.

#include <memory>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/slab_memory.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/row_packer.h"

namespace herd {

// `pool` and `memory` outlive it. For one thread at a time.
std::unique_ptr<RowPacker> make_cpu_row_packer(const KernelTable& kernels, ThreadPool& pool, SlabMemory& memory);

}  // namespace herd
