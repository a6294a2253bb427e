#pragma once
// Template: the Jinja that chat templates use, compiled once, rendered any number of times. Equal to Jinja2 as Hugging
// Face sets it up (ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop controls, its tojson) or an error
// that names what is not understood; never a guess. No clock, no I/O, bounded in steps, depth and bytes.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/status.h"
#include "endpoint/jinja/functions.h"
#include "endpoint/jinja/limits.h"
#include "endpoint/jinja/syntax.h"
#include "endpoint/jinja/value.h"

namespace herd::jinja {

using Variables = std::vector<std::pair<std::string, Value>>;

// Immutable; any number of threads may render at one time.
class Template {
 public:
  // kBadInput: "line 3: what".
  [[nodiscard]] static Expected<Template> compile(std::string_view source, const Limits& limits = {});

  // The text, and which of its bytes come from foreign texts among the variables (Value::foreign_text). `now` absent:
  // strftime_now is an error. kBadInput likewise; the text of raise_exception is in it.
  [[nodiscard]] Expected<text::MarkedText> render(const Variables& variables, const std::optional<CivilTime>& now = std::nullopt) const;
  [[nodiscard]] Expected<text::MarkedText> render(const Variables& variables, const std::optional<CivilTime>& now,
                                                  const Limits& limits) const;

  // Every name the template looks up, once each.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  Template(Body body, const Limits& limits);

  std::shared_ptr<const Body> body_;
  Limits limits_;
  std::vector<std::string> names_;
};

// A dict or list from plain data, for the variables of a rendering. Of a foreign dict the keys are foreign texts too:
// a template may print them, as it does the names of a tool's arguments.
[[nodiscard]] Value make_dict(std::vector<std::pair<std::string, Value>> entries);
[[nodiscard]] Value make_foreign_dict(std::vector<std::pair<std::string, Value>> entries);
[[nodiscard]] Value make_list(std::vector<Value> items);

}  // namespace herd::jinja
