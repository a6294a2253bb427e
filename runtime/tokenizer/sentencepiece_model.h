#pragma once
// SentencePiece's tokenizer.model (Llama 2, TinyLlama, Mistral): BPE and unigram models. Ids are those of PyPI's
// `sentencepiece` for every text in which no control token is looked for.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/tokenizer/added_tokens.h"
#include "runtime/tokenizer/sentencepiece_proto.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

// What the file does not say and a tokenizer_config.json beside it may: named as its keys, with their defaults.
struct SentencePieceOptions {
  bool add_bos_token = true;
  bool add_eos_token = false;
  std::optional<bool> add_prefix_space = {};  // absent: as the file says
  // A space is also put before the text behind a control token, as SentencePiece does when it is asked for each stretch
  // alone. False: before the whole text only.
  bool legacy = true;
  // Looked for in the text as it is, even where they say `normalized`.
  DeclaredAddedTokens declared = {};
};

// `name` stands for the file in error messages. kBadInput also for what has no meaning here: models of words or of
// characters, maps of characters for decoded text.
[[nodiscard]] Expected<Tokenizer> parse_sentencepiece_model(std::string_view content, std::string_view name,
                                                            const SentencePieceOptions& options = {});

// What of it Tokenizer::build() is given.
[[nodiscard]] Expected<TokenizerDefinition> sentencepiece_definition(std::string_view content, std::string_view name,
                                                                     const SentencePieceOptions& options = {});

// What a piece decodes to: each U+2581 is a space.
[[nodiscard]] std::string text_of_piece(std::string_view piece);

}  // namespace herd::tokenizer
