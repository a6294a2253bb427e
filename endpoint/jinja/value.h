#pragma once
// Values of a template, with Python's meaning. Plain data never changes once made (Hugging Face's sandbox forbids it
// to templates), so copies share it and no cycle can exist; only a namespace changes, and plain data cannot hold one.
// Every text knows which of its characters the template wrote and which came with a message, and what is made of
// characters keeps that (text_part.h). Numbers, truth values and None are the template's.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/text/marked_text.h"

namespace herd::jinja {

class Value;
struct Statement;

struct Undefined {
  std::string name;  // for messages
};
struct None {};

// What Python calls them; each prints, counts and repeats in its own way.
enum class SequenceKind : std::uint8_t {
  kList,
  kTuple,
  kRange,
  kView,       // dict.items(), .keys(), .values()
  kGenerator,  // what map, select and their kind give: walked once
};

struct Sequence {
  SequenceKind kind = SequenceKind::kList;
  int depth = 1;                     // 1 + that of the deepest element
  std::vector<Value> items;
  mutable bool walked = false;       // of a generator
};

struct Dict {
  int depth = 1;
  std::vector<std::pair<Value, Value>> entries;  // in the order they were written; see is_key()
  [[nodiscard]] const Value* find(std::string_view key) const;
  [[nodiscard]] const Value* find(const Value& key) const;
};

struct Namespace {
  std::map<std::string, Value, std::less<>> attributes;
};

// A str, or what the filter "safe" makes of one: markupsafe's Markup, which escapes for HTML what is added to it.
struct Text {
  text::MarkedText marked;
  bool is_markup = false;
};

struct LoopState;  // loop_state.h
struct Scope;      // scope.h

struct MacroRef {
  const Statement* macro = nullptr;  // of the template, which outlives every rendering
  const Scope* scope = nullptr;      // where it stands: no value outlives that, as lists and namespaces hold no macros
};

enum class Function : std::uint8_t { kRange, kDict, kNamespace, kRaiseException, kStrftimeNow };

struct Method {
  std::shared_ptr<const Value> self;
  std::string name;
};

class Value {
 public:
  using TextPtr = std::shared_ptr<const Text>;
  using SequencePtr = std::shared_ptr<const Sequence>;
  using DictPtr = std::shared_ptr<const Dict>;
  using NamespacePtr = std::shared_ptr<Namespace>;
  using LoopPtr = std::shared_ptr<const LoopState>;

  Value() = default;
  static Value undefined(std::string_view name) { return Value(Undefined{std::string(name)}); }
  static Value none() { return Value(None{}); }
  static Value boolean(bool value) { return Value(value); }
  static Value integer(std::int64_t value) { return Value(value); }
  static Value real(double value) { return Value(value); }
  static Value text(std::string value) { return text(text::MarkedText{std::move(value), {}}); }  // the template's
  static Value foreign_text(std::string value);  // a message's: it may spell what it likes, and is only text
  static Value text(text::MarkedText value) { return Value(std::make_shared<const Text>(Text{std::move(value), false})); }
  static Value markup(text::MarkedText value) { return Value(std::make_shared<const Text>(Text{std::move(value), true})); }
  template <class T>
  static Value of(T value) { return Value(std::move(value)); }

  template <class T>
  [[nodiscard]] const T* as() const { return std::get_if<T>(&data_); }
  [[nodiscard]] bool is_undefined() const { return as<Undefined>() != nullptr; }
  [[nodiscard]] bool is_none() const { return as<None>() != nullptr; }
  [[nodiscard]] bool is_text() const { return as<TextPtr>() != nullptr; }
  [[nodiscard]] bool is_markup() const { return is_text() && (*as<TextPtr>())->is_markup; }
  [[nodiscard]] bool is_number() const { return is_integral() || as<double>() != nullptr; }
  [[nodiscard]] bool is_integral() const { return as<std::int64_t>() != nullptr || as<bool>() != nullptr; }  // bool is an int
  [[nodiscard]] bool is_sequence(SequenceKind kind) const;
  // What a dict may have as a key here: texts, numbers, truth values and None. 1, 1.0 and True are one key.
  [[nodiscard]] bool is_key() const { return is_text() || is_number() || is_none(); }
  // What lists and dicts may hold: neither namespace nor loop, macro, function or method.
  [[nodiscard]] bool is_data() const { return data_.index() <= 7; }

  [[nodiscard]] const text::MarkedText& marked() const { return (*as<TextPtr>())->marked; }  // of a text
  [[nodiscard]] std::string_view view() const { return marked().bytes; }                     // of a text
  [[nodiscard]] const Sequence& sequence() const { return **as<SequencePtr>(); }             // of a sequence
  [[nodiscard]] const Dict& dict() const { return **as<DictPtr>(); }                         // of a dict
  [[nodiscard]] std::int64_t integral() const;                                               // of an integer or boolean
  [[nodiscard]] double number() const;                                                       // of any number
  [[nodiscard]] int depth() const;                                                           // 0 for what holds nothing

  [[nodiscard]] const char* type_name() const;  // Python's, for messages

 private:
  template <class T>
  explicit Value(T value) : data_(std::move(value)) {}

  // Plain data first: is_data() counts.
  std::variant<Undefined, None, bool, std::int64_t, double, TextPtr, SequencePtr, DictPtr, NamespacePtr, LoopPtr, MacroRef,
               Function, Method>
      data_;
};

}  // namespace herd::jinja
