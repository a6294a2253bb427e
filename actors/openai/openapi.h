#pragma once
// The endpoint's OpenAPI description, as served at /openapi.json.

#include <string_view>

namespace herd::openai {

[[nodiscard]] std::string_view openapi_json();

}  // namespace herd::openai
