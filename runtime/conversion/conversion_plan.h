#pragma once
// What a converted checkpoint will hold, settled before a weight is read: the head of the file, every tensor's encoding and place.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "kernels/weight_format.h"
#include "runtime/checkpoint/gguf_head.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::model {

// One tensor of the source and how it is written.
struct PlannedTensor {
  TensorInfo source;
  WeightFormat format = WeightFormat::kF32;
  bool interleaved = false;  // its rows (entries, of a vector) go to GGUF's order
  std::uint64_t begin = 0;   // in the new file
};

struct ConversionPlan {
  std::vector<std::byte> head;
  std::uint64_t file_bytes = 0;
  std::vector<PlannedTensor> tensors;  // in the file's order
  std::vector<float> rope_divisors;    // empty: there are none
  std::uint64_t rope_divisors_begin = 0;
  std::vector<std::string> notes;  // what a person should know, a sentence each
};

// `wanted`: of kQuantizedTo (quantization_mixture.h) or plain numbers; empty: every matrix stays as it is. Vectors become float32,
// as GGUF's readers expect them. `definition`: of a folder's tokenizer, null where it has none; a GGUF file's own vocabulary is
// copied. kBadInput: what the source says cannot be said in GGUF.
[[nodiscard]] Expected<ConversionPlan> plan_conversion(const OpenedModel& model, std::optional<WeightFormat> wanted,
                                                       const tokenizer::TokenizerDefinition* definition);

}  // namespace herd::model
