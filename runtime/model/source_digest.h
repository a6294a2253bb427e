#pragma once
// The digest of a model's weights read for it alone, apart from loading: a name does not hold up a start. The same as join()
// gives for what the ranks of any tensor-parallel degree load (runtime/model/weights_digest.h).

#include <stop_token>

#include "kernels/status.h"
#include "runtime/digest/digest.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/weight_source.h"

namespace herd::model {

// Reads every tensor once, about 4 MiB of floats at a time, on the calling thread. kAborted when `stop` is requested, looked at
// between two pieces; else the source's error.
[[nodiscard]] Expected<digest::Digest128> digest_source(const LlamaConfig& config, const WeightSource& source,
                                                        const std::stop_token& stop = {});

}  // namespace herd::model
