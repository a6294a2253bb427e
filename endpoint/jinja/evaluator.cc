#include "endpoint/jinja/evaluator.h"

#include <algorithm>

#include "endpoint/jinja/evaluator_depth.h"
#include "endpoint/jinja/filters.h"
#include "endpoint/jinja/loop_state.h"
#include "endpoint/jinja/operators.h"
#include "endpoint/jinja/value_text.h"

namespace herd::jinja {

Evaluator::Evaluator(const Limits& limits, const std::optional<CivilTime>& now,
                     const std::vector<std::pair<std::string, Value>>& variables)
    : limits_(limits), now_(now), evaluation_(limits), variables_{nullptr, variables}, top_{&variables_, {}} {}

std::string Evaluator::run(const Body& body) {
  std::string out;
  execute(body, top_, out);
  return failed() ? std::string() : out;
}

void Evaluator::print(std::string_view text, std::string& out) {
  if (!evaluation_.spend_bytes(text.size())) return;
  if (out.size() + text.size() > limits_.output_bytes_max) {
    evaluation_.refuse("the template prints more than " + std::to_string(limits_.output_bytes_max) + " bytes");
    return;
  }
  out += text;
}

Evaluator::Flow Evaluator::execute(const Body& body, Scope& scope, std::string& out) {
  for (const auto& statement : body) {
    if (failed()) break;
    if (const Flow flow = execute(*statement, scope, out); flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Evaluator::Flow Evaluator::execute(const Statement& statement, Scope& scope, std::string& out) {
  const Depth depth(*this);
  evaluation_.at_line(statement.line);
  if (!evaluation_.spend()) return Flow::kOn;
  switch (statement.kind) {
    case Statement::Kind::kText: print(statement.text, out); return Flow::kOn;
    case Statement::Kind::kOutput: print(str(evaluation_, evaluate(*statement.expressions[0], scope)), out); return Flow::kOn;
    case Statement::Kind::kIf:
      for (const auto& [condition, body] : statement.branches) {
        const bool taken = condition == nullptr || truth(evaluate(*condition, scope));
        if (failed()) return Flow::kOn;
        if (taken) return execute(body, scope, out);
      }
      return Flow::kOn;
    case Statement::Kind::kFor: return execute_for(statement, scope, out);
    case Statement::Kind::kSet: assign(statement.target, evaluate(*statement.expressions[0], scope), scope); return Flow::kOn;
    case Statement::Kind::kMacro: name_value(statement.text, Value::of(MacroRef{&statement}), scope); return Flow::kOn;
    case Statement::Kind::kBreak: return Flow::kBreak;
    case Statement::Kind::kContinue: return Flow::kContinue;
    case Statement::Kind::kWith: {
      Scope inner{&scope, {}};
      for (std::size_t i = 0; i < statement.with_names.size(); ++i)
        name_value(statement.with_names[i], evaluate(*statement.expressions[i], scope), inner);
      return execute(statement.body, inner, out);
    }
    case Statement::Kind::kSetBlock:
    case Statement::Kind::kFilterBlock:
    case Statement::Kind::kGeneration: execute_inner(statement, scope, out); return Flow::kOn;
  }
  return Flow::kOn;
}

// Blocks whose text goes somewhere, and whose names stay inside.
void Evaluator::execute_inner(const Statement& statement, Scope& scope, std::string& out) {
  Scope inner{&scope, {}};
  if (statement.kind == Statement::Kind::kGeneration) {
    execute(statement.body, inner, out);
    return;
  }
  std::string text;
  execute(statement.body, inner, text);
  const Value made = filtered(*statement.expressions[0], evaluation_.text(std::move(text)), scope);
  if (statement.kind == Statement::Kind::kSetBlock) {
    assign(statement.target, made, scope);
  } else {
    print(str(evaluation_, made), out);
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

Evaluator::Flow Evaluator::execute_for(const Statement& statement, Scope& scope, std::string& out) {
  auto loop = std::make_shared<LoopState>();
  for (const Value& item : evaluation_.items_of(evaluate(*statement.expressions[0], scope))) {
    if (statement.expressions[1] != nullptr) {
      Scope inner{&scope, {}};
      assign(statement.target, item, inner);
      const bool kept = truth(evaluate(*statement.expressions[1], inner));
      if (failed()) return Flow::kOn;
      if (!kept) continue;
    }
    loop->items.push_back(item);
  }
  if (failed()) return Flow::kOn;
  // Jinja2's else is for loops no turn of which came to its end: an empty one, and one whose turns all broke off.
  bool any_ended = false;
  const Value state = Value::of(Value::LoopPtr(loop));
  for (; loop->index < loop->items.size() && evaluation_.spend(); ++loop->index) {
    Scope inner{&scope, {}};
    name_value("loop", state, inner);
    assign(statement.target, loop->items[loop->index], inner);
    const Flow flow = execute(statement.body, inner, out);
    any_ended = any_ended || flow == Flow::kOn;
    if (flow == Flow::kBreak) break;
  }
  if (any_ended || failed()) return Flow::kOn;
  Scope inner{&scope, {}};
  return execute(statement.otherwise, inner, out);
}

void Evaluator::assign(const Target& target, const Value& value, Scope& scope) {
  if (failed()) return;
  if (target.unpacks) return unpack(target, value, scope);
  if (target.attribute.empty()) return name_value(target.names[0], value, scope);
  const Value space = lookup(target.names[0], scope);
  const auto* held = space.as<Value::NamespacePtr>();
  if (held == nullptr) {
    evaluation_.refuse("only a namespace has attributes that can be set, not a " + std::string(space.type_name()));
  } else if (!value.is_data()) {
    evaluation_.refuse(std::string("a ") + value.type_name() + " inside a namespace is not supported");
  } else if (evaluation_.claim(sizeof(Value))) {
    (*held)->attributes.insert_or_assign(target.attribute, value);
  }
}

void Evaluator::name_value(std::string_view name, Value value, Scope& scope) {
  if (!evaluation_.spend(scope.names.size() / 16 + 1)) return;
  for (auto& [known, held] : scope.names) {
    if (known == name) {
      held = std::move(value);
      return;
    }
  }
  scope.names.emplace_back(name, std::move(value));
}

void Evaluator::unpack(const Target& target, const Value& value, Scope& scope) {
  const std::vector<Value> items = evaluation_.items_of(value);
  if (failed()) return;
  if (items.size() != target.names.size()) {
    evaluation_.refuse("cannot unpack " + std::to_string(items.size()) + " values into " +
                       std::to_string(target.names.size()) + " names");
    return;
  }
  for (std::size_t i = 0; i < items.size(); ++i) name_value(target.names[i], items[i], scope);
}

Value Evaluator::call_macro(const Statement& macro, const Arguments& arguments) {
  const Depth depth(*this);
  const std::vector<std::string>& parameters = macro.target.names;
  if (arguments.positional.size() > parameters.size()) return evaluation_.refuse("macro " + macro.text + ": too many arguments");
  Scope scope{&top_, {}};
  const std::size_t first_default = parameters.size() - macro.expressions.size();
  const std::size_t searched = arguments.named.size() / 16 + 1;  // of the names, for each parameter; the other way round below
  for (std::size_t i = 0; i < parameters.size() && evaluation_.spend(searched); ++i) {
    const auto named = std::ranges::find(arguments.named, parameters[i], [](const auto& entry) { return entry.first; });
    if (i < arguments.positional.size()) {
      if (named != arguments.named.end()) evaluation_.refuse("macro " + macro.text + ": " + parameters[i] + " is given twice");
      name_value(parameters[i], arguments.positional[i], scope);
    } else if (named != arguments.named.end()) {
      name_value(parameters[i], named->second, scope);
    } else {
      name_value(parameters[i],
                 i >= first_default ? evaluate(*macro.expressions[i - first_default], scope) : Value::undefined(parameters[i]),
                 scope);
    }
  }
  for (const auto& [name, value] : arguments.named) {
    if (evaluation_.spend(parameters.size() / 16 + 1) && std::ranges::find(parameters, name) == parameters.end())
      evaluation_.refuse("macro " + macro.text + ": there is no parameter " + name.substr(0, 40));
  }
  std::string out;
  execute(macro.body, scope, out);
  return evaluation_.text(std::move(out));
}

}  // namespace herd::jinja
