#pragma once
// The reference backend: naive loops on one thread that define the bits of every operation (rules 1-6,
// docs/numerics.md), the oracle of the others and the fallback of CPUs without AVX2. It checks nothing: see ops.cc.
// The calling thread must be in kernel float mode (set_kernel_float_mode, device.h).

#include <memory>

#include "kernels/ops.h"

namespace herd {

std::unique_ptr<Ops> make_reference_ops();

}  // namespace herd
