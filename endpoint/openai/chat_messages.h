#pragma once
// `messages` of chat and tokenize requests: roles and text. Parts of one message are joined with nothing between; what an
// assistant refused with is its text.

#include <vector>

#include "endpoint/openai/json_fields.h"
#include "endpoint/openai/openai_request.h"

namespace herd::openai {

// `fields` has an array "messages". Developer messages become system messages.
[[nodiscard]] std::vector<chat::ChatMessage> read_messages(JsonFields& fields, const RequestLimits& limits);

}  // namespace herd::openai
