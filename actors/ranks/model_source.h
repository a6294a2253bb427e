#pragma once
// Where ranks get the weights of an opened model from, in the format that they compute in.

#include <memory>

#include "runtime/checkpoint/open_model.h"
#include "runtime/model/encoding.h"

namespace herd::actors {

// The checkpoint, or random numbers; quantised while they are read where `weights` are blocks and the files hold numbers.
[[nodiscard]] std::shared_ptr<const model::WeightSource> source_of(const model::OpenedModel& opened, WeightFormat weights);

// The formats of all matrices of it.
[[nodiscard]] model::Encoding encoding_of(const model::OpenedModel& opened, WeightFormat weights);

}  // namespace herd::actors
