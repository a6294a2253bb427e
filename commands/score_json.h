#pragma once
// Logits of `herd score` as one JSON object.

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/ids.h"

namespace herd::commands {

// {"prompt_token_ids": [...], "positions": rows, "vocab_size": width, "logits": [[...], ...]}
std::string score_json(const std::vector<TokenId>& ids, std::int64_t rows, std::int64_t width,
                       const std::vector<float>& logits);

}  // namespace herd::commands
