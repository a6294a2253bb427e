#pragma once
// A file named tokenizer.model: SentencePiece's (Llama 2, Mistral) or tiktoken's (Llama 3), told apart by what it holds.

#include <filesystem>
#include <string_view>

#include "kernels/status.h"
#include "runtime/tokenizer/sentencepiece_model.h"
#include "runtime/tokenizer/tiktoken_model.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

struct TokenizerModelOptions {
  TiktokenSpecials specials = TiktokenSpecials::kLlama31;  // of tiktoken's
  SentencePieceOptions sentencepiece = {};
};

// kMissing: it cannot be read. kBadInput: it is neither of the two, or too large.
[[nodiscard]] Expected<Tokenizer> load_tokenizer_model(const std::filesystem::path& path,
                                                       const TokenizerModelOptions& options = {});

// What of it Tokenizer::build() is given.
[[nodiscard]] Expected<TokenizerDefinition> load_tokenizer_model_definition(const std::filesystem::path& path,
                                                                            const TokenizerModelOptions& options = {});

}  // namespace herd::tokenizer
