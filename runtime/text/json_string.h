#pragma once
// A JSON string as Python's json.dumps writes it, which is what chat templates are rendered with. What the endpoint
// sends escapes more, for readers that end lines at U+2028 (endpoint/openai/json_text.h).

#include <string>
#include <string_view>

namespace herd::text {

// `text` (valid UTF-8) with its quotes. `ensure_ascii`: characters beyond ASCII as \uXXXX, a pair above U+FFFF.
[[nodiscard]] std::string json_string(std::string_view text, bool ensure_ascii);

}  // namespace herd::text
