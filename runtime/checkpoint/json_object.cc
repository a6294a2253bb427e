#include "runtime/checkpoint/json_object.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <sstream>
#include <utility>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "runtime/checkpoint/python_json.h"
#include "runtime/files/file_kind.h"
#include "runtime/json/json_tree.h"

namespace herd::model {
namespace {

namespace json = boost::json;

// Far above every file, low enough that walking and freeing a document stays on the stack.
constexpr std::size_t kDepthMax = 256;

// Puts numbers where strict_json() left strings for NaN and the infinities.
void restore_literals(json::value& value) {
  if (json::object* object = value.if_object()) {
    for (auto& member : *object) restore_literals(member.value());
  } else if (json::array* array = value.if_array()) {
    for (json::value& element : *array) restore_literals(element);
  } else if (const json::string* string = value.if_string()) {
    if (const auto number = literal_value({string->data(), string->size()})) value = *number;
  }
}

std::string number_text(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

json::string_view json_view(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

Expected<JsonObject> JsonObject::parse(std::string_view text, std::string_view file) {
  const std::string strict = strict_json(text);
  auto parsed = herd::json::JsonTree::parse(strict, {.depth_max = kDepthMax});
  if (!parsed) {
    return fail(bad_input(std::string(file) + ": not valid JSON near byte " +
                          std::to_string(std::min(parsed.error().byte, text.size())) + ": " + parsed.error().reason +
                          files::kind_remark(text)));
  }
  auto document = std::make_shared<herd::json::JsonTree>(std::move(*parsed));
  if (!document->root().is_object()) return fail(bad_input(std::string(file) + ": is not a JSON object"));
  if (strict.size() != text.size()) restore_literals(document->root());
  JsonObject result;
  result.object_ = std::shared_ptr<const json::object>(document, &document->root().get_object());
  result.status_ = std::make_shared<Status>();
  result.where_ = std::string(file) + ": ";
  return result;
}

const json::value* JsonObject::find(std::string_view key) const {
  if (!status_->ok()) return nullptr;
  const json::value* found = object_->if_contains(json_view(key));
  return found == nullptr || found->is_null() ? nullptr : found;
}

bool JsonObject::has(std::string_view key) const { return find(key) != nullptr; }

bool JsonObject::is_string(std::string_view key) const {
  const json::value* found = find(key);
  return found != nullptr && found->is_string();
}

Status JsonObject::problem(std::string_view key, const std::string& what) const {
  return bad_input(where_ + std::string(key) + ": " + what);
}

void JsonObject::refuse(std::string_view key, const std::string& what) const {
  if (status_->ok()) *status_ = problem(key, what);
}

std::string JsonObject::text_of(std::string_view key) const {
  const json::value* found = object_->if_contains(json_view(key));
  if (found == nullptr) return "nothing";
  if (const double* number = found->if_double(); number != nullptr && !std::isfinite(*number))
    return std::isnan(*number) ? "NaN" : *number > 0 ? "Infinity" : "-Infinity";
  std::string text = json::serialize(*found);
  if (text.size() <= 80) return text;
  std::size_t end = 77;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // a character stays whole
  return text.substr(0, end) + "...";
}

template <class Use>
void JsonObject::for_each(std::string_view key, Use use) const {
  const json::value* found = find(key);
  if (found == nullptr) return;
  if (!found->is_array()) return use(*found);
  for (const json::value& element : found->get_array()) {
    use(element);
    if (!status_->ok()) return;  // making the message costs the length of the list
  }
}

std::vector<std::int64_t> JsonObject::integers(std::string_view key, std::int64_t min, std::int64_t max) const {
  std::vector<std::int64_t> result;
  const auto add = [&](const json::value& value) {
    const bool fits = value.is_int64() && value.get_int64() >= min && value.get_int64() <= max;
    if (fits) {
      result.push_back(value.get_int64());
    } else {
      refuse(key, text_of(key) + " is not an integer in [" + std::to_string(min) + ", " + std::to_string(max) + "]");
    }
  };
  for_each(key, add);
  if (!status_->ok()) result.clear();
  return result;
}

std::optional<std::int64_t> JsonObject::integer(std::string_view key, std::int64_t min, std::int64_t max) const {
  const json::value* found = find(key);
  if (found != nullptr && found->is_array()) {
    refuse(key, text_of(key) + " is not an integer");
    return {};
  }
  const std::vector<std::int64_t> values = integers(key, min, max);
  if (values.empty()) return {};
  return values.front();
}

std::optional<double> JsonObject::number(std::string_view key, double min, double max) const {
  const json::value* found = find(key);
  if (found == nullptr) return {};
  double value = std::nan("");
  if (found->is_double()) value = found->get_double();
  if (found->is_int64()) value = static_cast<double>(found->get_int64());
  if (found->is_uint64()) value = static_cast<double>(found->get_uint64());
  if (!(value >= min && value <= max)) {
    refuse(key, text_of(key) + " is not a number in [" + number_text(min) + ", " + number_text(max) + "]");
    return {};
  }
  return value;
}

std::optional<bool> JsonObject::boolean(std::string_view key) const {
  const json::value* found = find(key);
  if (found == nullptr) return {};
  if (!found->is_bool()) {
    refuse(key, text_of(key) + " is not true or false");
    return {};
  }
  return found->get_bool();
}

std::vector<std::string> JsonObject::strings(std::string_view key) const {
  std::vector<std::string> result;
  const auto add = [&](const json::value& value) {
    if (value.is_string()) {
      result.emplace_back(value.get_string().data(), value.get_string().size());
    } else {
      refuse(key, text_of(key) + " is not text");
    }
  };
  for_each(key, add);
  if (!status_->ok()) result.clear();
  return result;
}

std::optional<std::string> JsonObject::string(std::string_view key) const {
  const json::value* found = find(key);
  if (found != nullptr && found->is_array()) {
    refuse(key, text_of(key) + " is not text");
    return {};
  }
  std::vector<std::string> values = strings(key);
  if (values.empty()) return {};
  return std::move(values.front());
}

std::vector<JsonObject> JsonObject::objects(std::string_view key) const {
  std::vector<JsonObject> result;
  const auto add = [&](const json::value& value) {
    if (!value.is_object()) {
      refuse(key, text_of(key) + " is not an object");
      return;
    }
    JsonObject& child = result.emplace_back(*this);
    child.object_ = std::shared_ptr<const json::object>(object_, &value.get_object());
    child.where_ = where_ + std::string(key) + ".";
  };
  for_each(key, add);
  if (!status_->ok()) result.clear();
  return result;
}

std::optional<JsonObject> JsonObject::object(std::string_view key) const {
  const json::value* found = find(key);
  if (found != nullptr && found->is_array()) {
    refuse(key, text_of(key) + " is not an object");
    return {};
  }
  std::vector<JsonObject> values = objects(key);
  if (values.empty()) return {};
  return values.front();
}

std::vector<std::string> JsonObject::keys() const {
  std::vector<std::string> result;
  result.reserve(object_->size());
  for (const auto& member : *object_) result.emplace_back(member.key().data(), member.key().size());
  return result;
}

}  // namespace herd::model
