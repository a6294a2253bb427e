#pragma once
// The `pre_tokenizer` of a tokenizer.json: ByteLevel, Split, Digits, Whitespace, WhitespaceSplit, Metaspace, Punctuation,
// BertPreTokenizer, CharDelimiterSplit, in Sequences. Others are refused by name.

#include <vector>

#include "kernels/status.h"
#include "runtime/tokenizer/pre_tokenizer.h"

namespace boost::json {
class value;
}

namespace herd::tokenizer {

struct JsonPreTokenizer {
  std::vector<PreTokenizerStage> stages;
  // Pieces are bytes, and the vocabulary spells them in the byte alphabet. Where ByteLevel is not the last stage, `stages`
  // themselves write the alphabet, and pieces are texts of it.
  bool byte_level = false;
};

// Messages begin with the field. kBadInput: a stage that is refused, more than kStagesMax of them. Patterns are compiled
// later, by PreTokenizer::build().
[[nodiscard]] Expected<JsonPreTokenizer> read_json_pre_tokenizer(const boost::json::value& pre_tokenizer);

}  // namespace herd::tokenizer
