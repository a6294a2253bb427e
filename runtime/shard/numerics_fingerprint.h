#pragma once
// What must be equal for two processes to give the same bytes for the same request, as 32 hexadecimal digits: the
// class of arithmetic, the encoding computed in, the model's numbers and weights, the size of the tokenizer's
// vocabulary. Threads, ranks, batch, cache and block sizes are not in it: they do not change a bit. Nor is the longest
// sequence served: it only ends one earlier.

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/status.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/llama_weights.h"

namespace herd::shard {

struct NumericsParts {
  // Device::numerics_class(): every backend of one class gives the same bits (docs/numerics.md). A change of any rule
  // there is another class.
  std::string numerics_class;
  const model::LlamaConfig* config = nullptr;      // never null
  model::Encoding encoding;
  std::size_t tokenizer_vocab_size = 0;            // 0: without a tokenizer
  const model::Checkpoint* checkpoint = nullptr;   // null: random weights of `random_seed`
  std::uint64_t random_seed = 0;
};

// Of the weights it reads the first, the middle and the last 1,024 values of each tensor: enough to tell one training
// from another, not a proof against an adversary. The error is the checkpoint's, when it cannot be read.
[[nodiscard]] Expected<std::string> numerics_fingerprint(const NumericsParts& parts);

}  // namespace herd::shard
