#pragma once
// JsonFields: the members of one JSON object of a request, read one by one with their types and ranges. null counts as
// absent. The first wrong member stays in the Refusal; the accessors then give nothing, so a reader runs through all
// fields and looks once. Whatever nobody asked for is unknown: judge_unknown().

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "endpoint/openai/api_error.h"

namespace boost::json {
class array;
class object;
class value;
}  // namespace boost::json

namespace herd::openai {

// A place in the body; becomes text only for a refusal: "messages[2].content[0].text". Lives on the stack, below its
// parent.
struct JsonPath {
  const JsonPath* parent = nullptr;
  std::string_view key;   // a member's; empty for an element
  std::size_t index = 0;  // an element's
  [[nodiscard]] std::string text() const;
  // The field without places and without what headers and logs must not hold: "messages[].content[].x". At most
  // kFieldNameMax characters of [A-Za-z0-9_.-] and "[]"; '_' stands for every other one.
  [[nodiscard]] std::string field() const;
};
inline constexpr std::size_t kFieldNameMax = 64;

// A key of the client's own for a message: at most 64 bytes of it.
[[nodiscard]] std::string shown_key(std::string_view key);

// The first wrong member of a body, and the members without effect: those that nobody knows.
class Refusal {
 public:
  // `strict_fields`: an unknown member is wrong.
  explicit Refusal(bool strict_fields = false) : strict_fields_(strict_fields) {}

  void add(const JsonPath& path, const std::string& rest);  // 400: "PATH REST"
  void add(ApiError error);
  void add_unknown(const JsonPath& path);
  [[nodiscard]] bool any() const { return first_.has_value(); }
  [[nodiscard]] ApiError take() { return std::move(*first_); }
  // JsonPath::field() of unknown members, each once; kIgnoredFieldsMax at most.
  [[nodiscard]] std::vector<std::string> take_ignored() { return std::move(ignored_); }

 private:
  bool strict_fields_;
  std::optional<ApiError> first_;
  std::vector<std::string> ignored_;
};
inline constexpr std::size_t kIgnoredFieldsMax = 16;

struct NumberRange {  // [low, high]
  double low = 0.0;
  double high = 0.0;
};

// One value. Integers may be written 5 or 5.0; true is no number. nullopt: refused.
[[nodiscard]] std::optional<std::int64_t> read_integer(const boost::json::value& value, const JsonPath& path,
                                                       std::int64_t min, std::int64_t max, Refusal& refusal);
[[nodiscard]] std::optional<float> read_number(const boost::json::value& value, const JsonPath& path,
                                               const NumberRange& range, Refusal& refusal);
// The view lives as long as the document.
[[nodiscard]] std::optional<std::string_view> read_string(const boost::json::value& value, const JsonPath& path,
                                                          Refusal& refusal);
// Refuses: "PATH must be EXPECTED, not …".
void refuse_value(const boost::json::value& value, const JsonPath& path, const std::string& expected, Refusal& refusal);

class JsonFields {
 public:
  // `path`: of the object itself; null for the body. All three outlive the reader.
  JsonFields(const boost::json::object& object, const JsonPath* path, Refusal& refusal);

  // Each accessor makes its field known. find() gives null for an absent or null member.
  [[nodiscard]] const boost::json::value* find(std::string_view key);
  [[nodiscard]] std::optional<bool> boolean(std::string_view key);
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key, std::int64_t min, std::int64_t max);
  [[nodiscard]] std::optional<float> number(std::string_view key, const NumberRange& range);
  [[nodiscard]] std::optional<std::string_view> string(std::string_view key);
  [[nodiscard]] std::optional<std::string_view> name(std::string_view key);  // a string without NUL
  [[nodiscard]] const boost::json::array* array(std::string_view key);
  [[nodiscard]] const boost::json::object* object(std::string_view key);

  [[nodiscard]] JsonPath path_of(std::string_view key) const { return {path_, key}; }
  [[nodiscard]] Refusal& refusal() { return refusal_; }
  void refuse(std::string_view key, const std::string& rest) { refusal_.add(path_of(key), rest); }
  // Members that are not null and that no accessor was asked for.
  void judge_unknown();

 private:
  const boost::json::object& object_;
  const JsonPath* path_;
  Refusal& refusal_;
  std::vector<bool> known_;  // parallel to the object's members
};

}  // namespace herd::openai
