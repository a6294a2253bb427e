#pragma once
// Whether this CPU's products of blocks give rule 9's bits: tried against plain loops before they are trusted, for an instruction
// that saturates early or a build that scales otherwise would change answers silently.

#include <string>

#include "kernels/cpu/kernel_table.h"

namespace herd {

// Products of random and extreme blocks of every format with few and many rows. Empty when all have the bits of plain loops (any
// NaN equals any NaN), else where the first difference is.
std::string first_block_difference(const Product& product);

// The same of a table that this CPU can run, tried at the first call: about two milliseconds.
const std::string& judge_blocks(const KernelTable& kernels);

}  // namespace herd
