#pragma once
// Hugging Face tokenizer.json, as far as byte-level BPE of the Llama family uses it. What would change the result and
// is not supported is refused with the field's name: normalizers, other pre-tokenizers, SentencePiece-style BPE.

#include <filesystem>
#include <string_view>

#include "kernels/status.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

[[nodiscard]] Expected<Tokenizer> load_tokenizer_json(const std::filesystem::path& path);

// `name` stands for the file in error messages.
[[nodiscard]] Expected<Tokenizer> parse_tokenizer_json(std::string_view content, std::string_view name);

}  // namespace herd::tokenizer
