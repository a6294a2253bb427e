#pragma once
// The numerics id: what must be equal for two processes to give the same bytes for the same request, as text of at most 256
// bytes. Only replicas of equal ids continue each other's streams.
//
//   cpu-2/bfloat16/bfloat16/2f0c…    class / encoding computed in / what products take activations as / 32 hexadecimal digits
//   cpu-2/q4_0/int8/81d2…
//
// The digits digest the parts before them, the model's numbers, its RoPE table and every byte of its weights. Threads, ranks,
// batch, cache and block sizes are not in it: they do not change a bit. Nor is the longest sequence served, which only ends
// one earlier, nor the tokenizer: it has a digest of its own (runtime/tokenizer/text_digest.h).

#include <string>
#include <string_view>

#include "runtime/digest/digest.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/llama_weights.h"

namespace herd::shard {

struct NumericsParts {
  // Device::numerics_class(): every backend of one class gives the same bits (docs/numerics.md). A change of any rule
  // there is another class.
  std::string_view numerics_class;
  const model::LlamaConfig* config = nullptr;  // never null
  model::Encoding encoding;
  digest::Digest128 weights;                   // of all ranks together (runtime/model/weights_digest.h)
};

[[nodiscard]] std::string numerics_id(const NumericsParts& parts);

}  // namespace herd::shard
