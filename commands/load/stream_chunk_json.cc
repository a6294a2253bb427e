#include "commands/load/stream_chunk_json.h"

#include <algorithm>
#include <array>
#include <limits>

#include <boost/json.hpp>

namespace herd::load {
namespace {

namespace json = boost::json;

json::parse_options bounded() {
  json::parse_options options;
  options.max_depth = 32;
  return options;
}

std::uint32_t count(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return 0;
  if (value->is_int64() && value->as_int64() > 0)
    return static_cast<std::uint32_t>(
        std::min<std::int64_t>(value->as_int64(), std::numeric_limits<std::uint32_t>::max()));
  return 0;
}

const json::object* member(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr ? nullptr : value->if_object();
}

// True when the key is there and says something: not null, not an empty array.
bool says(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && !value->is_null() && !(value->is_array() && value->get_array().empty());
}

void append_text(const json::object& object, std::string_view key, std::string& text) {
  const json::value* value = object.if_contains(key);
  if (value != nullptr && value->is_string()) text += value->get_string();
}

void read_choice(const json::object& choice, bool chat, StreamChunk& chunk) {
  chunk.has_choice = true;
  if (!chat) {
    chunk.has_token = true;
    append_text(choice, "text", chunk.text);
    return;
  }
  const json::object* delta = member(choice, "delta");
  if (delta == nullptr) return;
  for (const char* key : {"content", "reasoning_content", "reasoning"}) {
    if (says(*delta, key)) chunk.has_token = true;
    append_text(*delta, key, chunk.text);
  }
  if (delta->contains("role") && chunk.text.empty()) chunk.has_token = false;
  if (says(*delta, "tool_calls")) chunk.has_token = true;
}

std::string message_of(const json::value& error) {
  if (error.is_string()) return std::string(error.get_string());
  if (const json::object* object = error.if_object()) {
    std::string message;
    append_text(*object, "message", message);
    if (!message.empty()) return message;
  }
  return json::serialize(error).substr(0, 300);
}

}  // namespace

Expected<StreamChunk> parse_stream_chunk(std::string_view text, bool chat) {
  std::array<unsigned char, 4096> space;
  json::monotonic_resource memory(space.data(), space.size());
  json::error_code error;
  const json::value parsed = json::parse(text, error, &memory, bounded());
  const json::object* object = error ? nullptr : parsed.if_object();
  if (object == nullptr)
    return fail(bad_input("an event of the stream is not a JSON object: " + std::string(text.substr(0, 100))));
  StreamChunk chunk;
  if (says(*object, "error")) {
    chunk.error = message_of(object->at("error"));
    return chunk;
  }
  if (const json::value* choices = object->if_contains("choices"); choices != nullptr && choices->is_array()) {
    const json::array& list = choices->get_array();
    if (!list.empty() && list.front().is_object()) read_choice(list.front().get_object(), chat, chunk);
  }
  if (const json::object* usage = member(*object, "usage")) {
    chunk.has_usage = true;
    chunk.prompt_tokens = count(*usage, "prompt_tokens");
    chunk.completion_tokens = count(*usage, "completion_tokens");
    if (const json::object* details = member(*usage, "prompt_tokens_details"))
      chunk.cached_tokens = count(*details, "cached_tokens");
  }
  return chunk;
}

std::string error_message(std::string_view body) {
  json::error_code error;
  const json::value parsed = json::parse(body, error, {}, bounded());
  std::string message;
  if (const json::object* object = error ? nullptr : parsed.if_object()) {
    if (says(*object, "error")) message = message_of(object->at("error"));
    if (message.empty()) append_text(*object, "message", message);
  }
  if (message.empty()) message = body.substr(0, 300);
  return message.substr(0, 300);
}

Expected<std::string> first_model(std::string_view body) {
  json::error_code error;
  const json::value parsed = json::parse(body, error, {}, bounded());
  const json::object* object = error ? nullptr : parsed.if_object();
  const json::value* data = object == nullptr ? nullptr : object->if_contains("data");
  if (data == nullptr || !data->is_array()) return fail(bad_input("/v1/models did not answer with a list of models"));
  for (const json::value& model : data->get_array()) {
    const json::object* fields = model.if_object();
    std::string id;
    if (fields != nullptr) append_text(*fields, "id", id);
    if (!id.empty()) return id;
  }
  return fail(bad_input("/v1/models lists no model"));
}

std::vector<std::int32_t> tokenized_ids(std::string_view body) {
  json::error_code error;
  const json::value parsed = json::parse(body, error, {}, bounded());
  const json::object* object = error ? nullptr : parsed.if_object();
  const json::value* tokens = object == nullptr ? nullptr : object->if_contains("tokens");
  std::vector<std::int32_t> ids;
  if (tokens == nullptr || !tokens->is_array()) return ids;
  for (const json::value& token : tokens->get_array()) {
    if (!token.is_int64() || token.get_int64() < 0 || token.get_int64() > std::numeric_limits<std::int32_t>::max())
      return {};
    ids.push_back(static_cast<std::int32_t>(token.get_int64()));
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace herd::load
