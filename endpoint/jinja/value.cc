#include "endpoint/jinja/value.h"

namespace herd::jinja {

namespace {

bool is_same_key(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.integral() == b.integral();
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  return a.is_none() && b.is_none();
}

}  // namespace

const Value* Dict::find(std::string_view key) const {
  for (const auto& [known, value] : entries) {
    if (known.is_text() && known.view() == key) return &value;
  }
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  if (key.is_text()) return find(key.view());
  for (const auto& [known, value] : entries) {
    if (is_same_key(known, key)) return &value;
  }
  return nullptr;
}

Value Value::foreign_text(std::string value) {
  text::MarkedText marked{std::move(value), {}};
  if (!marked.bytes.empty()) marked.foreign.push_back({0, marked.bytes.size()});
  return text(std::move(marked));
}

bool Value::is_sequence(SequenceKind kind) const { return as<SequencePtr>() != nullptr && sequence().kind == kind; }

std::int64_t Value::integral() const {
  if (const bool* truth = as<bool>()) return *truth ? 1 : 0;
  return *as<std::int64_t>();
}

double Value::number() const {
  if (const double* real = as<double>()) return *real;
  return static_cast<double>(integral());
}

int Value::depth() const {
  if (as<SequencePtr>() != nullptr) return sequence().depth;
  if (as<DictPtr>() != nullptr) return dict().depth;
  return 0;
}

const char* Value::type_name() const {
  if (as<SequencePtr>() != nullptr) {
    constexpr const char* kNames[] = {"list", "tuple", "range", "dict view", "generator"};
    return kNames[static_cast<int>(sequence().kind)];
  }
  constexpr const char* kNames[] = {"Undefined", "NoneType", "bool",        "int",   "float",    "str",   "",
                                    "dict",      "Namespace", "LoopContext", "Macro", "function", "method"};
  return kNames[data_.index()];
}

}  // namespace herd::jinja
