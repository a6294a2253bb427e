// POST /tokenize and /detokenize (vLLM's): bodies -> TokenizeRequest, DetokenizeRequest.
#include <tuple>

#include <boost/json/value.hpp>

#include "endpoint/openai/chat_messages.h"
#include "endpoint/openai/generation_fields.h"
#include "endpoint/openai/neutral_fields.h"
#include "endpoint/openai/openai_request.h"
#include "endpoint/openai/parse_body.h"

namespace herd::openai {
namespace {

void read_prompt(JsonFields& fields, const RequestLimits& limits, TokenizeRequest& request) {
  const auto text = fields.string("prompt");
  if (!text) return fields.refuse("prompt", "is missing (or messages)");
  const JsonPath path = fields.path_of("prompt");
  if (text->size() > limits.prompt_bytes_max)
    return refuse_length(path, text->size(), limits.prompt_bytes_max, "bytes of text", fields.refusal());
  request.prompt = std::string(*text);
  request.parse_special = fields.boolean("parse_special").value_or(true);
  std::ignore = fields.boolean("add_generation_prompt");
  read_neutral(fields, tokenize_prompt_neutral_fields());
}

// The chat template writes the special tokens: none may come before them, and those in its text are meant.
void read_chat(JsonFields& fields, const RequestLimits& limits, TokenizeRequest& request) {
  if (fields.find("prompt") != nullptr) fields.refuse("prompt", "and messages must not both be given");
  if (!fields.boolean("parse_special").value_or(true)) fields.refuse("parse_special", "is only allowed with a prompt");
  chat::Conversation& conversation = request.conversation.emplace();
  read_conversation(fields, limits, conversation);
  read_tools(fields, limits, conversation);
}

}  // namespace

ApiExpected<TokenizeRequest> parse_tokenize(std::string_view body, const RequestLimits& limits) {
  return parse_body<TokenizeRequest>(body, limits, [&limits](JsonFields& fields, TokenizeRequest& request) {
    request.model = read_model(fields);
    const bool chat = fields.find("messages") != nullptr;
    if (chat) read_chat(fields, limits, request);
    else read_prompt(fields, limits, request);
    request.add_special_tokens = fields.boolean("add_special_tokens").value_or(!chat);
    if (chat && request.add_special_tokens)
      fields.refuse("add_special_tokens", "must be false with messages: the chat template writes the special tokens");
    request.return_token_strs = fields.boolean("return_token_strs").value_or(false);
    read_neutral(fields, tokenize_neutral_fields());
  });
}

ApiExpected<DetokenizeRequest> parse_detokenize(std::string_view body, const RequestLimits& limits) {
  return parse_body<DetokenizeRequest>(body, limits, [&limits](JsonFields& fields, DetokenizeRequest& request) {
    request.model = read_model(fields);
    const boost::json::array* tokens = fields.array("tokens");
    if (tokens == nullptr) return fields.refuse("tokens", "is missing");
    const JsonPath path = fields.path_of("tokens");
    if (tokens->size() > limits.prompt_tokens_max)
      return refuse_length(path, tokens->size(), limits.prompt_tokens_max, "token ids", fields.refusal());
    request.tokens = read_token_ids(*tokens, path, limits.vocab_size, fields.refusal());
  });
}

}  // namespace herd::openai
