#include "endpoint/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "endpoint/jinja/text_format.h"
#include "endpoint/jinja/text_operations.h"
#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

std::int64_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

// Where the character number `index` of `text` begins.
std::size_t offset_of(std::string_view text, std::int64_t index) {
  std::size_t at = 0;
  while (index-- > 0) at += text::first_code_point(text.substr(at)).size;
  return at;
}

const char* spelled(Operator how) {
  constexpr const char* kSpelled[] = {"+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return kSpelled[static_cast<int>(how)];
}

Value not_between(Evaluation& evaluation, Operator how, const Value& left, const Value& right) {
  return evaluation.refuse(std::string("\"") + spelled(how) + "\" between " + left.type_name() + " and " +
                           right.type_name() + " is not supported");
}

Value power(Evaluation& evaluation, std::int64_t base, std::int64_t exponent) {
  if (exponent < 0 && base == 0) return evaluation.refuse("division by zero");
  if (exponent < 0) return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  std::int64_t result = 1;
  for (; exponent > 0 && evaluation.spend(); --exponent) {
    if (base == 0 || base == 1) return Value::integer(base);
    if (__builtin_mul_overflow(result, base, &result)) return evaluation.refuse("a whole number beyond 64 bits");
  }
  return Value::integer(result);
}

// Floor division and remainder have the sign of the divisor.
Value whole(Evaluation& evaluation, Operator how, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  switch (how) {
    case Operator::kAdd: overflow = __builtin_add_overflow(a, b, &result); break;
    case Operator::kSubtract: overflow = __builtin_sub_overflow(a, b, &result); break;
    case Operator::kMultiply: overflow = __builtin_mul_overflow(a, b, &result); break;
    case Operator::kPower: return power(evaluation, a, b);
    default:
      if (b == 0) return evaluation.refuse("division by zero");
      if (how == Operator::kDivide) return Value::real(static_cast<double>(a) / static_cast<double>(b));
      if (b == -1) return how == Operator::kModulo ? Value::integer(0) : whole(evaluation, Operator::kSubtract, 0, a);
      result = how == Operator::kModulo ? a % b : a / b;
      if (a % b != 0 && (a < 0) != (b < 0)) result += how == Operator::kModulo ? b : -1;
  }
  if (overflow) return evaluation.refuse("a whole number beyond 64 bits");
  return Value::integer(result);
}

// CPython's float_divmod(): the remainder has the sign of the divisor.
Value floored(Operator how, double a, double b) {
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest == 0) {
    rest = std::copysign(0.0, b);
  } else if ((b < 0) != (rest < 0)) {
    rest += b;
    quotient -= 1;
  }
  if (how == Operator::kModulo) return Value::real(rest);
  if (quotient == 0) return Value::real(std::copysign(0.0, a / b));
  const double whole = std::floor(quotient);
  return Value::real(quotient - whole > 0.5 ? whole + 1 : whole);
}

Value real(Evaluation& evaluation, Operator how, double a, double b) {
  if ((how == Operator::kDivide || how == Operator::kFloorDivide || how == Operator::kModulo) && b == 0)
    return evaluation.refuse("division by zero");
  switch (how) {
    case Operator::kAdd: return Value::real(a + b);
    case Operator::kSubtract: return Value::real(a - b);
    case Operator::kMultiply: return Value::real(a * b);
    case Operator::kDivide: return Value::real(a / b);
    case Operator::kFloorDivide:
    case Operator::kModulo: return floored(how, a, b);
    default: break;
  }
  if (a == 0 && b < 0) return evaluation.refuse("division by zero");
  const double power = std::pow(a, b);
  if (std::isnan(power) || (std::isinf(power) && std::isfinite(a) && std::isfinite(b)))
    return evaluation.refuse("\"**\" of these floats is not supported");
  return Value::real(power);
}

Value repeated(Evaluation& evaluation, const Value& value, std::int64_t times) {
  const auto count = static_cast<std::size_t>(std::clamp<std::int64_t>(times, 0, 1 << 24));
  if (value.is_text()) {
    const TextPart part(value.marked());
    if (!evaluation.claim((part.size() + part.mark_count() * sizeof(text::ByteRange)) * count)) return {};
    text::MarkedText out;
    for (std::size_t i = 0; i < count && !part.empty(); ++i) append(out, part);
    return evaluation.as_markup(evaluation.text(std::move(out)), value.is_markup());
  }
  const std::vector<Value>& items = value.sequence().items;
  if (!evaluation.claim(items.size() * count * sizeof(Value))) return {};
  std::vector<Value> out;
  for (std::size_t i = 0; i < count && !items.empty(); ++i) out.insert(out.end(), items.begin(), items.end());
  return evaluation.sequence(value.sequence().kind, std::move(out));
}

// "%s" % value; Markup escapes the values.
Value formatted(Evaluation& evaluation, const Value& format, const Value& values) {
  if (!format.is_markup()) return format_percent(evaluation, format.marked(), values);
  const bool several = values.is_sequence(SequenceKind::kTuple);
  std::vector<Value> escaped;
  for (const Value& value : several ? values.sequence().items : std::vector<Value>{values}) {
    if (!value.is_text() && !value.is_number()) return not_between(evaluation, Operator::kModulo, format, value);
    escaped.push_back(value.is_text() ? evaluation.as_markup(escape_html(evaluation, value), false) : value);
  }
  const Value tuple = evaluation.sequence(SequenceKind::kTuple, std::move(escaped));
  return evaluation.failed() ? Value() : evaluation.as_markup(format_percent(evaluation, format.marked(), tuple), true);
}

bool joins(const Value& left, const Value& right, SequenceKind kind) { return left.is_sequence(kind) && right.is_sequence(kind); }

struct Bounds {
  std::int64_t begin, end, step;
};

// Python's slice.indices().
std::optional<Bounds> bounds_of(Evaluation& evaluation, std::int64_t size, const Value& begin, const Value& end, const Value& step) {
  for (const Value* part : {&begin, &end, &step}) {
    if (!part->is_none() && !part->is_integral()) {
      evaluation.refuse("a slice needs whole numbers");
      return std::nullopt;
    }
  }
  Bounds bounds{0, 0, step.is_none() ? 1 : step.integral()};
  if (bounds.step == 0) {
    evaluation.refuse("the step of a slice is zero");
    return std::nullopt;
  }
  const bool back = bounds.step < 0;
  const auto place = [&](const Value& part, std::int64_t otherwise) {
    if (part.is_none()) return otherwise;
    std::int64_t at = part.integral();
    if (at < 0) at = at < -size ? -1 - size : at;
    if (at < 0) at += size;
    return std::clamp(at, back ? std::int64_t{-1} : std::int64_t{0}, back ? size - 1 : size);
  };
  bounds.begin = place(begin, back ? size - 1 : 0);
  bounds.end = place(end, back ? -1 : size);
  return bounds;
}

}  // namespace

bool truth(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is_integral()) return value.integral() != 0;
  if (const double* real = value.as<double>()) return *real != 0;
  if (value.is_text()) return !value.view().empty();
  if (value.as<Value::SequencePtr>() != nullptr)
    return value.is_sequence(SequenceKind::kGenerator) || !value.sequence().items.empty();
  if (value.as<Value::DictPtr>() != nullptr) return !value.dict().entries.empty();
  return true;
}

bool equal(Evaluation& evaluation, const Value& left, const Value& right) {
  const auto unknown = [](const Value& value) {
    return value.is_sequence(SequenceKind::kView) || value.is_sequence(SequenceKind::kGenerator);
  };
  if (!evaluation.spend()) return false;
  if (left.is_undefined() || right.is_undefined()) return left.is_undefined() && right.is_undefined();
  if (left.is_none() || right.is_none()) return left.is_none() && right.is_none();
  if (left.is_integral() && right.is_integral()) return left.integral() == right.integral();
  if (left.is_number() && right.is_number()) return left.number() == right.number();
  if (left.is_text() && right.is_text()) return evaluation.spend_bytes(left.view().size()) && left.view() == right.view();
  if (joins(left, right, SequenceKind::kList) || joins(left, right, SequenceKind::kTuple) || joins(left, right, SequenceKind::kRange)) {
    const auto& a = left.sequence().items;
    const auto& b = right.sequence().items;
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!equal(evaluation, a[i], b[i])) return false;
    }
    return true;
  }
  if (left.as<Value::DictPtr>() != nullptr && right.as<Value::DictPtr>() != nullptr) {
    const Dict& a = left.dict();
    const Dict& b = right.dict();
    if (a.entries.size() != b.entries.size()) return false;
    for (const auto& [name, value] : a.entries) {
      const Value* other = evaluation.spend(b.entries.size() / 8 + 1) ? b.find(name) : nullptr;
      if (other == nullptr || !equal(evaluation, value, *other)) return false;
    }
    return true;
  }
  // Two values of other types are equal when they are one object, which is not known of all of them here.
  if (!left.is_data() || !right.is_data() || (unknown(left) && unknown(right))) not_between(evaluation, Operator::kEqual, left, right);
  return false;
}

bool less(Evaluation& evaluation, const Value& left, const Value& right) {
  if (!evaluation.spend()) return false;
  if (left.is_integral() && right.is_integral()) return left.integral() < right.integral();
  if (left.is_number() && right.is_number()) return left.number() < right.number();
  if (left.is_text() && right.is_text())  // the order of UTF-8 bytes is that of code points
    return evaluation.spend_bytes(left.view().size()) && left.view() < right.view();
  if (joins(left, right, SequenceKind::kList) || joins(left, right, SequenceKind::kTuple)) {
    const auto& a = left.sequence().items;
    const auto& b = right.sequence().items;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()) && !evaluation.failed(); ++i) {
      if (!equal(evaluation, a[i], b[i])) return less(evaluation, a[i], b[i]);
    }
    return a.size() < b.size();
  }
  not_between(evaluation, Operator::kLess, left, right);
  return false;
}

bool contains(Evaluation& evaluation, const Value& container, const Value& value) {
  if (evaluation.failed() || container.is_undefined()) return false;
  if (container.is_text() && value.is_text()) {
    if (!evaluation.spend_bytes(container.view().size())) return false;
    return find_text(container.view(), value.view()) != std::string_view::npos;
  }
  if (container.as<Value::DictPtr>() != nullptr) {
    if (!value.is_key() && !value.is_undefined())
      return evaluation.refuse(std::string("a ") + value.type_name() + " as a key is not supported"), false;
    return evaluation.spend(container.dict().entries.size() / 8 + 1) && container.dict().find(value) != nullptr;
  }
  if (container.as<Value::SequencePtr>() != nullptr) {
    if (container.is_sequence(SequenceKind::kGenerator))
      return evaluation.refuse("\"in\" a generator is not supported"), false;
    for (const Value& item : container.sequence().items) {
      if (equal(evaluation, item, value)) return true;
    }
    return false;
  }
  not_between(evaluation, Operator::kIn, value, container);
  return false;
}

bool compare(Evaluation& evaluation, Operator how, const Value& left, const Value& right) {
  switch (how) {
    case Operator::kEqual: return equal(evaluation, left, right);
    case Operator::kUnequal: return !equal(evaluation, left, right);
    case Operator::kLess: return less(evaluation, left, right);
    case Operator::kGreater: return less(evaluation, right, left);
    case Operator::kLessEqual: return less(evaluation, left, right) || equal(evaluation, left, right);
    case Operator::kGreaterEqual: return less(evaluation, right, left) || equal(evaluation, left, right);
    case Operator::kIn: return contains(evaluation, right, left);
    case Operator::kNotIn: return !contains(evaluation, right, left);
    default: return false;
  }
}

Value arithmetic(Evaluation& evaluation, Operator how, const Value& left, const Value& right) {
  if (!evaluation.spend()) return {};
  if (left.is_integral() && right.is_integral()) return whole(evaluation, how, left.integral(), right.integral());
  if (left.is_number() && right.is_number()) return real(evaluation, how, left.number(), right.number());
  const bool list = joins(left, right, SequenceKind::kList) || joins(left, right, SequenceKind::kTuple);
  if (how == Operator::kModulo && left.is_text()) return formatted(evaluation, left, right);
  if (how == Operator::kAdd && left.is_markup() != right.is_markup() && left.is_text() && right.is_text()) {
    const Value first = escape_html(evaluation, left);
    const Value second = escape_html(evaluation, right);
    return evaluation.failed() ? Value() : arithmetic(evaluation, how, first, second);
  }
  if (how == Operator::kAdd && left.is_text() && right.is_text()) {
    const TextPart first(left.marked()), second(right.marked());
    const std::size_t marks = first.mark_count() + second.mark_count();
    if (!evaluation.spend_bytes(first.size() + second.size() + marks * sizeof(text::ByteRange))) return {};
    text::MarkedText out;
    append(out, first);
    append(out, second);
    const Value sum = evaluation.text(std::move(out));
    return left.is_markup() ? evaluation.as_markup(sum, true) : sum;
  }
  if (how == Operator::kAdd && list) {
    if (!evaluation.claim((left.sequence().items.size() + right.sequence().items.size()) * sizeof(Value))) return {};
    std::vector<Value> items = left.sequence().items;
    items.insert(items.end(), right.sequence().items.begin(), right.sequence().items.end());
    return evaluation.sequence(left.sequence().kind, std::move(items));
  }
  const auto repeats = [](const Value& value) {
    return value.is_text() || value.is_sequence(SequenceKind::kList) || value.is_sequence(SequenceKind::kTuple);
  };
  if (how == Operator::kMultiply && repeats(left) && right.is_integral()) return repeated(evaluation, left, right.integral());
  if (how == Operator::kMultiply && repeats(right) && left.is_integral()) return repeated(evaluation, right, left.integral());
  return not_between(evaluation, how, left, right);
}

Value negate(Evaluation& evaluation, const Value& value) {
  if (value.is_integral()) return whole(evaluation, Operator::kSubtract, 0, value.integral());
  if (const double* real = value.as<double>()) return Value::real(-*real);
  return evaluation.refuse(std::string("\"-\" before ") + value.type_name() + " is not supported");
}

std::int64_t length(Evaluation& evaluation, const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_text()) return evaluation.spend_bytes(value.view().size()) ? characters(value.view()) : 0;
  if (value.as<Value::DictPtr>() != nullptr) return static_cast<std::int64_t>(value.dict().entries.size());
  if (value.as<Value::SequencePtr>() != nullptr && !value.is_sequence(SequenceKind::kGenerator))
    return static_cast<std::int64_t>(value.sequence().items.size());
  evaluation.refuse(std::string("a ") + value.type_name() + " has no length");
  return 0;
}

std::optional<Value> item(Evaluation& evaluation, const Value& value, const Value& index) {
  if (!evaluation.spend()) return std::nullopt;
  if (value.as<Value::DictPtr>() != nullptr) {
    if (!index.is_key() || !evaluation.spend(value.dict().entries.size() / 8 + 1)) return std::nullopt;
    const Value* found = value.dict().find(index);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  if (!index.is_integral()) return std::nullopt;
  const bool sequence = value.as<Value::SequencePtr>() != nullptr && !value.is_sequence(SequenceKind::kGenerator) &&
                        !value.is_sequence(SequenceKind::kView);
  if (!sequence && !value.is_text()) return std::nullopt;
  const std::int64_t size = length(evaluation, value);
  const std::int64_t at = index.integral() < 0 ? index.integral() + size : index.integral();
  if (at < 0 || at >= size) return std::nullopt;
  if (sequence) return value.sequence().items[static_cast<std::size_t>(at)];
  const TextPart rest = TextPart(value.marked()).part(offset_of(value.view(), at));
  return evaluation.as_markup(evaluation.text(rest.part(0, text::first_code_point(rest.bytes()).size)), value.is_markup());
}

Value slice(Evaluation& evaluation, const Value& value, const Value& begin, const Value& end, const Value& step) {
  const bool list = value.is_sequence(SequenceKind::kList) || value.is_sequence(SequenceKind::kTuple) ||
                    value.is_sequence(SequenceKind::kRange);
  if (!list && !value.is_text()) return evaluation.refuse(std::string("a slice of a ") + value.type_name() + " is not supported");
  const auto bounds = bounds_of(evaluation, length(evaluation, value), begin, end, step);
  if (!bounds || evaluation.failed()) return {};
  if (value.is_text() && bounds->step == 1) {
    const TextPart rest = TextPart(value.marked()).part(offset_of(value.view(), bounds->begin));
    const std::size_t size = bounds->begin < bounds->end ? offset_of(rest.bytes(), bounds->end - bounds->begin) : 0;
    return evaluation.as_markup(evaluation.text(rest.part(0, size)), value.is_markup());
  }
  const std::vector<Value> items = list ? std::vector<Value>() : evaluation.items_of(value);
  const std::vector<Value>& from = list ? value.sequence().items : items;
  std::vector<Value> taken;
  for (std::int64_t at = bounds->begin; evaluation.spend() && (bounds->step > 0 ? at < bounds->end : at > bounds->end);) {
    taken.push_back(from[static_cast<std::size_t>(at)]);
    if (__builtin_add_overflow(at, bounds->step, &at)) break;
  }
  if (list) return evaluation.sequence(value.sequence().kind, std::move(taken));
  text::MarkedText out;
  for (const Value& character : taken) append(out, character.marked());
  return evaluation.as_markup(evaluation.text(std::move(out)), value.is_markup());
}

}  // namespace herd::jinja
