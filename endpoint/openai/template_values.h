#pragma once
// JSON of a request -> what a chat template gets of it: the same lists, dicts (in the order they were written), numbers and
// texts. Every text and key is foreign: no control token can be spelled with it.

#include <optional>
#include <string_view>

#include "endpoint/jinja/value.h"
#include "endpoint/openai/json_fields.h"

namespace herd::openai {

// nullopt: refused at `path`, wherever inside it a number is that a template could not print as it was written (an integer
// beyond int64).
[[nodiscard]] std::optional<jinja::Value> template_value(const boost::json::value& value, const JsonPath& path, Refusal& refusal);

// A JSON text that holds an object, as that object; nullopt: it is none, or none that a template could print.
[[nodiscard]] std::optional<jinja::Value> template_object(std::string_view text);

}  // namespace herd::openai
