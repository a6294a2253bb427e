// POST /v1/chat/completions: body -> ChatRequest.
#include "endpoint/openai/chat_messages.h"
#include "endpoint/openai/generation_fields.h"
#include "endpoint/openai/neutral_fields.h"
#include "endpoint/openai/openai_request.h"
#include "endpoint/openai/parse_body.h"

namespace herd::openai {
namespace {

// logprobs: true, top_logprobs: n.
std::int32_t read_logprobs(JsonFields& fields) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, step::kLogprobsMax);
  if (top && *top > 0 && !wanted) fields.refuse("top_logprobs", "is only allowed when logprobs is true");
  return wanted ? static_cast<std::int32_t>(top.value_or(0)) : -1;
}

}  // namespace

ApiExpected<ChatRequest> parse_chat(std::string_view body, const RequestLimits& limits) {
  return parse_body<ChatRequest>(body, limits, [&limits](JsonFields& fields, ChatRequest& request) {
    read_conversation(fields, limits, request.conversation);
    read_generation(fields, limits, 1, request.fields);
    request.fields.logprobs = read_logprobs(fields);
    read_uncalled(fields, "tools", "tool_choice");
    read_uncalled(fields, "functions", "function_call");
    read_neutral(fields, chat_neutral_fields());
  });
}

}  // namespace herd::openai
