#include "endpoint/openai/template_values.h"

#include <string>
#include <utility>
#include <vector>

#include <boost/json/value.hpp>

#include "endpoint/jinja/template.h"
#include "endpoint/openai/json_document.h"
#include "runtime/json/json_tree.h"

namespace herd::openai {
namespace {

namespace json = boost::json;
using jinja::Value;

std::optional<Value> list_value(const json::array& list, const JsonPath& path, Refusal& refusal) {
  std::vector<Value> items;
  items.reserve(list.size());
  for (const json::value& element : list) {
    auto item = template_value(element, path, refusal);
    if (!item) return std::nullopt;
    items.push_back(std::move(*item));
  }
  return jinja::make_list(std::move(items));
}

std::optional<Value> dict_value(const json::object& object, const JsonPath& path, Refusal& refusal) {
  std::vector<std::pair<std::string, Value>> entries;
  entries.reserve(object.size());
  for (const auto& [key, member] : object) {
    auto value = template_value(member, path, refusal);
    if (!value) return std::nullopt;
    entries.emplace_back(std::string(key.data(), key.size()), std::move(*value));
  }
  return jinja::make_foreign_dict(std::move(entries));
}

}  // namespace

std::optional<Value> template_value(const json::value& value, const JsonPath& path, Refusal& refusal) {
  switch (value.kind()) {
    case json::kind::null: return Value::none();
    case json::kind::bool_: return Value::boolean(value.get_bool());
    case json::kind::int64: return Value::integer(value.get_int64());
    case json::kind::double_: return Value::real(value.get_double());
    case json::kind::string: return Value::foreign_text({value.get_string().data(), value.get_string().size()});
    case json::kind::array: return list_value(value.get_array(), path, refusal);
    case json::kind::object: return dict_value(value.get_object(), path, refusal);
    case json::kind::uint64: break;
  }
  refusal.add(path, "holds an integer beyond 64 bits, which no chat template here can print");
  return std::nullopt;
}

std::optional<Value> template_object(std::string_view text) {
  const auto tree = herd::json::JsonTree::parse(
      text, {.depth_max = kJsonDepthMax, .values_max = kJsonValuesMax, .members_max = kJsonMembersMax});
  if (!tree || !tree->root().is_object()) return std::nullopt;
  Refusal refusal;
  return template_value(tree->root(), {}, refusal);
}

}  // namespace herd::openai
