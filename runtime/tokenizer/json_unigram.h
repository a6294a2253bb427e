#pragma once
// The "Unigram" model of a tokenizer.json: tokens with scores.

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"

namespace boost::json {
class object;
}

namespace herd::tokenizer {

// Views into the document.
struct JsonUnigram {
  std::vector<std::pair<std::string_view, double>> tokens;  // spelling and score, by id
  std::optional<TokenId> unknown;
  bool byte_fallback = false;
};

// Messages begin with the field.
[[nodiscard]] Expected<JsonUnigram> read_json_unigram(const boost::json::object& model);

}  // namespace herd::tokenizer
