#pragma once
// What a person says about the tokenizer, and what the files beside a tokenizer.model say of it.

#include <string>

#include "kernels/status.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/tokenizer/tokenizer_model.h"

namespace herd::served {

struct TokenizerSettings {
  std::string path = {};  // tokenizer.json or tokenizer.model elsewhere; empty: the checkpoint's
  // "3" or "3.1": how the control tokens of Llama 3's tokenizer.model are called, which that file does not say. Empty: as
  // a params.json beside it or config.json tells, else as 3.1 calls them.
  std::string version = {};
};

// kUsage: a version that there is not.
[[nodiscard]] Status check_tokenizer_version(const std::string& version);

// How to read the tokenizer.model `file`, beside which `text` was read.
[[nodiscard]] tokenizer::TokenizerModelOptions model_file_options(const std::string& file, const model::TextParts& text,
                                                                  const model::LlamaConfig& config, const std::string& version);

}  // namespace herd::served
