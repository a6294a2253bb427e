#include "commands/score_json.h"

#include <cmath>

#include <boost/json.hpp>

namespace herd::commands {

std::string score_json(const std::vector<TokenId>& ids, std::int64_t rows, std::int64_t width,
                       const std::vector<float>& logits) {
  boost::json::array table;
  for (std::int64_t row = 0; row < rows; ++row) {
    boost::json::array line;
    for (std::int64_t col = 0; col < width; ++col) {
      const float value = logits[static_cast<std::size_t>(row * width + col)];
      if (std::isfinite(value)) line.emplace_back(static_cast<double>(value));
      else line.emplace_back(nullptr);  // JSON has neither NaN nor infinity
    }
    table.push_back(std::move(line));
  }
  return boost::json::serialize(boost::json::object{{"prompt_token_ids", boost::json::array(ids.begin(), ids.end())},
                                                    {"positions", rows},
                                                    {"vocab_size", width},
                                                    {"logits", std::move(table)}});
}

}  // namespace herd::commands
