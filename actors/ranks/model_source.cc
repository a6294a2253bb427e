#include "actors/ranks/model_source.h"

#include <utility>

#include "runtime/checkpoint/quantizing_source.h"
#include "runtime/model/llama_weights.h"

namespace herd::actors {

std::shared_ptr<const model::WeightSource> source_of(const model::OpenedModel& opened, WeightFormat weights) {
  std::shared_ptr<const model::WeightSource> source = opened.checkpoint;
  if (source == nullptr) source = model::random_source(opened.config(), opened.files.random_seed);
  if (!is_quantized(weights) || opened.gguf() != nullptr) return source;
  return std::make_shared<const model::QuantizingSource>(std::move(source), opened.config(), weights);
}

model::Encoding encoding_of(const model::OpenedModel& opened, WeightFormat weights) {
  return model::encoding_of(opened.config(), *source_of(opened, weights), weights);
}

}  // namespace herd::actors
