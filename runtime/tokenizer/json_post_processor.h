#pragma once
// The `post_processor` of a tokenizer.json: what stands around every text. TemplateProcessing, BertProcessing,
// RobertaProcessing, in Sequences with ByteLevel, which moves offsets only. Others are refused by name.

#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"

namespace boost::json {
class value;
}

namespace herd::tokenizer {

// What stands before and behind a text.
struct JsonAround {
  std::vector<TokenId> prefix;
  std::vector<TokenId> suffix;
};

// Messages begin with the field. kBadInput: a processor that is refused, two that put something around a text, ids that are
// none.
[[nodiscard]] Expected<JsonAround> read_json_post_processor(const boost::json::value& post_processor);

}  // namespace herd::tokenizer
