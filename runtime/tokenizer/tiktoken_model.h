#pragma once
// Meta's tokenizer.model for Llama 3 (tiktoken format): one line "base64-of-bytes rank" per token, ranks 0, 1, …;
// the id is the rank, 256 control tokens follow. Not Llama 2's tokenizer.model, which is a SentencePiece file.

#include <string_view>

#include "kernels/status.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::tokenizer {

// The file does not name its control tokens; the generation of the model does.
enum class TiktokenSpecials {
  kLlama30,  // <|reserved_special_token_0|> … 250 around seven named tokens
  kLlama31,  // 3.1, 3.2, 3.3: also <|finetune_right_pad_id|>, <|eom_id|>, <|python_tag|>
};

// `name` stands for the file in error messages. kBadInput: a line that is none, ranks that do not follow one another, a
// byte without a token, tokens too long or too many.
[[nodiscard]] Expected<Tokenizer> parse_tiktoken_model(std::string_view content, std::string_view name,
                                                       TiktokenSpecials specials = TiktokenSpecials::kLlama31);

// What of it Tokenizer::build() is given.
[[nodiscard]] Expected<TokenizerDefinition> tiktoken_definition(std::string_view content, std::string_view name,
                                                                TiktokenSpecials specials = TiktokenSpecials::kLlama31);

}  // namespace herd::tokenizer
