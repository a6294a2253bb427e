#include "runtime/tokenizer/json_fields.h"

#include <boost/json.hpp>

#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/tokenizer/tokenizer_definition.h"

namespace herd::tokenizer {
namespace {

namespace json = boost::json;

struct Component {
  const json::object* object = nullptr;
  std::string where;
};

Status flatten(const json::value& value, std::string_view list, const std::string& where, std::vector<Component>& components) {
  const json::object* object = value.if_object();
  if (object == nullptr) return bad_input(where + ": not an object");
  if (json_type(*object) != "Sequence") {
    if (components.size() >= kStagesMax) return bad_input(where + ": too many stages");
    components.push_back({object, where});
    return {};
  }
  const json::value* items = json_member(*object, list);
  const std::string path = where + "." + std::string(list);
  if (items == nullptr || !items->is_array()) return bad_input(path + ": missing");
  for (std::size_t i = 0; i < items->get_array().size(); ++i) {
    if (Status status = flatten(items->get_array()[i], list, path + "[" + std::to_string(i) + "]", components); !status.ok()) {
      return status;
    }
  }
  return {};
}

}  // namespace

const json::value* json_member(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains({key.data(), key.size()});
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::optional<std::string_view> json_text(const json::object& object, std::string_view key) {
  const json::value* found = json_member(object, key);
  if (found == nullptr || !found->is_string()) return std::nullopt;
  return std::string_view(found->get_string().data(), found->get_string().size());
}

std::string_view json_type(const json::object& object) { return json_text(object, "type").value_or(std::string_view()); }

std::optional<TokenId> json_token_id(const json::value& value) {
  boost::system::error_code error;
  const auto number = value.to_number<std::int64_t>(error);
  if (error || number < 0 || number >= static_cast<std::int64_t>(kVocabularySizeMax)) return std::nullopt;
  return static_cast<TokenId>(number);
}

Status read_json_flag(const json::object& object, std::string_view key, const std::string& where, bool& value) {
  if (const json::value* found = json_member(object, key)) {
    if (!found->is_bool()) return bad_input(where + "." + std::string(key) + ": not true or false");
    value = found->get_bool();
  }
  return {};
}

Expected<JsonPattern> read_json_pattern(const json::object& object, const std::string& where) {
  const json::value* pattern = json_member(object, "pattern");
  if (pattern != nullptr && pattern->is_object()) {
    if (const auto text = json_text(pattern->get_object(), "Regex")) return JsonPattern{std::string(*text), true};
    if (const auto text = json_text(pattern->get_object(), "String")) {
      if (text->size() <= kPatternTextBytesMax) return JsonPattern{std::string(*text), false};
      return fail(bad_input(where + ".pattern.String: longer than " + std::to_string(kPatternTextBytesMax) + " bytes"));
    }
  }
  return fail(bad_input(where + ".pattern: neither a Regex nor a String"));
}

Status for_each_component(const json::value& value, std::string_view list, const std::string& where, const UseComponent& use) {
  std::vector<Component> components;
  if (Status status = flatten(value, list, where, components); !status.ok()) return status;
  for (std::size_t i = 0; i < components.size(); ++i) {
    const bool last = i + 1 == components.size();
    if (Status status = use(*components[i].object, components[i].where, last); !status.ok()) return status;
  }
  return {};
}

}  // namespace herd::tokenizer
