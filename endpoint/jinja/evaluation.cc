#include "endpoint/jinja/evaluation.h"

#include <algorithm>

#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

// What a text takes beside its characters and marks.
constexpr std::size_t kTextBytes = sizeof(Value) + sizeof(Text) + 2 * sizeof(void*);

}  // namespace

Value Evaluation::refuse(const std::string& what) {
  if (error_.empty()) error_ = "line " + std::to_string(line_) + ": " + what;
  return {};
}

bool Evaluation::spend(std::uint64_t steps) {
  steps_ += steps;
  if (steps_ > limits_.steps_max) refuse("the template takes more than " + std::to_string(limits_.steps_max) + " steps");
  return !failed();
}

bool Evaluation::claim(std::size_t bytes) {
  bytes_ = bytes > limits_.value_bytes_max ? bytes : bytes_ + bytes;
  if (bytes_ > limits_.value_bytes_max)
    refuse("the template makes more than " + std::to_string(limits_.value_bytes_max) + " bytes of values");
  return spend_bytes(bytes);
}

Value Evaluation::text(std::string value) { return text(text::MarkedText{std::move(value), {}}); }

Value Evaluation::text(text::MarkedText value) {
  if (!claim(value.bytes.size() + value.foreign.size() * sizeof(text::ByteRange) + kTextBytes)) return {};
  return Value::text(std::move(value));
}

Value Evaluation::text(const TextPart& part) {
  if (!claim(part.size() + part.mark_count() * sizeof(text::ByteRange) + kTextBytes)) return {};
  text::MarkedText copy;
  append(copy, part);
  return Value::text(std::move(copy));
}

Value Evaluation::as_markup(const Value& value, bool is_markup) {
  if (value.is_text()) {
    if (value.is_markup() == is_markup || !claim(value.view().size() + kTextBytes)) return value;
    return is_markup ? Value::markup(value.marked()) : Value::text(value.marked());
  }
  if (value.as<Value::SequencePtr>() == nullptr) return value;
  std::vector<Value> items;
  for (const Value& item : value.sequence().items) {
    if (failed()) return {};
    items.push_back(as_markup(item, is_markup));
  }
  return sequence(value.sequence().kind, std::move(items));
}

Value Evaluation::sequence(SequenceKind kind, std::vector<Value> items) {
  if (!claim((items.size() + 1) * sizeof(Value))) return {};
  Sequence made;
  made.kind = kind;
  for (const Value& item : items) {
    if (!item.is_data()) return refuse(std::string("a ") + item.type_name() + " inside a list is not supported");
    made.depth = std::max(made.depth, item.depth() + 1);
  }
  if (made.depth > limits_.value_depth_max) return refuse("lists are nested too deeply");
  made.items = std::move(items);
  return Value::of(std::make_shared<const Sequence>(std::move(made)));
}

Value Evaluation::dict(std::vector<std::pair<Value, Value>> entries) {
  Dict made;
  std::size_t bytes = sizeof(Value);
  for (auto& [name, value] : entries) {
    if (!value.is_data()) return refuse(std::string("a ") + value.type_name() + " inside a dict is not supported");
    made.depth = std::max(made.depth, value.depth() + 1);
    bytes += 2 * sizeof(Value);
    if (!spend(made.entries.size() / 8 + 1)) return {};
    if (const Value* known = made.find(name)) {
      *const_cast<Value*>(known) = std::move(value);  // the last of equal keys counts, in the place of the first
    } else {
      made.entries.emplace_back(std::move(name), std::move(value));
    }
  }
  if (!claim(bytes)) return {};
  if (made.depth > limits_.value_depth_max) return refuse("lists are nested too deeply");
  return Value::of(std::make_shared<const Dict>(std::move(made)));
}

std::vector<Value> Evaluation::items_of(const Value& value) {
  std::vector<Value> items;
  if (failed() || value.is_undefined()) return items;
  if (value.as<Value::SequencePtr>() != nullptr) {
    const Sequence& sequence = value.sequence();
    if (sequence.kind == SequenceKind::kGenerator && std::exchange(sequence.walked, true)) {
      refuse("a generator walked a second time is not supported");
      return items;
    }
    if (claim(sequence.items.size() * sizeof(Value))) items = sequence.items;
    return items;
  }
  if (value.as<Value::DictPtr>() != nullptr) {
    if (!claim(value.dict().entries.size() * sizeof(Value))) return items;
    for (const auto& [name, entry] : value.dict().entries) items.push_back(name);
    return items;
  }
  if (value.is_text()) {
    const TextPart whole(value.marked());
    for (std::size_t at = 0; at < whole.size() && !failed();) {
      const std::size_t size = text::first_code_point(whole.bytes().substr(at)).size;
      items.push_back(text(whole.part(at, size)));
      at += size;
    }
    return items;
  }
  refuse(std::string("a ") + value.type_name() + " cannot be walked");
  return items;
}

Value Arguments::name_of(std::size_t index) const {
  return foreign_names ? Value::foreign_text(named[index].first) : Value::text(named[index].first);
}

std::vector<std::optional<Value>> Arguments::bind(Evaluation& evaluation, std::string_view callee,
                                                  std::initializer_list<std::string_view> parameters,
                                                  std::size_t required) const {
  std::vector<std::optional<Value>> bound(parameters.size());
  const std::string name(callee);
  if (positional.size() > parameters.size()) {
    evaluation.refuse(name + ": takes at most " + std::to_string(parameters.size()) + " arguments");
    return bound;
  }
  std::ranges::copy(positional, bound.begin());
  for (const auto& [key, value] : named) {
    const auto at = std::ranges::find(parameters, key);
    const auto index = static_cast<std::size_t>(at - parameters.begin());
    if (at == parameters.end() || bound[index]) {
      evaluation.refuse(name + ": the argument \"" + key.substr(0, 40) + "\" is not supported, or given twice");
      return bound;
    }
    bound[index] = value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (!bound[i]) evaluation.refuse(name + ": an argument is missing");
  }
  return bound;
}

}  // namespace herd::jinja
