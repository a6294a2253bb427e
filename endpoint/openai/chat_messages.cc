#include "endpoint/openai/chat_messages.h"

#include <algorithm>
#include <array>

#include <boost/json/value.hpp>

#include "endpoint/openai/generation_fields.h"
#include "endpoint/openai/neutral_fields.h"

namespace herd::openai {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 7> kRoles = {"system", "developer", "user",    "assistant",
                                                    "tool",   "function",  "ipython"};

std::string read_role(JsonFields& message) {
  const json::value* written = message.find("role");
  if (written == nullptr) {
    message.refuse("role", "is missing");
    return {};
  }
  const std::string_view role = read_string(*written, message.path_of("role"), message.refusal()).value_or("");
  if (std::ranges::find(kRoles, role) == kRoles.end())
    message.refuse("role", "must be one of system, developer, user, assistant, tool, function, ipython");
  return role == "developer" ? "system" : std::string(role);
}

// {"type": "text", "text": …}; of an assistant also {"type": "refusal", "refusal": …}, which is what it said as well.
void append_part(const json::value& part, const JsonPath& path, bool assistant, Refusal& refusal,
                 std::string& content) {
  const json::object* object = part.if_object();
  if (object == nullptr) return refuse_value(part, path, "an object with type and text", refusal);
  JsonFields fields(*object, &path, refusal);
  const auto type = fields.string("type");
  if (!type) return fields.refuse("type", "is missing");
  const bool refused = assistant && *type == "refusal";
  if (!refused && *type != "text") return fields.refuse("type", "must be \"text\": this model takes text only");
  const std::string_view member = refused ? "refusal" : "text";
  const auto text = fields.string(member);
  if (!text) return fields.refuse(member, "is missing");
  read_neutral(fields, part_neutral_fields());
  fields.judge_unknown();
  content.append(*text);
}

std::string read_content(JsonFields& message, bool assistant, const RequestLimits& limits) {
  const json::value* content = message.find("content");
  const JsonPath path = message.path_of("content");
  if (content == nullptr) {
    message.refuse("content", "is missing: every message needs text");
    return {};
  }
  if (const json::string* text = content->if_string()) return {text->data(), text->size()};
  const json::array* parts = content->if_array();
  if (parts == nullptr || parts->empty()) {
    refuse_value(*content, path, "a string or an array of text parts", message.refusal());
    return {};
  }
  if (parts->size() > limits.content_parts_max)
    message.refuse("content", "must hold at most " + std::to_string(limits.content_parts_max) + " parts, not " +
                                  std::to_string(parts->size()));
  std::string text;
  for (std::size_t i = 0; i < parts->size() && !message.refusal().any(); ++i)
    append_part((*parts)[i], {&path, {}, i}, assistant, message.refusal(), text);
  return text;
}

// The text of a message: its content, and an assistant's refusal, which stands beside null content or behind it.
std::string read_text(JsonFields& message, std::string_view role, const RequestLimits& limits) {
  const bool assistant = role == "assistant";
  const auto refusal = message.string("refusal");
  if (refusal && !assistant) message.refuse("refusal", "is only allowed in an assistant's message");
  const bool has_content = message.find("content") != nullptr;
  if (!has_content && refusal) return std::string(*refusal);
  if (!has_content && role == "function") return {};  // it returned nothing
  std::string text = read_content(message, assistant, limits);
  if (refusal) text.append(*refusal);
  return text;
}

chat::ChatMessage read_message(const json::value& value, const JsonPath& path, const RequestLimits& limits,
                                    Refusal& refusal) {
  const json::object* object = value.if_object();
  if (object == nullptr) {
    refuse_value(value, path, "an object with role and content", refusal);
    return {};
  }
  JsonFields fields(*object, &path, refusal);
  chat::ChatMessage message;
  message.role = read_role(fields);
  read_neutral(fields, message_neutral_fields());  // before content: null content goes with tool_calls, which say more
  message.content = read_text(fields, message.role, limits);
  fields.judge_unknown();
  return message;
}

}  // namespace

std::vector<chat::ChatMessage> read_messages(JsonFields& fields, const RequestLimits& limits) {
  std::vector<chat::ChatMessage> messages;
  const json::array* list = fields.array("messages");
  if (list == nullptr) {
    fields.refuse("messages", "is missing");
    return messages;
  }
  if (list->empty() || list->size() > limits.messages_max) {
    fields.refuse("messages", "must hold 1 to " + std::to_string(limits.messages_max) + " messages, not " +
                                  std::to_string(list->size()));
    return messages;
  }
  const JsonPath path = fields.path_of("messages");
  std::size_t bytes = 0;
  messages.reserve(list->size());
  for (std::size_t i = 0; i < list->size() && !fields.refusal().any(); ++i) {
    messages.push_back(read_message((*list)[i], {&path, {}, i}, limits, fields.refusal()));
    bytes += messages.back().content.size();
  }
  if (bytes > limits.prompt_bytes_max)
    refuse_length(path, bytes, limits.prompt_bytes_max, "bytes of text", fields.refusal());
  return messages;
}

}  // namespace herd::openai
