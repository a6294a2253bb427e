#include "endpoint/jinja/evaluator.h"

#include <algorithm>

#include "endpoint/jinja/evaluator_depth.h"
#include "endpoint/jinja/filters.h"
#include "endpoint/jinja/operators.h"
#include "endpoint/jinja/value_text.h"

namespace herd::jinja {

Evaluator::Evaluator(const Limits& limits, const std::optional<CivilTime>& now,
                     const std::vector<std::pair<std::string, Value>>& variables)
    : limits_(limits), now_(now), evaluation_(limits), variables_{nullptr, variables}, top_{&variables_, {}} {}

text::MarkedText Evaluator::run(const Body& body) {
  text::MarkedText out;
  execute(body, top_, out);
  return failed() ? text::MarkedText() : out;
}

void Evaluator::print(const TextPart& text, text::MarkedText& out) {
  if (!evaluation_.spend_bytes(text.size()) || !evaluation_.claim(text.mark_count() * sizeof(text::ByteRange))) return;
  if (out.bytes.size() + text.size() > limits_.output_bytes_max) {
    evaluation_.refuse("the template prints more than " + std::to_string(limits_.output_bytes_max) + " bytes");
    return;
  }
  append(out, text);
}

void Evaluator::print(const Value& value, text::MarkedText& out) {
  text::MarkedText made;
  print(str(evaluation_, value, made), out);
}

Evaluator::Flow Evaluator::execute(const Body& body, Scope& scope, text::MarkedText& out) {
  for (const auto& statement : body) {
    if (failed()) break;
    if (const Flow flow = execute(*statement, scope, out); flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Evaluator::Flow Evaluator::execute(const Statement& statement, Scope& scope, text::MarkedText& out) {
  const Depth depth(*this);
  evaluation_.at_line(statement.line);
  if (!evaluation_.spend()) return Flow::kOn;
  switch (statement.kind) {
    case Statement::Kind::kText: print(TextPart::own(statement.text), out); return Flow::kOn;
    case Statement::Kind::kOutput:
      for (const ExpressionPtr& expression : statement.expressions) print(evaluate(*expression, scope), out);
      return Flow::kOn;
    case Statement::Kind::kIf:
      for (const auto& [condition, body] : statement.branches) {
        const bool taken = condition == nullptr || truth(evaluate(*condition, scope));
        if (failed()) return Flow::kOn;
        if (taken) return execute(body, scope, out);
      }
      return Flow::kOn;
    case Statement::Kind::kFor: walk(statement, evaluate(*statement.expressions[0], scope), scope, 0, out); return Flow::kOn;
    case Statement::Kind::kSet: assign(evaluation_, statement.target, evaluate(*statement.expressions[0], scope), scope); return Flow::kOn;
    case Statement::Kind::kMacro: name_value(evaluation_, statement.text, Value::of(MacroRef{&statement, &scope}), scope); return Flow::kOn;
    case Statement::Kind::kCall: {
      const MacroRef caller{static_cast<const Statement*>(statement.body[0].get()), &scope};
      print(evaluate_call(*statement.expressions[0], scope, &caller), out);
      return Flow::kOn;
    }
    case Statement::Kind::kBreak: return Flow::kBreak;
    case Statement::Kind::kContinue: return Flow::kContinue;
    case Statement::Kind::kWith: {
      Scope inner{&scope, {}};
      for (std::size_t i = 0; i < statement.with_names.size(); ++i)
        name_value(evaluation_, statement.with_names[i], evaluate(*statement.expressions[i], scope), inner);
      return execute(statement.body, inner, out);
    }
    case Statement::Kind::kSetBlock:
    case Statement::Kind::kFilterBlock:
    case Statement::Kind::kGeneration: execute_inner(statement, scope, out); return Flow::kOn;
  }
  return Flow::kOn;
}

// Blocks whose text goes somewhere, and whose names stay inside.
void Evaluator::execute_inner(const Statement& statement, Scope& scope, text::MarkedText& out) {
  Scope inner{&scope, {}};
  if (statement.kind == Statement::Kind::kGeneration) {
    execute(statement.body, inner, out);
    return;
  }
  text::MarkedText text;
  execute(statement.body, inner, text);
  const Value made = filtered(*statement.expressions[0], evaluation_.text(std::move(text)), scope);
  if (statement.kind == Statement::Kind::kSetBlock) {
    assign(evaluation_, statement.target, made, scope);
  } else {
    print(made, out);
  }
}

Value Evaluator::filtered(const Expression& filter, const Value& text, Scope& scope) {
  const Expression* innermost = &filter;
  std::vector<const Expression*> filters;
  for (; innermost->kind == Expression::Kind::kFilter; innermost = innermost->operands[0].get()) filters.push_back(innermost);
  if (innermost->kind != Expression::Kind::kConstant) return evaluation_.refuse("a block takes filters only");
  Value value = text;
  for (auto each = filters.rbegin(); each != filters.rend(); ++each)  // the innermost is applied first
    value = apply_filter(evaluation_, (*each)->name, value, arguments_of(**each, scope));
  return value;
}

std::vector<Value> Evaluator::items_kept(const Statement& loop, const Value& values, const Scope& scope) {
  std::vector<Value> items = evaluation_.items_of(values);
  if (loop.expressions[1] == nullptr) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    Scope inner{&scope, {}};
    assign(evaluation_, loop.target, item, inner);
    const bool holds = truth(evaluate(*loop.expressions[1], inner));
    if (failed()) break;
    if (holds) kept.push_back(std::move(item));
  }
  return kept;
}

void Evaluator::walk(const Statement& loop, const Value& values, const Scope& scope, int depth0, text::MarkedText& out) {
  const auto state = std::make_shared<LoopState>();
  state->items = items_kept(loop, values, scope);
  state->depth0 = depth0;
  state->recursive = loop.recursive ? &loop : nullptr;
  state->scope = &scope;
  if (failed()) return;
  // Jinja2's else is for loops no turn of which came to its end: an empty one, and one whose turns all broke off.
  bool any_ended = false;
  const Value named = Value::of(Value::LoopPtr(state));
  for (; state->index < state->items.size() && evaluation_.spend(); ++state->index) {
    Scope inner{&scope, {}};
    name_value(evaluation_, "loop", named, inner);
    assign(evaluation_, loop.target, state->items[state->index], inner);
    const Flow flow = execute(loop.body, inner, out);
    any_ended = any_ended || flow == Flow::kOn;
    if (flow == Flow::kBreak) break;
  }
  if (any_ended || failed()) return;
  Scope inner{&scope, {}};
  execute(loop.otherwise, inner, out);
}

}  // namespace herd::jinja
