#pragma once
// Whether this CPU's dot products of bf16 may stand in for multiply-adds: do they give the same bits (rule 1), and sooner?
// The bits are tried, not looked up by model: what an instruction rounds between its steps is the CPU's own.

#include <string>

#include "kernels/cpu/kernel_table.h"

namespace herd {

// Products of random, cancelling, tiny, huge and special bf16 values, subnormal ones among them, by both tables. Empty
// when all have the same bits (any NaN equals any NaN), else where the first difference is.
std::string first_product_difference(const KernelTable& trusted, const KernelTable& candidate);

// Times a product of many rows on this thread, about half a millisecond: > 1 when `candidate` is faster.
double product_speed_ratio(const KernelTable& trusted, const KernelTable& candidate);

struct DotVerdict {
  std::string difference;  // empty: the same bits
  bool faster = false;
};
// Of kKernelsAvx512Bf16 on this CPU, which has the instruction. Tried at the first call; that is a millisecond or two.
const DotVerdict& judge_dots();

}  // namespace herd
