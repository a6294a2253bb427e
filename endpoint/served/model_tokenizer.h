#pragma once
// The tokenizer of a checkpoint: which of its files says it, and what the files beside that one add.

#include <optional>
#include <string>

#include "kernels/status.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::served {

// What a person says about it.
struct TokenizerSettings {
  std::string path = {};     // tokenizer.json or tokenizer.model elsewhere; empty: the checkpoint's
  // "3" or "3.1": how the control tokens of a Llama 3 tokenizer.model are called, which that file does not say. Empty: as
  // config.json or a params.json beside it tells, else as 3.1 calls them.
  std::string version = {};
};

// kUsage: a version that there is not.
[[nodiscard]] Status check_tokenizer_version(const std::string& version);

// A checkpoint's tokenizer, or why there is none.
struct OpenedTokenizer {
  std::optional<tokenizer::Tokenizer> tokenizer;
  Status refused;  // what herd cannot use; ok when the checkpoint has no tokenizer at all
};

// A definition that herd cannot use costs the text only; a file that cannot be read, or is no JSON at all, is damaged and
// an error, as is anything wrong with what `settings` ask for. Messages name the model.
[[nodiscard]] Expected<OpenedTokenizer> open_tokenizer(const model::OpenedModel& model, const TokenizerSettings& settings);

}  // namespace herd::served
