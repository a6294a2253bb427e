#pragma once
// The endpoint's description, OpenAPI 3.1: openapi.json of this folder, carried inside the program.

#include <string_view>

namespace herd::openai {

[[nodiscard]] std::string_view openapi_json();

}  // namespace herd::openai
