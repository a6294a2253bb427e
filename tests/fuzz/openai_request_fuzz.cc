// libFuzzer: request bodies of the OpenAI API. The first byte picks the parser. Whatever the bytes: a refusal whose own
// body is JSON, or a request inside every limit that the engine's own checks accept as well.
#include "endpoint/openai/openai_request.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "endpoint/openai/json_document.h"
#include "endpoint/openai/json_fields.h"
#include "endpoint/openai/sampling_of.h"
#include "runtime/text/utf8.h"

namespace {

using namespace herd;
using namespace herd::openai;

void require(bool holds) {
  if (!holds) std::abort();
}

RequestLimits limits_of(std::uint8_t choice) {
  RequestLimits limits;
  limits.vocab_size = 1000;
  limits.prompt_bytes_max = 64;
  limits.prompt_tokens_max = 16;
  limits.prompts_max = 4;
  limits.messages_max = 8;
  limits.content_parts_max = 4;
  limits.priorities = (choice & 0x80U) != 0;
  limits.strict_fields = (choice & 0x20U) != 0;
  return limits;
}

bool inside_vocabulary(const std::vector<TokenId>& ids, const RequestLimits& limits) {
  return std::ranges::all_of(ids, [&](TokenId id) { return id >= 0 && id < limits.vocab_size; });
}

void check_name(const std::string& name) {
  require(text::is_valid_utf8(name) && name.find('\0') == std::string::npos);
}

// They go into a header and the log.
void check_ignored(const std::vector<std::string>& names, const RequestLimits& limits) {
  require(names.size() <= kIgnoredFieldsMax && (names.empty() || !limits.strict_fields));
  for (const std::string& name : names)
    require(!name.empty() && name.size() <= kFieldNameMax &&
            name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-[]") ==
                std::string::npos);
}

void check_fields(const GenerationFields& fields, const RequestLimits& limits) {
  require(!sampling_of(fields, {}).validate(limits.vocab_size));
  check_name(fields.model);
  require(fields.n >= 1 && fields.n <= limits.n_max);
  require(!fields.max_tokens || fields.min_tokens <= *fields.max_tokens);
  require(fields.stop.size() <= limits.stop_max);
  for (const std::string& stop : fields.stop)
    require(!stop.empty() && stop.size() <= limits.stop_bytes_max && text::is_valid_utf8(stop));
  require(limits.priorities || fields.priority == 0);
  require(fields.stream || !(fields.include_usage || fields.continuous_usage));
}

void check_conversation(const chat::Conversation& conversation, const RequestLimits& limits) {
  const std::vector<chat::ChatMessage>& messages = conversation.messages;
  require(!messages.empty() && messages.size() <= limits.messages_max);
  std::size_t bytes = 0;
  for (const chat::ChatMessage& message : messages) {
    require(!message.role.empty() && message.role.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == std::string::npos);
    require(text::is_valid_utf8(message.content));
    bytes += chat::text_bytes(message) - message.role.size();
  }
  require(bytes <= limits.prompt_bytes_max);
  for (const jinja::Value& list : {conversation.tools, conversation.documents}) require(chat::text_bytes(list) <= limits.prompt_bytes_max);
  require(!conversation.continue_final_message || !conversation.add_generation_prompt);
}

void check(const CompletionRequest& request, const RequestLimits& limits) {
  check_fields(request.fields, limits);
  require(request.echo || !request.fields.max_tokens || *request.fields.max_tokens >= 1);
  if (const auto* texts = std::get_if<std::vector<std::string>>(&request.prompts)) {
    require(!texts->empty() && texts->size() <= limits.prompts_max);
    for (const std::string& text : *texts)
      require(!text.empty() && text.size() <= limits.prompt_bytes_max && text::is_valid_utf8(text));
  } else {
    const auto& lists = std::get<std::vector<std::vector<TokenId>>>(request.prompts);
    require(!lists.empty() && lists.size() <= limits.prompts_max);
    for (const auto& ids : lists)
      require(!ids.empty() && ids.size() <= limits.prompt_tokens_max && inside_vocabulary(ids, limits));
  }
}

void check(const ChatRequest& request, const RequestLimits& limits) {
  check_fields(request.fields, limits);
  require(!request.fields.max_tokens || *request.fields.max_tokens >= 1);
  check_conversation(request.conversation, limits);
}

void check(const TokenizeRequest& request, const RequestLimits& limits) {
  check_name(request.model);
  require(request.prompt.size() <= limits.prompt_bytes_max && text::is_valid_utf8(request.prompt));
  if (request.conversation) check_conversation(*request.conversation, limits);
  require(!request.conversation || (request.prompt.empty() && !request.add_special_tokens));
}

void check(const DetokenizeRequest& request, const RequestLimits& limits) {
  check_name(request.model);
  require(request.tokens.size() <= limits.prompt_tokens_max && inside_vocabulary(request.tokens, limits));
}

template <class Request>
void check_result(const ApiExpected<Request>& result, std::string_view body, const RequestLimits& limits) {
  if (result) {
    require(JsonDocument::parse(body).has_value());
    check_ignored(result->ignored_fields, limits);
    return check(*result, limits);
  }
  const std::string told = to_json(result.error());
  require(result.error().status == 400 && !result.error().message.empty());
  require(text::is_valid_utf8(told) && JsonDocument::parse(told).has_value());
  require(result.error().message.size() < 1024);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const RequestLimits limits = limits_of(data[0]);
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] & 3U) {
    case 0: check_result(parse_chat(body, limits), body, limits); break;
    case 1: check_result(parse_completion(body, limits), body, limits); break;
    case 2: check_result(parse_tokenize(body, limits), body, limits); break;
    default: check_result(parse_detokenize(body, limits), body, limits); break;
  }
  return 0;
}
