// Calls: of methods and functions, of macros, of the loops that walk trees.

#include <algorithm>

#include "endpoint/jinja/attributes.h"
#include "endpoint/jinja/evaluator.h"
#include "endpoint/jinja/evaluator_depth.h"

namespace herd::jinja {
namespace {

// What no parameter takes: `caller`, `varargs` and `kwargs`, for a macro that reads them.
bool bind_others(Evaluation& evaluation, const Statement& macro, const Arguments& arguments, Scope& scope) {
  const std::vector<std::string>& parameters = macro.target.names;
  const bool more = arguments.positional.size() > parameters.size();
  if (more && !macro.uses_varargs) evaluation.refuse("macro " + macro.text + ": too many arguments");
  Value caller = Value::undefined("caller");
  std::vector<std::pair<Value, Value>> others;
  for (std::size_t i = 0; i < arguments.named.size(); ++i) {
    const auto& [name, value] = arguments.named[i];
    if (!evaluation.spend(parameters.size() / 16 + 1)) return false;
    if (std::ranges::find(parameters, name) != parameters.end()) continue;
    if (name == "caller" && macro.uses_caller) {
      caller = value;
    } else if (macro.uses_kwargs) {
      others.emplace_back(arguments.name_of(i), value);
    } else {
      evaluation.refuse("macro " + macro.text + ": there is no parameter " + name.substr(0, 40));
    }
  }
  if (evaluation.failed()) return false;
  if (macro.uses_caller) name_value(evaluation, "caller", std::move(caller), scope);
  if (macro.uses_kwargs) name_value(evaluation, "kwargs", evaluation.dict(std::move(others)), scope);
  if (macro.uses_varargs) {
    std::vector<Value> rest;
    for (std::size_t i = parameters.size(); i < arguments.positional.size(); ++i) rest.push_back(arguments.positional[i]);
    name_value(evaluation, "varargs", evaluation.sequence(SequenceKind::kTuple, std::move(rest)), scope);
  }
  return !evaluation.failed();
}

}  // namespace

Value Evaluator::call(const Value& callee, const Arguments& arguments) {
  if (const auto* method = callee.as<Method>()) return call_method(evaluation_, *method, arguments);
  if (const auto* function = callee.as<Function>()) return call_function(evaluation_, *function, arguments, now_);
  if (const auto* macro = callee.as<MacroRef>()) return call_macro(*macro, arguments);
  if (const auto* loop = callee.as<Value::LoopPtr>()) return call_loop(**loop, arguments);
  const auto* undefined = callee.as<Undefined>();
  return evaluation_.refuse((undefined != nullptr && !undefined->name.empty() ? "\"" + undefined->name + "\""
                                                                              : std::string("a ") + callee.type_name()) +
                            " cannot be called");
}

Value Evaluator::call_macro(const MacroRef& called, const Arguments& arguments) {
  const Depth depth(*this);
  Scope scope{called.scope, {}};
  if (!bind_parameters(*called.macro, arguments, scope) || !bind_others(evaluation_, *called.macro, arguments, scope)) return {};
  text::MarkedText out;
  execute(called.macro->body, scope, out);
  return evaluation_.text(std::move(out));
}

bool Evaluator::bind_parameters(const Statement& macro, const Arguments& arguments, Scope& scope) {
  const std::vector<std::string>& parameters = macro.target.names;
  const std::size_t searched = arguments.named.size() / 16 + 1;  // of the names, for each parameter
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < parameters.size() && evaluation_.spend(searched); ++i) {
    const auto named = std::ranges::find(arguments.named, parameters[i], [](const auto& entry) { return entry.first; });
    const bool is_named = named != arguments.named.end();
    if (i < arguments.positional.size()) {
      if (is_named) evaluation_.refuse("macro " + macro.text + ": " + parameters[i] + " is given twice");
      name_value(evaluation_, parameters[i], arguments.positional[i], scope);
    } else {
      name_value(evaluation_, parameters[i], is_named ? named->second : Value::undefined(parameters[i]), scope);
      if (!is_named) missing.push_back(i);
    }
  }
  // A default sees all parameters, its own as undefined.
  const std::size_t first_default = parameters.size() - macro.expressions.size();
  for (const std::size_t i : missing) {
    if (i < first_default || failed()) continue;
    name_value(evaluation_, parameters[i], evaluate(*macro.expressions[i - first_default], scope), scope);
  }
  return !failed();
}

Value Evaluator::call_loop(const LoopState& loop, const Arguments& arguments) {
  const Depth depth(*this);
  if (loop.recursive == nullptr) return evaluation_.refuse("only the loop of a {% for … recursive %} can be called");
  const auto given = arguments.bind(evaluation_, "loop", {"iterable"}, 1);
  if (failed()) return {};
  text::MarkedText out;
  walk(*loop.recursive, *given[0], *loop.scope, loop.depth0 + 1, out);
  return evaluation_.text(std::move(out));
}

}  // namespace herd::jinja
