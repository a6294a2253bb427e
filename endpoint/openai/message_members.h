#pragma once
// What a message carries beside role and content: its name, an assistant's tool calls and reasoning, the id of the call that
// a result belongs to.

#include <string_view>

#include "endpoint/chat/conversation.h"
#include "endpoint/openai/json_fields.h"
#include "endpoint/openai/openai_request.h"

namespace herd::openai {

// Those of `message`, whose fields `fields` reads, in the order they were sent. Empty tool_calls are none. Arguments of a call are
// the object that their text holds; a text that holds none stays text.
[[nodiscard]] chat::Members read_members(const boost::json::object& message, std::string_view role, JsonFields& fields,
                                         const RequestLimits& limits);

}  // namespace herd::openai
