#pragma once
// JsonDocument: the body of a request as one JSON object, read strictly: UTF-8 without lone surrogates, no comments, no
// trailing commas, no key twice in an object, nesting and number of values bounded (runtime/json/json_tree.h).

#include <cstddef>
#include <string_view>

#include "endpoint/openai/api_error.h"
#include "runtime/json/json_tree.h"

namespace boost::json {
class object;
}

namespace herd::openai {

inline constexpr std::size_t kJsonDepthMax = 32;        // nested arrays and objects
inline constexpr std::size_t kJsonValuesMax = 200'000;  // of every kind, containers included
// Of one object; logit_bias has at most 1,024. With every key in one bucket of the library's table, a body of 200,000 values takes
// 200,000 * 4,096 / 2 comparisons of keys at most, which is about a second; without the bound it would be 50 times as many.
inline constexpr std::size_t kJsonMembersMax = 4096;

// Resource: owns the values that root() hands out.
class JsonDocument {
 public:
  // 400 naming the byte, and the top-level field being read, where the text breaks a rule.
  [[nodiscard]] static ApiExpected<JsonDocument> parse(std::string_view text);

  [[nodiscard]] const boost::json::object& root() const;

 private:
  explicit JsonDocument(herd::json::JsonTree tree) : tree_(std::move(tree)) {}
  herd::json::JsonTree tree_;
};

}  // namespace herd::openai
