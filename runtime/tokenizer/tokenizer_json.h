#pragma once
// Hugging Face tokenizer.json: BPE over bytes or characters and Unigram, with the normalizers, pre-tokenizers, post-processors and
// decoders of the Llama family. What would change the result and is not supported is refused with the field's name.

#include <filesystem>
#include <string_view>

#include "kernels/status.h"
#include "runtime/tokenizer/added_tokens.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

// `declared`: added tokens that other files of the checkpoint declare (tokenizer_config.json, added_tokens.json). kMissing:
// it cannot be read. kBadInput: what it says is refused, or it has more than kTokenizerFileBytesMax.
[[nodiscard]] Expected<Tokenizer> load_tokenizer_json(const std::filesystem::path& path,
                                                      const DeclaredAddedTokens& declared = {});

// `name` stands for the file in error messages.
[[nodiscard]] Expected<Tokenizer> parse_tokenizer_json(std::string_view content, std::string_view name,
                                                       const DeclaredAddedTokens& declared = {});

// What of it Tokenizer::build() is given, of a file and of its content.
[[nodiscard]] Expected<TokenizerDefinition> load_tokenizer_json_definition(const std::filesystem::path& path,
                                                                           const DeclaredAddedTokens& declared = {});
[[nodiscard]] Expected<TokenizerDefinition> tokenizer_json_definition(std::string_view content, std::string_view name,
                                                                      const DeclaredAddedTokens& declared = {});

}  // namespace herd::tokenizer
