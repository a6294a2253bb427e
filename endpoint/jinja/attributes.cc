#include "endpoint/jinja/attributes.h"

#include <algorithm>

#include "endpoint/jinja/loop_state.h"
#include "endpoint/jinja/operators.h"
#include "endpoint/jinja/text_methods.h"

namespace herd::jinja {
namespace {

// Every public attribute that Python's types have: an attribute comes before an item of the same name.
constexpr std::string_view kOfText[] = {
    "capitalize", "casefold", "center", "count", "encode", "endswith", "expandtabs", "find", "format", "format_map",
    "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric",
    "isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip", "maketrans", "partition",
    "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split",
    "splitlines", "startswith", "strip", "swapcase", "title", "translate", "upper", "zfill"};
constexpr std::string_view kOfDict[] = {"clear", "copy", "fromkeys", "get", "items", "keys", "pop", "popitem",
                                        "setdefault", "update", "values"};
constexpr std::string_view kOfList[] = {"append", "clear", "copy", "count", "extend", "index", "insert", "pop",
                                        "remove", "reverse", "sort"};
constexpr std::string_view kOfOthers[] = {  // tuples, ranges, dict views, generators, whole numbers, floats
    "as_integer_ratio", "bit_count", "bit_length", "close", "conjugate", "count", "denominator", "from_bytes", "fromhex",
    "gi_code", "gi_frame", "gi_running", "gi_suspended", "gi_yieldfrom", "hex", "imag", "index", "is_integer",
    "isdisjoint", "mapping", "numerator", "real", "send", "start", "step", "stop", "throw", "to_bytes"};

}  // namespace

bool has_attribute(const Value& value, std::string_view name) {
  const auto in = [name](const auto& names) { return std::ranges::find(names, name) != std::end(names); };
  if (value.is_text()) return in(kOfText);
  if (value.as<Value::DictPtr>() != nullptr) return in(kOfDict);
  if (value.is_sequence(SequenceKind::kList)) return in(kOfList);
  return (value.as<Value::SequencePtr>() != nullptr || value.is_number()) && in(kOfOthers);
}

namespace {

Value missing_attribute(Evaluation& evaluation, const Value& value, std::string_view name) {
  if (value.is_undefined()) {
    const std::string& what = value.as<Undefined>()->name;
    return evaluation.refuse("\"" + (what.empty() ? std::string("a value") : what) + "\" is undefined and has no \"" +
                             std::string(name) + "\"");
  }
  return Value::undefined(name);
}

Value loop_attribute(Evaluation& evaluation, const LoopState& loop, std::string_view name) {
  const auto index = static_cast<std::int64_t>(loop.index);
  const auto size = static_cast<std::int64_t>(loop.items.size());
  if (name == "index") return Value::integer(index + 1);
  if (name == "index0") return Value::integer(index);
  if (name == "revindex") return Value::integer(size - index);
  if (name == "revindex0") return Value::integer(size - index - 1);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index + 1 == size);
  if (name == "length") return Value::integer(size);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem") return index > 0 ? loop.items[loop.index - 1] : Value::undefined("there is no previous item");
  if (name == "nextitem") return index + 1 < size ? loop.items[loop.index + 1] : Value::undefined("there is no next item");
  return evaluation.refuse("loop." + std::string(name.substr(0, 40)) + " is not supported");
}

Value loop_changed(Evaluation& evaluation, const LoopState& loop, const std::vector<Value>& values) {
  bool same = loop.changed && loop.changed->size() == values.size();
  for (std::size_t i = 0; same && i < values.size(); ++i) same = equal(evaluation, (*loop.changed)[i], values[i]);
  loop.changed = values;
  return Value::boolean(!same);
}

Value bound_method(const Value& value, std::string_view name) {
  return Value::of(Method{std::make_shared<const Value>(value), std::string(name)});
}

Value call_list(Evaluation& evaluation, const Value& self, const std::string& name, const Arguments& arguments) {
  const std::vector<Value>& items = self.sequence().items;
  if (name == "copy" && self.is_sequence(SequenceKind::kList)) {
    (void)arguments.bind(evaluation, name, {});
    return self;
  }
  if (name != "index" && name != "count")
    return evaluation.refuse("the method " + name + " of a " + self.type_name() + " is not supported");
  const auto given = arguments.bind(evaluation, name, {"value"}, 1);
  std::int64_t found = 0;
  for (std::size_t i = 0; i < items.size() && !evaluation.failed(); ++i) {
    if (!equal(evaluation, items[i], *given[0])) continue;
    if (name == "index") return Value::integer(static_cast<std::int64_t>(i));
    ++found;
  }
  return name == "index" ? evaluation.refuse("index: the value is not in the list") : Value::integer(found);
}

Value call_dict(Evaluation& evaluation, const Value& self, const std::string& name, const Arguments& arguments) {
  if (name == "get") {
    if (!arguments.named.empty()) return evaluation.refuse("get: takes no named arguments");
    const auto given = arguments.bind(evaluation, name, {"key", "default"}, 1);
    if (evaluation.failed()) return {};
    if (given[0]->as<Value::SequencePtr>() != nullptr || given[0]->as<Value::DictPtr>() != nullptr)
      return evaluation.refuse("get: this key is not supported");
    return item(evaluation, self, *given[0]).value_or(given[1].value_or(Value::none()));
  }
  if (name == "copy") {
    (void)arguments.bind(evaluation, name, {});
    return self;
  }
  const bool items = name == "items";
  if (!items && name != "keys" && name != "values")
    return evaluation.refuse("the method " + name + " of a dict is not supported");
  (void)arguments.bind(evaluation, name, {});
  std::vector<Value> parts;
  for (const auto& [key, value] : self.dict().entries) {
    if (!evaluation.spend()) return {};
    parts.push_back(items ? evaluation.sequence(SequenceKind::kTuple, {key, value}) : name == "keys" ? key : value);
  }
  return evaluation.sequence(SequenceKind::kView, std::move(parts));
}

}  // namespace

Value attribute(Evaluation& evaluation, const Value& value, std::string_view name) {
  if (!evaluation.spend()) return {};
  if (name.starts_with('_')) return evaluation.refuse("attributes that begin with an underscore are not allowed");
  if (const auto* loop = value.as<Value::LoopPtr>()) {
    return name == "cycle" || name == "changed" ? bound_method(value, name) : loop_attribute(evaluation, **loop, name);
  }
  if (const auto* space = value.as<Value::NamespacePtr>()) {
    const auto found = (*space)->attributes.find(name);
    return found == (*space)->attributes.end() ? Value::undefined(name) : found->second;
  }
  if (value.as<MacroRef>() != nullptr || value.as<Function>() != nullptr || value.as<Method>() != nullptr)
    return evaluation.refuse(std::string("attributes of a ") + value.type_name() + " are not supported");
  if (has_attribute(value, name)) return bound_method(value, name);
  if (value.as<Value::DictPtr>() != nullptr) {
    if (const auto found = item(evaluation, value, Value::text(std::string(name)))) return *found;
  }
  return missing_attribute(evaluation, value, name);
}

Value subscript(Evaluation& evaluation, const Value& value, const Value& index) {
  if (value.is_undefined()) return missing_attribute(evaluation, value, index.is_text() ? index.view() : "items");
  if (auto found = item(evaluation, value, index)) return *found;
  if (evaluation.failed()) return {};
  if (index.is_text()) {
    if (value.as<Value::DictPtr>() != nullptr && !has_attribute(value, index.view()) && !index.view().starts_with('_'))
      return Value::undefined(index.view());
    return attribute(evaluation, value, index.view());
  }
  return Value::undefined("an item");
}

Value call_method(Evaluation& evaluation, const Method& method, const Arguments& arguments) {
  const Value& self = *method.self;
  if (const auto* loop = self.as<Value::LoopPtr>()) {
    if (!arguments.named.empty()) return evaluation.refuse("loop." + method.name + ": takes no named arguments");
    if (method.name == "changed") return loop_changed(evaluation, **loop, arguments.positional);
    if (arguments.positional.empty()) return evaluation.refuse("loop.cycle: needs values");
    return arguments.positional[(*loop)->index % arguments.positional.size()];
  }
  if (self.is_sequence(SequenceKind::kList) || self.is_sequence(SequenceKind::kTuple))
    return call_list(evaluation, self, method.name, arguments);
  if (self.is_text()) return call_text_method(evaluation, self, method.name, arguments);
  if (self.as<Value::DictPtr>() != nullptr) return call_dict(evaluation, self, method.name, arguments);
  return evaluation.refuse("the method " + method.name + " of a " + self.type_name() + " is not supported");
}

}  // namespace herd::jinja
