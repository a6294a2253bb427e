// Renders templates for tests/e2e/chat_template_test.py. Not installed, not for people.
// stdin: a JSON document a line: {"template": text, "variables": {…}, "now": [year, month, day, hour, minute, second,
// weekday from Sunday, day of the year] or null}. Every text in the variables is foreign, but for those whose names are
// in "own". stdout: a line each, {"text": …, "foreign": [[begin, end], …] in bytes} or {"error": …}.
#include "endpoint/jinja/template.h"

#include <boost/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>

namespace herd::jinja {
namespace {

namespace json = boost::json;

Value value_of(const json::value& value) {
  if (value.is_null()) return Value::none();
  if (value.is_bool()) return Value::boolean(value.get_bool());
  if (value.is_int64()) return Value::integer(value.get_int64());
  if (value.is_double()) return Value::real(value.get_double());
  if (value.is_string()) return Value::foreign_text(std::string(value.get_string()));
  if (value.is_array()) {
    std::vector<Value> items;
    for (const json::value& item : value.get_array()) items.push_back(value_of(item));
    return make_list(std::move(items));
  }
  std::vector<std::pair<std::string, Value>> entries;
  for (const auto& [name, entry] : value.get_object()) entries.emplace_back(std::string(name), value_of(entry));
  return make_foreign_dict(std::move(entries));
}

bool is_own(const json::object& request, std::string_view name) {
  const json::value* own = request.if_contains("own");
  return own != nullptr && std::ranges::find(own->as_array(), json::value(json::string(name))) != own->as_array().end();
}

json::object answer(const std::string& line) {
  const json::value document = json::parse(line);
  const json::object& request = document.as_object();
  const auto compiled = Template::compile(json::value_to<std::string>(request.at("template")));
  if (!compiled) return {{"error", "syntax: " + compiled.error().message()}};
  Variables variables;
  for (const auto& [name, value] : request.at("variables").as_object()) {
    const bool own = value.is_string() && is_own(request, name);
    variables.emplace_back(std::string(name), own ? Value::text(std::string(value.get_string())) : value_of(value));
  }
  std::optional<CivilTime> now;
  if (request.at("now").is_array()) {
    const auto parts = json::value_to<std::vector<int>>(request.at("now"));
    now = CivilTime{parts.at(0), parts.at(1), parts.at(2), parts.at(3), parts.at(4), parts.at(5), parts.at(6), parts.at(7)};
  }
  const auto text = compiled->render(variables, now);
  if (!text) return {{"error", text.error().message()}};
  json::array foreign;
  for (const text::ByteRange& range : text->foreign) foreign.push_back(json::array{range.begin, range.end});
  return {{"text", text->bytes}, {"foreign", std::move(foreign)}};
}

}  // namespace
}  // namespace herd::jinja

int main() {
  for (std::string line; std::getline(std::cin, line);) std::printf("%s\n", boost::json::serialize(herd::jinja::answer(line)).c_str());
  return 0;
}
