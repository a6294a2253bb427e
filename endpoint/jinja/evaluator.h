#pragma once
// Walks the tree of a template once: one rendering. Names live in a chain of scopes, a new one for every turn of a
// loop, every call of a macro and every block that has its own; the outermost holds the variables. A macro sees the
// names of where it stands, and none of its callers'.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "endpoint/jinja/evaluation.h"
#include "endpoint/jinja/functions.h"
#include "endpoint/jinja/loop_state.h"
#include "endpoint/jinja/scope.h"
#include "endpoint/jinja/syntax.h"

namespace herd::jinja {

class Evaluator {
 public:
  // All three outlive the evaluator.
  Evaluator(const Limits& limits, const std::optional<CivilTime>& now, const std::vector<std::pair<std::string, Value>>& variables);

  // What the body prints. Empty after an error: look at error().
  text::MarkedText run(const Body& body);
  [[nodiscard]] bool failed() const { return evaluation_.failed(); }
  [[nodiscard]] const std::string& error() const { return evaluation_.error(); }

 private:
  enum class Flow : std::uint8_t { kOn, kBreak, kContinue };
  class Depth;  // counts a level while it lives

  // evaluator.cc: statements
  Flow execute(const Body& body, Scope& scope, text::MarkedText& out);
  Flow execute(const Statement& statement, Scope& scope, text::MarkedText& out);
  // A turn for each of `values`. `depth0` calls of this loop are around it.
  void walk(const Statement& loop, const Value& values, const Scope& scope, int depth0, text::MarkedText& out);
  std::vector<Value> items_kept(const Statement& loop, const Value& values, const Scope& scope);
  void execute_inner(const Statement& statement, Scope& scope, text::MarkedText& out);
  void print(const TextPart& text, text::MarkedText& out);
  void print(const Value& value, text::MarkedText& out);
  Value filtered(const Expression& filter, const Value& text, Scope& scope);

  // call.cc: what happens when a template calls a value
  Value call(const Value& callee, const Arguments& arguments);
  Value call_macro(const MacroRef& called, const Arguments& arguments);
  bool bind_parameters(const Statement& macro, const Arguments& arguments, Scope& scope);
  Value call_loop(const LoopState& loop, const Arguments& arguments);

  // evaluate_expression.cc
  Value evaluate(const Expression& expression, const Scope& scope);
  Value evaluate_compare(const Expression& expression, const Scope& scope);
  Value evaluate_concatenation(const Expression& expression, const Scope& scope);
  Value evaluate_dict(const Expression& expression, const Scope& scope);
  Value evaluate_call(const Expression& expression, const Scope& scope, const MacroRef* caller = nullptr);
  Value evaluate_part(const ExpressionPtr& part, const Scope& scope);  // none when there is none
  std::vector<Value> evaluate_all(const std::vector<ExpressionPtr>& expressions, std::size_t from, const Scope& scope);
  Arguments arguments_of(const Expression& expression, const Scope& scope);
  void unpack_starred(const Expression& expression, const Scope& scope, Arguments& arguments);

  const Limits& limits_;
  const std::optional<CivilTime>& now_;
  Evaluation evaluation_;
  Scope variables_;
  Scope top_;  // what the template itself sets
  int depth_ = 0;
};

}  // namespace herd::jinja
