#include "endpoint/openai/chat_messages.h"

#include <algorithm>

#include <boost/json/value.hpp>

#include "endpoint/chat/template_messages.h"
#include "endpoint/jinja/template.h"
#include "endpoint/openai/generation_fields.h"
#include "endpoint/openai/message_members.h"
#include "endpoint/openai/neutral_fields.h"
#include "endpoint/openai/template_values.h"

namespace herd::openai {
namespace {

namespace json = boost::json;

// They have a field of their own, or none but the server decides.
constexpr std::string_view kReservedVariables[] = {"messages",  "tools",    "add_generation_prompt", "continue_final_message",
                                                   "documents", "tokenize", "chat_template"};

std::string read_role(JsonFields& message) {
  const json::value* written = message.find("role");
  if (written == nullptr) {
    message.refuse("role", "is missing");
    return {};
  }
  const std::string_view role = read_string(*written, message.path_of("role"), message.refusal()).value_or("");
  if (!chat::is_role_word(role))
    message.refuse("role", "must be one of system, developer, user, assistant, tool, function, ipython");
  return std::string(role);
}

// {"type": "text", "text": …}; of an assistant also {"type": "refusal", "refusal": …}, which is what it said as well.
std::string read_part(const json::value& part, const JsonPath& path, bool assistant, Refusal& refusal) {
  const json::object* object = part.if_object();
  if (object == nullptr) {
    refuse_value(part, path, "an object with type and text", refusal);
    return {};
  }
  JsonFields fields(*object, &path, refusal);
  const auto refused_part = [&fields](std::string_view member, const char* why) {
    fields.refuse(member, why);
    return std::string();
  };
  const auto type = fields.string("type");
  if (!type) return refused_part("type", "is missing");
  const bool refused = assistant && *type == "refusal";
  if (!refused && *type != "text") return refused_part("type", "must be \"text\": this model takes text only");
  const std::string_view member = refused ? "refusal" : "text";
  const auto text = fields.string(member);
  if (!text) return refused_part(member, "is missing");
  read_neutral(fields, part_neutral_fields());
  fields.judge_unknown();
  return std::string(*text);
}

void read_parts(const json::array& parts, JsonFields& fields, const RequestLimits& limits, chat::ChatMessage& message) {
  const JsonPath path = fields.path_of("content");
  if (parts.size() > limits.content_parts_max)
    fields.refuse("content", "must hold at most " + std::to_string(limits.content_parts_max) + " parts, not " +
                                 std::to_string(parts.size()));
  for (std::size_t i = 0; i < parts.size() && !fields.refusal().any(); ++i) {
    message.parts.push_back(read_part(parts[i], {&path, {}, i}, message.role == "assistant", fields.refusal()));
    message.content += message.parts.back();
  }
}

void read_content(JsonFields& fields, const RequestLimits& limits, chat::ChatMessage& message) {
  const json::value* content = fields.find("content");
  if (content == nullptr) return fields.refuse("content", "is missing: every message needs text");
  if (const json::string* text = content->if_string()) {
    message.content.assign(text->data(), text->size());
    return;
  }
  const json::array* parts = content->if_array();
  if (parts == nullptr || parts->empty())
    return refuse_value(*content, fields.path_of("content"), "a string or an array of text parts", fields.refusal());
  read_parts(*parts, fields, limits, message);
}

// The text of a message: its content, and an assistant's refusal, which stands beside null content or behind it. An assistant
// that called a tool, or a function without result, has said nothing.
void read_text(JsonFields& fields, const RequestLimits& limits, chat::ChatMessage& message) {
  const auto refusal = fields.string("refusal");
  if (refusal && message.role != "assistant") fields.refuse("refusal", "is only allowed in an assistant's message");
  const bool may_be_silent = message.role == "assistant" || message.role == "function";
  if (!may_be_silent || fields.find("content") != nullptr) read_content(fields, limits, message);
  if (!refusal) return;
  message.content.append(*refusal);
  if (!message.parts.empty()) message.parts.emplace_back(*refusal);
}

chat::ChatMessage read_message(const json::value& value, const JsonPath& path, const RequestLimits& limits, Refusal& refusal) {
  chat::ChatMessage message;
  const json::object* object = value.if_object();
  if (object == nullptr) {
    refuse_value(value, path, "an object with role and content", refusal);
    return message;
  }
  JsonFields fields(*object, &path, refusal);
  message.role = read_role(fields);
  read_neutral(fields, message_neutral_fields());
  read_text(fields, limits, message);
  message.members = read_members(*object, message.role, fields, limits);
  fields.judge_unknown();
  return message;
}

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
    bytes += chat::text_bytes(messages.back()) - messages.back().role.size();
    if (bytes > limits.prompt_bytes_max) refuse_length(path, bytes, limits.prompt_bytes_max, "bytes", fields.refusal());
  }
  return messages;
}

// A list of objects, as long as a prompt may be; None when it is absent.
jinja::Value read_objects(JsonFields& fields, std::string_view key, const RequestLimits& limits) {
  const json::array* list = fields.array(key);
  if (list == nullptr) return jinja::Value::none();
  const JsonPath path = fields.path_of(key);
  for (std::size_t i = 0; i < list->size(); ++i)
    if (!(*list)[i].is_object()) refuse_value((*list)[i], {&path, {}, i}, "an object", fields.refusal());
  std::vector<jinja::Value> items;
  for (std::size_t i = 0; i < list->size() && !fields.refusal().any(); ++i)
    if (auto item = template_value((*list)[i], {&path, {}, i}, fields.refusal())) items.push_back(std::move(*item));
  jinja::Value value = jinja::make_list(std::move(items));
  if (const std::size_t bytes = chat::text_bytes(value); bytes > limits.prompt_bytes_max)
    refuse_length(path, bytes, limits.prompt_bytes_max, "bytes", fields.refusal());
  return value;
}

chat::Members read_variables(JsonFields& fields, const RequestLimits& limits) {
  chat::Members variables;
  const json::object* given = fields.object("chat_template_kwargs");
  if (given == nullptr) return variables;
  const JsonPath path = fields.path_of("chat_template_kwargs");
  std::size_t bytes = 0;
  for (const auto& [key, value] : *given) {
    const std::string_view name(key.data(), key.size());
    if (std::ranges::find(kReservedVariables, name) != std::end(kReservedVariables))
      fields.refusal().add({&path, name}, "is refused: it is a field of the request, or the model's own");
    const std::string shown = shown_key(name);
    auto made = template_value(value, {&path, shown}, fields.refusal());
    if (fields.refusal().any()) return {};
    bytes += name.size() + chat::text_bytes(*made);
    variables.emplace_back(name, std::move(*made));
  }
  if (bytes > limits.prompt_bytes_max)
    refuse_length(path, bytes, limits.prompt_bytes_max, "bytes", fields.refusal());
  return variables;
}

}  // namespace

void read_conversation(JsonFields& fields, const RequestLimits& limits, chat::Conversation& conversation) {
  conversation.messages = read_messages(fields, limits);
  conversation.documents = read_objects(fields, "documents", limits);
  conversation.variables = read_variables(fields, limits);
  conversation.continue_final_message = fields.boolean("continue_final_message").value_or(false);
  const auto opens_turn = fields.boolean("add_generation_prompt");
  if (conversation.continue_final_message && opens_turn.value_or(false))
    fields.refuse("continue_final_message", "and add_generation_prompt must not both be true");
  conversation.add_generation_prompt = opens_turn.value_or(!conversation.continue_final_message);
}

void read_tools(JsonFields& fields, const RequestLimits& limits, chat::Conversation& conversation) {
  jinja::Value tools = read_objects(fields, "tools", limits);
  if (!tools.is_none() && !tools.sequence().items.empty()) conversation.tools = std::move(tools);
}

}  // namespace herd::openai
