#pragma once
// Tokens that tokenizer_config.json, special_tokens_map.json and added_tokens.json declare beside a tokenizer's own file,
// merged as transformers merges them: an added_tokens_decoder in the first says all, and the other two count without one.

#include <string>
#include <utility>
#include <vector>

#include "runtime/checkpoint/json_object.h"
#include "runtime/tokenizer/added_tokens.h"

namespace herd::model {

// Value.
struct DeclaredTokens {
  std::vector<std::pair<std::string, std::string>> special_tokens;  // see TextParts
  tokenizer::DeclaredAddedTokens added_tokens;
};

// The three files, null where one is not there. What has another shape than its field should have is refused in the
// file's status().
[[nodiscard]] DeclaredTokens declared_tokens(const JsonObject* config, const JsonObject* special_map, const JsonObject* added);

}  // namespace herd::model
