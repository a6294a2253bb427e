#pragma once
// What Python's str does, for methods and filters alike.

#include <string>
#include <string_view>
#include <vector>

#include "endpoint/jinja/evaluation.h"

namespace herd::jinja {

// Where `part` first is in `text`, not before `from`; npos. In linear time, unlike std::string_view::find.
[[nodiscard]] std::size_t find_text(std::string_view text, std::string_view part, std::size_t from = 0);
// The same for its last place.
[[nodiscard]] std::size_t find_last_text(std::string_view text, std::string_view part);
enum class Ends : std::uint8_t { kBoth, kLeft, kRight };
// `characters` none: white space.
[[nodiscard]] Value strip(Evaluation& evaluation, const TextPart& text, const Value& characters, Ends ends);
[[nodiscard]] Value replace(Evaluation& evaluation, const TextPart& text, std::string_view old, const TextPart& fresh,
                            std::int64_t count);
// Separator none: runs of white space. A negative `count` is no limit.
[[nodiscard]] Value split(Evaluation& evaluation, const TextPart& text, const Value& separator, std::int64_t count);
[[nodiscard]] Value split_right(Evaluation& evaluation, const TextPart& text, const Value& separator, std::int64_t count);
// str.splitlines()
[[nodiscard]] std::vector<std::string_view> lines_of(Evaluation& evaluation, std::string_view text);
// & < > " ' as HTML spells them: Markup. What is Markup already stays as it is.
[[nodiscard]] Value escape_html(Evaluation& evaluation, const Value& value);
[[nodiscard]] Value join(Evaluation& evaluation, const TextPart& separator, const std::vector<Value>& items, bool texts_only);

}  // namespace herd::jinja
