#pragma once
// JsonTree: a JSON text (RFC 8259, UTF-8) as a tree of values; no comments, no trailing commas, nesting and number of
// values bounded. A number with a point or an exponent is the nearest double. The JSON library stays behind the .cc files.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

namespace boost::json {
class value;
}

namespace herd::json {

struct JsonRules {
  std::size_t depth_max = 32;           // nested arrays and objects
  std::size_t values_max = ~std::size_t{0};  // of every kind, containers included
  // Of one object. The library's table of members takes a time that is quadratic in them where somebody has chosen the keys for it:
  // whoever reads texts of strangers sets this.
  std::size_t members_max = ~std::size_t{0};
  bool unique_keys = false;             // an object that holds a key twice is refused; else the last one counts
};

struct JsonProblem {
  enum class Kind { kNotJson, kTooDeep, kTooManyValues, kTooManyMembers, kKeyTwice };
  Kind kind = Kind::kNotJson;
  std::size_t byte = 0;  // near which the text breaks the rule; kKeyTwice: 0
  std::string reason;    // the parser's words
  std::string field;     // member of the outermost object that was being read; kKeyTwice: the key
};

// Resource: owns the values that root() hands out.
class JsonTree {
 public:
  [[nodiscard]] static tl::expected<JsonTree, JsonProblem> parse(std::string_view text, const JsonRules& rules);
  JsonTree(JsonTree&&) noexcept;
  JsonTree& operator=(JsonTree&&) noexcept;
  ~JsonTree();

  [[nodiscard]] boost::json::value& root() { return *root_; }
  [[nodiscard]] const boost::json::value& root() const { return *root_; }

 private:
  struct Memory;
  JsonTree(std::unique_ptr<Memory> memory, boost::json::value& root);
  std::unique_ptr<Memory> memory_;
  boost::json::value* root_;
};

}  // namespace herd::json
