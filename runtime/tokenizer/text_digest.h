#pragma once
// The text digest: names what turns text into token ids and back, and messages into prompts. It stands apart from the
// numerics id: another tokenizer gives other ids, never other bits for the same ids.

#include <string>
#include <string_view>

#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {

// 32 hexadecimal digits of all that the definition says and of the chat template (empty: none).
[[nodiscard]] std::string text_digest(const TokenizerDefinition& definition, std::string_view chat_template);

}  // namespace herd::tokenizer
