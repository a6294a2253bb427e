#pragma once
// One event of an OpenAI stream: JSON -> what the load client counts. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"

namespace herd::load {

struct StreamChunk {
  bool has_choice = false;
  // The chunk carries a token: /v1/completions any chunk with a choice (its text may be empty), chat one whose delta
  // has content, reasoning or tool calls. A chat delta of the role alone, or of nothing, carries none.
  bool has_token = false;
  std::string text;  // of the first choice
  bool has_usage = false;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;
  std::uint32_t cached_tokens = 0;
  std::string error;  // not empty: the server reports a failure in the middle of the stream
};

// kBadInput when it is not a JSON object.
[[nodiscard]] Expected<StreamChunk> parse_stream_chunk(std::string_view json, bool chat);

// The message of an error answer in OpenAI's shape ({"error": {"message"}}) or the flat one ({"message"}); otherwise
// the body's beginning. At most 300 bytes.
[[nodiscard]] std::string error_message(std::string_view body);

// The id of the first model of a /v1/models answer. kBadInput.
[[nodiscard]] Expected<std::string> first_model(std::string_view body);
// The distinct ids of a /tokenize answer, ascending; empty when it is none.
[[nodiscard]] std::vector<std::int32_t> tokenized_ids(std::string_view body);

}  // namespace herd::load
