#include "endpoint/jinja/attributes.h"

#include <algorithm>

#include "endpoint/jinja/loop_state.h"
#include "endpoint/jinja/operators.h"
#include "endpoint/jinja/text_operations.h"

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

bool has_attribute(const Value& value, std::string_view name) {
  const auto in = [name](const auto& names) { return std::ranges::find(names, name) != std::end(names); };
  if (value.is_text()) return in(kOfText);
  if (value.as<Value::DictPtr>() != nullptr) return in(kOfDict);
  if (value.is_sequence(SequenceKind::kList)) return in(kOfList);
  return (value.as<Value::SequencePtr>() != nullptr || value.is_number()) && in(kOfOthers);
}

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
  if (name == "depth") return Value::integer(1);
  if (name == "depth0") return Value::integer(0);
  if (name == "previtem") return index > 0 ? loop.items[loop.index - 1] : Value::undefined("there is no previous item");
  if (name == "nextitem") return index + 1 < size ? loop.items[loop.index + 1] : Value::undefined("there is no next item");
  return evaluation.refuse("loop." + std::string(name.substr(0, 40)) + " is not supported");
}

Value bound_method(const Value& value, std::string_view name) {
  return Value::of(Method{std::make_shared<const Value>(value), std::string(name)});
}

bool begins_or_ends(Evaluation& evaluation, std::string_view text, const Value& with, bool begins) {
  if (with.is_text()) {
    if (!evaluation.spend_bytes(with.view().size())) return false;
    return begins ? text.starts_with(with.view()) : text.ends_with(with.view());
  }
  if (!with.is_sequence(SequenceKind::kTuple)) return evaluation.refuse("startswith, endswith: needs a text"), false;
  return std::ranges::any_of(with.sequence().items, [&](const Value& part) {
    return part.is_text() ? begins_or_ends(evaluation, text, part, begins)
                          : (evaluation.refuse("startswith, endswith: needs texts"), false);
  });
}

Value call_text(Evaluation& evaluation, std::string_view text, const std::string& name, const Arguments& arguments) {
  if (!evaluation.spend_bytes(text.size())) return {};
  const Value none = Value::none();
  if (name == "upper" || name == "lower" || name == "title" || name == "capitalize") {
    (void)arguments.bind(evaluation, name, {});
    return change_case(evaluation, text, name == "upper" ? Case::kUpper : name == "lower" ? Case::kLower
                                                                      : name == "title" ? Case::kTitle : Case::kCapitalize);
  }
  if (!arguments.named.empty() && name != "split") return evaluation.refuse(name + ": takes no named arguments");
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const auto given = arguments.bind(evaluation, name, {"chars"});
    return strip(evaluation, text, given[0].value_or(none), name == "strip" ? Ends::kBoth : name == "lstrip" ? Ends::kLeft : Ends::kRight);
  }
  if (name == "startswith" || name == "endswith") {
    const auto given = arguments.bind(evaluation, name, {"prefix"}, 1);
    if (evaluation.failed()) return {};
    return Value::boolean(begins_or_ends(evaluation, text, *given[0], name == "startswith"));
  }
  if (name == "split") {
    const auto given = arguments.bind(evaluation, name, {"sep", "maxsplit"});
    if (given[1] && !given[1]->is_integral()) return evaluation.refuse("split: maxsplit must be a whole number");
    return split(evaluation, text, given[0].value_or(none), given[1] ? given[1]->integral() : -1);
  }
  if (name == "replace") {
    const auto given = arguments.bind(evaluation, name, {"old", "new", "count"}, 2);
    if (evaluation.failed()) return {};
    const bool fits = given[0]->is_text() && given[1]->is_text() && (!given[2] || given[2]->is_integral());
    if (!fits) return evaluation.refuse("replace: needs two texts and at most a whole number");
    return replace(evaluation, text, given[0]->view(), given[1]->view(), given[2] ? given[2]->integral() : -1);
  }
  if (name == "join") {
    const auto given = arguments.bind(evaluation, name, {"iterable"}, 1);
    if (evaluation.failed() || given[0]->is_undefined()) return evaluation.refuse("join: of an undefined value");
    return join(evaluation, text, evaluation.items_of(*given[0]), true);
  }
  if (name == "count" || name == "find") {
    const auto given = arguments.bind(evaluation, name, {"sub"}, 1);
    if (evaluation.failed() || !given[0]->is_text() || given[0]->view().empty())
      return evaluation.refuse(name + ": needs a text that is not empty");
    const std::string_view part = given[0]->view();
    std::size_t at = find_text(text, part);
    if (name == "find")
      return at == std::string_view::npos ? Value::integer(-1)
                                          : Value::integer(length(evaluation, Value::text(std::string(text.substr(0, at)))));
    std::int64_t found = 0;
    for (; at != std::string_view::npos && evaluation.spend(); at = find_text(text, part, at + part.size())) ++found;
    return Value::integer(found);
  }
  return evaluation.refuse("the method " + name + " of a text is not supported");
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
  const bool items = name == "items";
  if (!items && name != "keys" && name != "values")
    return evaluation.refuse("the method " + name + " of a dict is not supported");
  (void)arguments.bind(evaluation, name, {});
  std::vector<Value> parts;
  for (const auto& [key, value] : self.dict().entries) {
    if (!evaluation.spend()) return {};
    parts.push_back(items ? evaluation.sequence(SequenceKind::kTuple, {evaluation.text(key), value})
                          : name == "keys" ? evaluation.text(key) : value);
  }
  return evaluation.sequence(SequenceKind::kView, std::move(parts));
}

}  // namespace

Value attribute(Evaluation& evaluation, const Value& value, std::string_view name) {
  if (!evaluation.spend()) return {};
  if (name.starts_with('_')) return evaluation.refuse("attributes that begin with an underscore are not allowed");
  if (const auto* loop = value.as<Value::LoopPtr>()) {
    return name == "cycle" ? bound_method(value, name) : loop_attribute(evaluation, **loop, name);
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
    if (arguments.positional.empty() || !arguments.named.empty()) return evaluation.refuse("loop.cycle: needs values");
    return arguments.positional[(*loop)->index % arguments.positional.size()];
  }
  if (self.is_text()) return call_text(evaluation, self.view(), method.name, arguments);
  if (self.as<Value::DictPtr>() != nullptr) return call_dict(evaluation, self, method.name, arguments);
  return evaluation.refuse("the method " + method.name + " of a " + self.type_name() + " is not supported");
}

}  // namespace herd::jinja
