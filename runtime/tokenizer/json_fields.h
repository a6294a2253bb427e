#pragma once
// Reads fields of a tokenizer.json. Messages begin with `where`, the path of the field in the file.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/status.h"
#include "runtime/ids.h"

namespace boost::json {
class object;
class value;
}  // namespace boost::json

namespace herd::tokenizer {

inline constexpr std::size_t kStagesMax = 16;  // steps of one kind in one file
inline constexpr std::size_t kPatternTextBytesMax = 1024;  // of a "String" pattern: bounds the work at one place of the text

// nullptr: absent or null, which mean the same in these files.
[[nodiscard]] const boost::json::value* json_member(const boost::json::object& object, std::string_view key);
// Of the member `type`; empty: none.
[[nodiscard]] std::string_view json_type(const boost::json::object& object);
// Nothing: absent or not a text.
[[nodiscard]] std::optional<std::string_view> json_text(const boost::json::object& object, std::string_view key);
[[nodiscard]] std::optional<TokenId> json_token_id(const boost::json::value& value);
// Leaves `value` as it is where the member is absent.
[[nodiscard]] Status read_json_flag(const boost::json::object& object, std::string_view key, const std::string& where, bool& value);

// {"String": text} or {"Regex": text}. kBadInput: neither, or a String longer than kPatternTextBytesMax.
struct JsonPattern {
  std::string text;
  bool is_regex = false;
};
[[nodiscard]] Expected<JsonPattern> read_json_pattern(const boost::json::object& object, const std::string& where);

// A component of the file, or the components of a "Sequence" of them, nested ones too, in order; `list` is the member that
// holds them.
using UseComponent = std::function<Status(const boost::json::object& component, const std::string& where, bool last)>;
[[nodiscard]] Status for_each_component(const boost::json::value& value, std::string_view list, const std::string& where,
                                        const UseComponent& use);

}  // namespace herd::tokenizer
