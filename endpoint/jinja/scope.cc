#include "endpoint/jinja/scope.h"

#include "endpoint/jinja/functions.h"

namespace herd::jinja {
namespace {

void unpack(Evaluation& evaluation, const Target& target, const Value& value, Scope& scope) {
  const std::vector<Value> items = evaluation.items_of(value);
  if (evaluation.failed()) return;
  if (items.size() != target.names.size()) {
    evaluation.refuse("cannot unpack " + std::to_string(items.size()) + " values into " +
                       std::to_string(target.names.size()) + " names");
    return;
  }
  for (std::size_t i = 0; i < items.size(); ++i) name_value(evaluation, target.names[i], items[i], scope);
}

}  // namespace

Value look_up(Evaluation& evaluation, const std::string& name, const Scope& scope) {
  for (const Scope* at = &scope; at != nullptr; at = at->outer) {
    if (!evaluation.spend(at->names.size() / 16 + 1)) return {};
    for (const auto& [known, value] : at->names) {
      if (known == name) return value;
    }
  }
  if (const auto function = find_function(name)) return Value::of(*function);
  if (is_unsupported_global(name)) return evaluation.refuse("the name \"" + name + "\" is not supported");
  return Value::undefined(name);
}

void name_value(Evaluation& evaluation, std::string_view name, Value value, Scope& scope) {
  if (!evaluation.spend(scope.names.size() / 16 + 1)) return;
  for (auto& [known, held] : scope.names) {
    if (known == name) {
      held = std::move(value);
      return;
    }
  }
  scope.names.emplace_back(name, std::move(value));
}

void assign(Evaluation& evaluation, const Target& target, const Value& value, Scope& scope) {
  if (evaluation.failed()) return;
  if (target.unpacks) return unpack(evaluation, target, value, scope);
  if (target.attribute.empty()) return name_value(evaluation, target.names[0], value, scope);
  const Value space = look_up(evaluation, target.names[0], scope);
  const auto* held = space.as<Value::NamespacePtr>();
  if (held == nullptr) {
    evaluation.refuse("only a namespace has attributes that can be set, not a " + std::string(space.type_name()));
  } else if (!value.is_data()) {
    evaluation.refuse(std::string("a ") + value.type_name() + " inside a namespace is not supported");
  } else if (evaluation.claim(sizeof(Value))) {
    (*held)->attributes.insert_or_assign(target.attribute, value);
  }
}

}  // namespace herd::jinja
