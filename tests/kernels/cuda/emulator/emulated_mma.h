#pragma once
// The product of mma_bf16 for a whole warp. A model, not the hardware's bits: products of bf16 are exact, k is taken in
// groups of 8 in ascending order, a group is summed in double in ascending order, and group + accumulator is rounded
// toward zero to float32 (tensor cores truncate). So an element depends on the order in which its k are walked, and on
// nothing but its row of A, its column of B and its old value.

#include <cstdint>

namespace herd::emulator {

// Of each lane: its fragments as kernels/cuda/instructions.h describes them. c is replaced.
struct MmaOperands {
  float* c[32];
  const std::uint32_t* a[32];
  const std::uint32_t* b[32];
};
void multiply(const MmaOperands& operands);

}  // namespace herd::emulator
