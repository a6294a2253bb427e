#include "endpoint/openai/json_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include <boost/json/value.hpp>

namespace herd::openai {
namespace {

namespace json = boost::json;

constexpr std::size_t kShownKeyBytesMax = 64;

json::string_view json_view(std::string_view text) { return {text.data(), text.size()}; }

std::string number_text(double number) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return {text.data(), end};
}

// For "…, not X": numbers as they are, other values by their kind. What users wrote stays out of messages.
std::string described(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return value.get_bool() ? "true" : "false";
    case json::kind::int64: return std::to_string(value.get_int64());
    case json::kind::uint64: return std::to_string(value.get_uint64());
    case json::kind::double_: return std::isfinite(value.get_double()) ? number_text(value.get_double()) : "that large";
    case json::kind::string: return value.get_string().empty() ? "an empty string" : "a string";
    case json::kind::array: return value.get_array().empty() ? "an empty array" : "an array";
    case json::kind::object: return "an object";
  }
  return "that";
}

// The integer a number stands for; nullopt: no number, or a fraction, or outside int64.
std::optional<std::int64_t> whole(const json::value& value) {
  if (const std::int64_t* number = value.if_int64()) return *number;
  const double* number = value.if_double();
  constexpr double kExactMax = 9007199254740992.0;  // 2^53: every whole double below is the integer that was written
  if (number == nullptr || !(std::fabs(*number) <= kExactMax) || std::trunc(*number) != *number) return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

}  // namespace

std::string JsonPath::text() const {
  std::string text = parent == nullptr ? std::string() : parent->text();
  if (key.empty()) return text + "[" + std::to_string(index) + "]";
  if (!text.empty()) text += '.';
  return text.append(key);
}

std::string JsonPath::field() const {
  std::string name = parent == nullptr ? std::string() : parent->field();
  if (key.empty()) name += "[]";
  else if (!name.empty()) name += '.';
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xc0U) == 0x80U) continue;  // the rest of a code point that has its '_'
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '.' || c == '-';
    name += plain ? c : '_';
    if (name.size() >= kFieldNameMax) break;
  }
  if (name.size() > kFieldNameMax) name.resize(kFieldNameMax);
  return name;
}

std::string shown_key(std::string_view key) {
  if (key.size() <= kShownKeyBytesMax) return std::string(key);
  std::size_t end = kShownKeyBytesMax;
  while (end > 0 && (static_cast<unsigned char>(key[end]) & 0xc0U) == 0x80U) --end;  // not inside a code point
  return std::string(key.substr(0, end)) + "…";
}

void Refusal::add(const JsonPath& path, const std::string& rest) {
  if (any()) return;
  std::string where = path.text();
  std::string message = where + " " + rest;
  first_ = bad_field(std::move(where), std::move(message));
}

void Refusal::add(ApiError error) {
  if (!any()) first_ = std::move(error);
}

void Refusal::add_unknown(const JsonPath& path) {
  if (strict_fields_) {
    const std::string key = shown_key(path.key);
    return add({path.parent, key, path.index}, "is not a field of this request");
  }
  if (any() || ignored_.size() >= kIgnoredFieldsMax) return;
  std::string name = path.field();
  if (std::ranges::find(ignored_, name) == ignored_.end()) ignored_.push_back(std::move(name));
}

void refuse_value(const json::value& value, const JsonPath& path, const std::string& expected, Refusal& refusal) {
  if (!refusal.any()) refusal.add(path, "must be " + expected + ", not " + described(value));
}

std::optional<std::int64_t> read_integer(const json::value& value, const JsonPath& path, std::int64_t min,
                                         std::int64_t max, Refusal& refusal) {
  if (refusal.any()) return std::nullopt;
  const auto number = whole(value);
  if (number && *number >= min && *number <= max) return number;
  refuse_value(value, path, "an integer in [" + std::to_string(min) + ", " + std::to_string(max) + "]", refusal);
  return std::nullopt;
}

std::optional<float> read_number(const json::value& value, const JsonPath& path, const NumberRange& range,
                                 Refusal& refusal) {
  if (refusal.any()) return std::nullopt;
  if (value.is_number()) {
    const double number = value.is_double() ? value.get_double() : value.to_number<double>();
    if (number >= range.low && number <= range.high) return static_cast<float>(number);
  }
  refuse_value(value, path, "a number in [" + number_text(range.low) + ", " + number_text(range.high) + "]", refusal);
  return std::nullopt;
}

std::optional<std::string_view> read_string(const json::value& value, const JsonPath& path, Refusal& refusal) {
  if (refusal.any()) return std::nullopt;
  if (const json::string* text = value.if_string()) return std::string_view(text->data(), text->size());
  refuse_value(value, path, "a string", refusal);
  return std::nullopt;
}

JsonFields::JsonFields(const json::object& object, const JsonPath* path, Refusal& refusal)
    : object_(object), path_(path), refusal_(refusal), known_(object.size()) {}

const json::value* JsonFields::find(std::string_view key) {
  const auto found = object_.find(json_view(key));
  if (found == object_.end()) return nullptr;
  known_[static_cast<std::size_t>(found - object_.begin())] = true;
  return found->value().is_null() || refusal_.any() ? nullptr : &found->value();
}

std::optional<bool> JsonFields::boolean(std::string_view key) {
  const json::value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const bool* truth = value->if_bool()) return *truth;
  refuse_value(*value, path_of(key), "true or false", refusal_);
  return std::nullopt;
}

std::optional<std::int64_t> JsonFields::integer(std::string_view key, std::int64_t min, std::int64_t max) {
  const json::value* value = find(key);
  return value == nullptr ? std::nullopt : read_integer(*value, path_of(key), min, max, refusal_);
}

std::optional<float> JsonFields::number(std::string_view key, const NumberRange& range) {
  const json::value* value = find(key);
  return value == nullptr ? std::nullopt : read_number(*value, path_of(key), range, refusal_);
}

std::optional<std::string_view> JsonFields::string(std::string_view key) {
  const json::value* value = find(key);
  return value == nullptr ? std::nullopt : read_string(*value, path_of(key), refusal_);
}

std::optional<std::string_view> JsonFields::name(std::string_view key) {
  const auto text = string(key);
  if (text && text->find('\0') != std::string_view::npos) refuse(key, "must not contain NUL");
  return text;
}

const json::array* JsonFields::array(std::string_view key) {
  const json::value* value = find(key);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) refuse_value(*value, path_of(key), "an array", refusal_);
  return value->if_array();
}

const json::object* JsonFields::object(std::string_view key) {
  const json::value* value = find(key);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) refuse_value(*value, path_of(key), "an object", refusal_);
  return value->if_object();
}

void JsonFields::judge_unknown() {
  for (std::size_t i = 0; i < known_.size() && !refusal_.any(); ++i) {
    const auto member = object_.begin() + i;
    if (known_[i] || member->value().is_null()) continue;
    const std::string_view key(member->key().data(), member->key().size());
    refusal_.add_unknown(path_of(key.empty() ? "\"\"" : key));
  }
}

}  // namespace herd::openai
