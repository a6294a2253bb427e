#pragma once
// Hugging Face tokenizer.json: BPE over bytes or characters, with the normalizers, pre-tokenizers, post-processors and
// decoders of the Llama family. What would change the result and is not supported is refused with the field's name.

#include <filesystem>
#include <span>
#include <string_view>

#include "kernels/status.h"
#include "runtime/tokenizer/added_tokens.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

// `more`: added tokens that other files of the checkpoint declare (tokenizer_config.json, added_tokens.json). Those whose
// text the file adds itself change nothing.
[[nodiscard]] Expected<Tokenizer> load_tokenizer_json(const std::filesystem::path& path, std::span<const AddedToken> more = {});

// `name` stands for the file in error messages.
[[nodiscard]] Expected<Tokenizer> parse_tokenizer_json(std::string_view content, std::string_view name,
                                                       std::span<const AddedToken> more = {});

}  // namespace herd::tokenizer
