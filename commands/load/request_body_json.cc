#include "commands/load/request_body_json.h"

#include <boost/json.hpp>

namespace herd::load {
namespace {

namespace json = boost::json;

template <class Number>
void put(json::object& object, const char* key, const std::optional<Number>& value) {
  if (value) object[key] = *value;
}

std::string quoted(const std::string& text) { return json::serialize(json::string(text)); }

}  // namespace

Expected<BodyWriter> BodyWriter::make(const BodyOptions& options) {
  json::object object;
  object["model"] = options.model;
  object["stream"] = true;
  object["stream_options"] = json::object{{"include_usage", true}};
  if (options.ignore_eos) object["ignore_eos"] = true;
  put(object, "temperature", options.temperature);
  put(object, "top_p", options.top_p);
  put(object, "top_k", options.top_k);
  put(object, "min_p", options.min_p);
  put(object, "frequency_penalty", options.frequency_penalty);
  put(object, "presence_penalty", options.presence_penalty);
  put(object, "repetition_penalty", options.repetition_penalty);
  if (!options.extra_body.empty()) {
    json::error_code error;
    const json::value extra = json::parse(options.extra_body, error);
    if (error || !extra.is_object())
      return fail(usage_error("--extra-body must be a JSON object such as '{\"min_p\": 0.1}'"));
    for (const json::key_value_pair& member : extra.get_object()) object[member.key()] = member.value();
  }
  BodyWriter writer;
  writer.chat_ = options.chat;
  writer.writes_prompt_ = !object.contains(options.chat ? "messages" : "prompt");
  writer.writes_max_tokens_ = !object.contains("max_tokens") && !object.contains("max_completion_tokens");
  writer.shared_ = json::serialize(object);
  writer.shared_.pop_back();
  return writer;
}

std::string BodyWriter::body(const PlannedRequest& request) const {
  std::string text = shared_;
  if (writes_prompt_ && chat_) {
    text += ",\"messages\":[{\"role\":\"user\",\"content\":" + quoted(request.text) + "}]";
  } else if (writes_prompt_ && !request.token_ids.empty()) {
    text += ",\"prompt\":[";
    for (const TokenId id : request.token_ids) text += std::to_string(id) + ",";
    text.back() = ']';
  } else if (writes_prompt_) {
    text += ",\"prompt\":" + quoted(request.text);
  }
  if (writes_max_tokens_) {
    text += chat_ ? ",\"max_completion_tokens\":" : ",\"max_tokens\":";
    text += std::to_string(request.output_tokens);
  }
  text += "}";
  return text;
}

std::string tokenize_body(const std::string& model, const std::string& prompt) {
  return json::serialize(json::object{{"model", model}, {"prompt", prompt}, {"add_special_tokens", false}});
}

}  // namespace herd::load
