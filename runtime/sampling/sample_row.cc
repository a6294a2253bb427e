#include "runtime/sampling/sample_row.h"

namespace herd::sampling {

bool penalised(const step::SamplingParams& params) {
  return params.repetition_penalty != 1.0F || params.presence_penalty != 0.0F || params.frequency_penalty != 0.0F;
}

bool edits_row(const SampleRow& row) {
  return !row.params->logit_bias.empty() || penalised(*row.params) || row.output_index < row.params->min_tokens;
}

}  // namespace herd::sampling
