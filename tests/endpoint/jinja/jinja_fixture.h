#pragma once
// Renders a template in one line: what it prints, or "ERROR " and the message. Strings of the golden tests come from
// Jinja2 (tests/e2e/chat_template_test.py holds the two against each other).

#include <string>
#include <string_view>

#include "endpoint/jinja/template.h"

namespace herd::jinja {

inline Variables sample_variables() {
  return {{"name", Value::text("Ada")},
          {"count", Value::integer(3)},
          {"empty", Value::text("")},
          {"nothing", Value::none()},
          {"items", make_list({Value::text("b"), Value::text("a"), Value::text("c")})},
          {"message", make_dict({{"role", Value::text("user")}, {"content", Value::text(" Hi ")}})}};
}

inline std::string render(std::string_view source, const Limits& limits = {}) {
  const auto compiled = Template::compile(source, limits);
  if (!compiled) return "ERROR " + compiled.error().message();
  const auto text = compiled->render(sample_variables());
  return text ? text->bytes : "ERROR " + text.error().message();
}

}  // namespace herd::jinja
