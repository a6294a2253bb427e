#pragma once
// A row's request as a sampler on the device reads it (RowSampler::sample_rows): the stages before the draw become edits of
// single logits, the rest numbers. Pure.

#include <vector>

#include "kernels/row_sampler.h"
#include "runtime/sampling/sampler.h"

namespace herd::sampling {

// Appends the row's edits to `edits`, each token once, and returns its parameters with their range set.
[[nodiscard]] SampleRowParams row_params(const SampleRow& row, std::int32_t vocab_size, std::vector<LogitEdit>& edits);

}  // namespace herd::sampling
