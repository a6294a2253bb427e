// Expressions: one case a kind, each as Python computes it.

#include <algorithm>

#include "endpoint/jinja/attributes.h"
#include "endpoint/jinja/evaluator.h"
#include "endpoint/jinja/evaluator_depth.h"
#include "endpoint/jinja/filters.h"
#include "endpoint/jinja/operators.h"
#include "endpoint/jinja/value_tests.h"
#include "endpoint/jinja/value_text.h"

namespace herd::jinja {

Value Evaluator::evaluate(const Expression& expression, const Scope& scope) {
  const Depth depth(*this);
  if (!evaluation_.spend()) return {};
  evaluation_.at_line(expression.line);
  const auto operand = [&](std::size_t i) { return evaluate(*expression.operands[i], scope); };
  switch (expression.kind) {
    case Expression::Kind::kConstant: return expression.constant;
    case Expression::Kind::kName: return look_up(evaluation_, expression.name, scope);
    case Expression::Kind::kList: return evaluation_.sequence(SequenceKind::kList, evaluate_all(expression.operands, 0, scope));
    case Expression::Kind::kTuple: return evaluation_.sequence(SequenceKind::kTuple, evaluate_all(expression.operands, 0, scope));
    case Expression::Kind::kDict: return evaluate_dict(expression, scope);
    case Expression::Kind::kAttribute: return attribute(evaluation_, operand(0), expression.name);
    case Expression::Kind::kItem: {
      const Value value = operand(0);
      return subscript(evaluation_, value, operand(1));
    }
    case Expression::Kind::kSlice: {
      const Value value = operand(0);
      const Value begin = evaluate_part(expression.operands[1], scope);
      const Value end = evaluate_part(expression.operands[2], scope);
      return slice(evaluation_, value, begin, end, evaluate_part(expression.operands[3], scope));
    }
    case Expression::Kind::kCall: return evaluate_call(expression, scope);
    case Expression::Kind::kFilter: {
      const Value value = operand(0);
      return apply_filter(evaluation_, expression.name, value, arguments_of(expression, scope));
    }
    case Expression::Kind::kTest: {
      const Value value = operand(0);
      return Value::boolean(apply_test(evaluation_, expression.name, value, arguments_of(expression, scope)));
    }
    case Expression::Kind::kNegate: return negate(evaluation_, operand(0));
    case Expression::Kind::kPlus: {
      const Value value = operand(0);
      if (!value.is_number()) return evaluation_.refuse(std::string("\"+\" before ") + value.type_name() + " is not supported");
      return value.is_integral() ? Value::integer(value.integral()) : value;
    }
    case Expression::Kind::kNot: return Value::boolean(!truth(operand(0)));
    case Expression::Kind::kAnd: {
      Value left = operand(0);
      return truth(left) ? operand(1) : left;
    }
    case Expression::Kind::kOr: {
      Value left = operand(0);
      return truth(left) ? left : operand(1);
    }
    case Expression::Kind::kArithmetic: {
      const Value left = operand(0);
      return arithmetic(evaluation_, expression.operators[0], left, operand(1));
    }
    case Expression::Kind::kCompare: return evaluate_compare(expression, scope);
    case Expression::Kind::kConcatenate: return evaluate_concatenation(expression, scope);
    case Expression::Kind::kConditional:
      if (truth(operand(1))) return operand(0);
      return expression.operands[2] != nullptr ? operand(2) : Value::undefined("an if without else");
  }
  return {};
}

Value Evaluator::evaluate_part(const ExpressionPtr& part, const Scope& scope) {
  return part == nullptr ? Value::none() : evaluate(*part, scope);
}

std::vector<Value> Evaluator::evaluate_all(const std::vector<ExpressionPtr>& expressions, std::size_t from, const Scope& scope) {
  std::vector<Value> values;
  for (std::size_t i = from; i < expressions.size(); ++i) values.push_back(evaluate(*expressions[i], scope));
  return values;
}

Arguments Evaluator::arguments_of(const Expression& expression, const Scope& scope) {
  Arguments arguments;
  arguments.positional = evaluate_all(expression.operands, 1, scope);
  for (const auto& [name, value] : expression.named) arguments.named.emplace_back(name, evaluate(*value, scope));
  unpack_starred(expression, scope, arguments);
  return arguments;
}

void Evaluator::unpack_starred(const Expression& expression, const Scope& scope, Arguments& arguments) {
  if (expression.starred != nullptr) {
    for (const Value& item : evaluation_.items_of(evaluate(*expression.starred, scope))) arguments.positional.push_back(item);
  }
  if (expression.double_starred == nullptr) return;
  const Value names = evaluate(*expression.double_starred, scope);
  if (failed()) return;
  if (names.as<Value::DictPtr>() == nullptr) {
    evaluation_.refuse("** before a " + std::string(names.type_name()));
    return;
  }
  for (const auto& [name, value] : names.dict().entries) {
    if (!name.is_text()) return void(evaluation_.refuse("** needs texts as keys"));
    const auto same = [&key = name](const auto& entry) { return entry.first == key.view(); };
    if (!evaluation_.claim(name.view().size() + 2 * sizeof(Value)) || !evaluation_.spend(arguments.named.size() / 8 + 1)) return;
    if (std::ranges::any_of(arguments.named, same)) evaluation_.refuse("an argument is given twice");
    arguments.named.emplace_back(std::string(name.view()), value);
    arguments.foreign_names = arguments.foreign_names || !name.marked().foreign.empty();
  }
}

Value Evaluator::evaluate_compare(const Expression& expression, const Scope& scope) {
  Value left = evaluate(*expression.operands[0], scope);
  for (std::size_t i = 0; i < expression.operators.size(); ++i) {
    Value right = evaluate(*expression.operands[i + 1], scope);
    if (!compare(evaluation_, expression.operators[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(!failed());
}

Value Evaluator::evaluate_concatenation(const Expression& expression, const Scope& scope) {
  text::MarkedText out;
  for (const ExpressionPtr& operand : expression.operands) {
    const Value value = evaluate(*operand, scope);
    text::MarkedText made;
    append(out, str(evaluation_, value, made));
    if (!evaluation_.spend_bytes(out.bytes.size())) return {};
    if (out.bytes.size() > limits_.value_bytes_max) break;  // text() refuses it
  }
  return evaluation_.text(std::move(out));
}

Value Evaluator::evaluate_dict(const Expression& expression, const Scope& scope) {
  std::vector<std::pair<Value, Value>> entries;
  for (std::size_t i = 0; i + 1 < expression.operands.size(); i += 2) {
    const Value key = evaluate(*expression.operands[i], scope);
    if (failed()) return {};
    if (!key.is_key()) return evaluation_.refuse(std::string("a ") + key.type_name() + " as the key of a dict is not supported");
    entries.emplace_back(key, evaluate(*expression.operands[i + 1], scope));
  }
  return evaluation_.dict(std::move(entries));
}

Value Evaluator::evaluate_call(const Expression& expression, const Scope& scope, const MacroRef* caller) {
  const Value callee = evaluate(*expression.operands[0], scope);
  if (failed()) return {};
  Arguments arguments = arguments_of(expression, scope);
  if (caller != nullptr) arguments.named.emplace_back("caller", Value::of(*caller));
  if (failed()) return {};
  evaluation_.at_line(expression.line);
  return call(callee, arguments);
}

}  // namespace herd::jinja
