#pragma once
// What a chat template is given by chat and tokenize requests: messages with all that they carry, documents,
// chat_template_kwargs, tools. What an assistant refused with is its text.

#include "endpoint/chat/conversation.h"
#include "endpoint/openai/json_fields.h"
#include "endpoint/openai/openai_request.h"

namespace herd::openai {

// Everything but tools. `fields` has an array "messages".
void read_conversation(JsonFields& fields, const RequestLimits& limits, chat::Conversation& conversation);

// `tools`: a list of objects; none when it is absent or empty.
void read_tools(JsonFields& fields, const RequestLimits& limits, chat::Conversation& conversation);

}  // namespace herd::openai
