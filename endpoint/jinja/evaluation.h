#pragma once
// What one rendering has used up, and its first error. Filters, tests, methods and operators make their values here,
// so that no text or list exists that was not counted. After the first error everything is undefined and nothing is
// computed any more; whoever called looks once, at the end.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "endpoint/jinja/limits.h"
#include "endpoint/jinja/text_part.h"
#include "endpoint/jinja/value.h"

namespace herd::jinja {

class Evaluation {
 public:
  explicit Evaluation(const Limits& limits) : limits_(limits) {}

  [[nodiscard]] bool failed() const { return !error_.empty(); }
  [[nodiscard]] const std::string& error() const { return error_; }
  void at_line(int line) { line_ = line; }

  // Keeps the first error, with its line.
  Value refuse(const std::string& what);

  // False when there was an error or the steps are used up.
  bool spend(std::uint64_t steps = 1);
  bool spend_bytes(std::size_t bytes) { return spend(bytes / 32 + 1); }
  // The same for memory: asked before something of this size is made.
  bool claim(std::size_t bytes);

  Value text(std::string value);  // the template's, or herd's
  Value text(text::MarkedText value);
  Value text(const TextPart& part);
  // The same text, or list of texts, as Markup or as str.
  Value as_markup(const Value& value, bool is_markup);
  Value sequence(SequenceKind kind, std::vector<Value> items);
  Value dict(std::vector<std::pair<Value, Value>> entries);  // each key is_key()

  // The elements, as Python's iter() gives them: characters of a text, keys of a dict. An error when there are none.
  [[nodiscard]] std::vector<Value> items_of(const Value& value);

 private:
  const Limits& limits_;
  std::uint64_t steps_ = 0;
  std::size_t bytes_ = 0;
  int line_ = 0;
  std::string error_;
};

// Arguments of a filter, test, method or function.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
  bool foreign_names = false;  // some of them are keys of a foreign dict: f(**message)

  [[nodiscard]] Value name_of(std::size_t index) const;  // of a named one, as a text

  // The arguments by parameter, absent where not given. An error when there are too many or unknown ones, or fewer
  // than `required`.
  [[nodiscard]] std::vector<std::optional<Value>> bind(Evaluation& evaluation, std::string_view callee,
                                                       std::initializer_list<std::string_view> parameters,
                                                       std::size_t required = 0) const;
};

}  // namespace herd::jinja
