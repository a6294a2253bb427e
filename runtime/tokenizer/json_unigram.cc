#include "runtime/tokenizer/json_unigram.h"

#include <boost/json.hpp>

#include <cmath>
#include <limits>
#include <string>

#include "runtime/tokenizer/json_fields.h"
#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {

namespace json = boost::json;

namespace {

// Boost.JSON 1.81 rounds the last bit of a number as it comes. SentencePiece's scores are floats, and sums of equal scores
// tie only when they are read exactly.
double score_of(const json::value& number) {
  const auto read = number.to_number<double>();
  const double single = static_cast<double>(static_cast<float>(read));
  return std::abs(single - read) <= 4.0 * std::numeric_limits<double>::epsilon() * std::abs(read) ? single : read;
}

}  // namespace

Expected<JsonUnigram> read_json_unigram(const json::object& model) {
  const json::value* vocabulary = json_member(model, "vocab");
  if (vocabulary == nullptr || !vocabulary->is_array()) return fail(bad_input("model.vocab: missing"));
  const json::array& entries = vocabulary->get_array();
  if (entries.size() > kVocabularySizeMax) {
    return fail(bad_input("model.vocab: more than " + std::to_string(kVocabularySizeMax) + " tokens"));
  }
  JsonUnigram unigram;
  unigram.tokens.reserve(entries.size());
  for (const json::value& value : entries) {
    const json::array* entry = value.if_array();
    if (entry == nullptr || entry->size() != 2 || !(*entry)[0].is_string() || !(*entry)[1].is_number()) {
      return fail(bad_input("model.vocab[" + std::to_string(unigram.tokens.size()) + "]: not a token and its score"));
    }
    const json::string& spelling = (*entry)[0].get_string();
    unigram.tokens.emplace_back(std::string_view(spelling.data(), spelling.size()), score_of((*entry)[1]));
  }
  if (const json::value* unknown = json_member(model, "unk_id")) {
    unigram.unknown = json_token_id(*unknown);
    if (!unigram.unknown) return fail(bad_input("model.unk_id: not a token id"));
  }
  if (Status status = read_json_flag(model, "byte_fallback", "model", unigram.byte_fallback); !status.ok()) return fail(std::move(status));
  return unigram;
}

}  // namespace herd::tokenizer
