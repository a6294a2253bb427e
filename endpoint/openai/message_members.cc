#include "endpoint/openai/message_members.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <boost/json/value.hpp>

#include "endpoint/chat/template_messages.h"
#include "endpoint/jinja/template.h"
#include "endpoint/openai/generation_fields.h"
#include "endpoint/openai/template_values.h"

namespace herd::openai {
namespace {

namespace json = boost::json;
using jinja::Value;

constexpr const char* kOfAssistants = "is only allowed in an assistant's message";

Value foreign(std::string_view text) { return Value::foreign_text(std::string(text)); }

// An object, or the text of one; absent or empty: {}.
Value read_arguments(JsonFields& function) {
  const json::value* given = function.find("arguments");
  if (given == nullptr) return jinja::make_dict({});
  const JsonPath path = function.path_of("arguments");
  if (given->is_object()) return template_value(*given, path, function.refusal()).value_or(Value::none());
  const json::string* text = given->if_string();
  if (text == nullptr) {
    refuse_value(*given, path, "the text of a JSON object, or an object", function.refusal());
    return {};
  }
  const std::string_view written(text->data(), text->size());
  if (written.empty()) return jinja::make_dict({});
  return template_object(written).value_or(foreign(written));
}

Value read_function(const json::value& value, const JsonPath& path, Refusal& refusal) {
  const json::object* object = value.if_object();
  if (object == nullptr) {
    refuse_value(value, path, "an object with name and arguments", refusal);
    return {};
  }
  JsonFields fields(*object, &path, refusal);
  const auto name = fields.name("name");
  if (!name) fields.refuse("name", "is missing");
  Value arguments = read_arguments(fields);
  fields.judge_unknown();
  if (refusal.any()) return {};
  const bool arguments_first = object->begin()->key() == "arguments";
  chat::Members members = {{"name", foreign(*name)}, {"arguments", std::move(arguments)}};
  if (arguments_first) std::swap(members[0], members[1]);
  return jinja::make_dict(std::move(members));
}

// {"id", "type": "function", "function": {…}}
Value read_call(const json::value& value, const JsonPath& path, Refusal& refusal) {
  const json::object* object = value.if_object();
  if (object == nullptr) {
    refuse_value(value, path, "an object with id, type and function", refusal);
    return {};
  }
  JsonFields fields(*object, &path, refusal);
  if (fields.string("type").value_or("function") != "function") fields.refuse("type", "must be \"function\"");
  std::ignore = fields.name("id");
  const json::value* function = fields.find("function");
  if (function == nullptr) fields.refuse("function", "is missing");
  chat::Members members;
  for (const auto& [key, member] : *object) {
    if (refusal.any()) return {};
    const std::string_view name(key.data(), key.size());
    if (name == "function") members.emplace_back(name, read_function(member, fields.path_of("function"), refusal));
    else if (name == "type" && member.is_string()) members.emplace_back(name, Value::text("function"));
    else if (name == "id" && member.is_string()) members.emplace_back(name, foreign(*fields.name("id")));
  }
  fields.judge_unknown();
  return jinja::make_dict(std::move(members));
}

void read_calls(JsonFields& fields, std::string_view role, const RequestLimits& limits, chat::Members& members) {
  const json::array* calls = fields.array("tool_calls");
  if (calls == nullptr || calls->empty()) return;
  if (role != "assistant") return fields.refuse("tool_calls", kOfAssistants);
  if (calls->size() > limits.tool_calls_max)
    return fields.refuse("tool_calls", "must hold at most " + std::to_string(limits.tool_calls_max) + " calls, not " +
                                           std::to_string(calls->size()));
  const JsonPath path = fields.path_of("tool_calls");
  std::vector<Value> values;
  std::size_t bytes = 0;  // a short text of arguments can hold many values
  for (std::size_t i = 0; i < calls->size() && !fields.refusal().any(); ++i) {
    values.push_back(read_call((*calls)[i], {&path, {}, i}, fields.refusal()));
    bytes += chat::text_bytes(values.back());
    if (bytes > limits.prompt_bytes_max) refuse_length(path, bytes, limits.prompt_bytes_max, "bytes", fields.refusal());
  }
  members.emplace_back("tool_calls", jinja::make_list(std::move(values)));
}

}  // namespace

chat::Members read_members(const json::object& message, std::string_view role, JsonFields& fields, const RequestLimits& limits) {
  chat::Members members;
  for (const auto& [key, member] : message) {
    const std::string_view name(key.data(), key.size());
    if (name == "tool_calls") read_calls(fields, role, limits, members);
    const bool reasoning = std::ranges::count(chat::reasoning_names(), name) > 0;
    if (!reasoning && name != "name" && name != "tool_call_id") continue;
    const auto text = reasoning ? fields.string(name) : fields.name(name);
    if (!text) continue;
    if (reasoning && role != "assistant") {
      if (!text->empty()) fields.refuse(name, kOfAssistants);
      continue;
    }
    members.emplace_back(name, foreign(*text));
  }
  return members;
}

}  // namespace herd::openai
