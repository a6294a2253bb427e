#pragma once
// A planned GGUF file being written: tensors are read, quantised and put to their places piece by piece, on several threads. The
// memory that is taken does not depend on the model's size.

#include <cstdint>
#include <functional>

#include "kernels/status.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/conversion/conversion_plan.h"
#include "runtime/files/new_file.h"

namespace herd::model {

// Bytes of the new file that are there, and that there will be. Called by one thread at a time.
using ConversionProgress = std::function<void(std::uint64_t, std::uint64_t)>;

// `source`: what the plan was made of. `file` has plan.file_bytes; it is not completed here. kBadInput names the tensor and the rows
// that hold a NaN, an infinity or a value beyond the new encoding.
[[nodiscard]] Status write_model(const ConversionPlan& plan, const Checkpoint& source, int threads, const ConversionProgress& progress,
                                 files::NewFile& file);

}  // namespace herd::model
