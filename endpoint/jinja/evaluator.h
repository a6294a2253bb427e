#pragma once
// Walks the tree of a template once: one rendering. Names live in a chain of scopes, a new one for every turn of a
// loop, every call of a macro and every block that has its own; the outermost holds the variables.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "endpoint/jinja/evaluation.h"
#include "endpoint/jinja/functions.h"
#include "endpoint/jinja/syntax.h"

namespace herd::jinja {

class Evaluator {
 public:
  // All three outlive the evaluator.
  Evaluator(const Limits& limits, const std::optional<CivilTime>& now, const std::vector<std::pair<std::string, Value>>& variables);

  // What the body prints. Empty after an error: look at error().
  std::string run(const Body& body);
  [[nodiscard]] bool failed() const { return evaluation_.failed(); }
  [[nodiscard]] const std::string& error() const { return evaluation_.error(); }

 private:
  struct Scope {
    const Scope* outer = nullptr;
    std::vector<std::pair<std::string, Value>> names;
  };
  enum class Flow : std::uint8_t { kOn, kBreak, kContinue };
  class Depth;  // counts a level while it lives

  // evaluator.cc: statements
  Flow execute(const Body& body, Scope& scope, std::string& out);
  Flow execute(const Statement& statement, Scope& scope, std::string& out);
  Flow execute_for(const Statement& statement, Scope& scope, std::string& out);
  void execute_inner(const Statement& statement, Scope& scope, std::string& out);
  void assign(const Target& target, const Value& value, Scope& scope);
  void name_value(std::string_view name, Value value, Scope& scope);
  void unpack(const Target& target, const Value& value, Scope& scope);
  void print(std::string_view text, std::string& out);
  Value filtered(const Expression& filter, const Value& text, Scope& scope);
  Value call_macro(const Statement& macro, const Arguments& arguments);

  // evaluate_expression.cc
  Value evaluate(const Expression& expression, const Scope& scope);
  Value lookup(const std::string& name, const Scope& scope);
  Value evaluate_compare(const Expression& expression, const Scope& scope);
  Value evaluate_concatenation(const Expression& expression, const Scope& scope);
  Value evaluate_dict(const Expression& expression, const Scope& scope);
  Value evaluate_call(const Expression& expression, const Scope& scope);
  Value evaluate_part(const ExpressionPtr& part, const Scope& scope);  // none when there is none
  std::vector<Value> evaluate_all(const std::vector<ExpressionPtr>& expressions, std::size_t from, const Scope& scope);
  Arguments arguments_of(const Expression& expression, const Scope& scope);

  const Limits& limits_;
  const std::optional<CivilTime>& now_;
  Evaluation evaluation_;
  Scope variables_;
  Scope top_;  // what the template itself sets; macros see it, and no scope of their callers
  int depth_ = 0;
};

}  // namespace herd::jinja
