#include "endpoint/jinja/text_format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "endpoint/jinja/attributes.h"
#include "endpoint/jinja/operators.h"
#include "endpoint/jinja/value_text.h"
#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

constexpr std::int64_t kWidthMax = 10'000;
constexpr std::int64_t kPrecisionMax = 100;

// What stands between '%' or ':' and the conversion.
struct Specification {
  std::string_view fill = " ";
  char align = '\0';  // '<', '>', '^', '='
  char sign = '-';    // '+' and ' ' too
  bool alternate = false;
  bool zero = false;
  std::int64_t width = 0;
  char grouping = '\0';
  std::int64_t precision = -1;
  char type = '\0';
};

std::int64_t characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; });
}

// Digits at the front of `rest`, taken; -1: there are none.
std::int64_t take_number(std::string_view& rest) {
  std::int64_t number = -1;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (error != std::errc{} || rest.front() == '-') return error == std::errc::result_out_of_range ? kWidthMax + 1 : -1;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return number;
}

std::string printed(const char* format, int precision, double value) {
  char text[512];
  const int size = std::snprintf(text, sizeof text, format, precision, value);
  return std::string(text, static_cast<std::size_t>(std::clamp(size, 0, 511)));
}

// The digits of a number without sign or padding; empty: this type is not for this number.
std::string digits_of(Evaluation& evaluation, const Value& value, const Specification& specification) {
  const char type = specification.type;
  const std::string_view floats = "eEfFgG%";
  if (floats.find(type) != std::string_view::npos || (type == '\0' && value.as<double>() != nullptr)) {
    const double number = std::fabs(value.number());
    if (!std::isfinite(number)) return std::isnan(number) ? "nan" : "inf";
    if (type == '\0' && specification.precision < 0) return float_text(number);
    if (type == '\0') return {};
    const int precision = specification.precision < 0 ? 6 : static_cast<int>(specification.precision);
    if (type == '%') return printed("%.*f", precision, number * 100) + "%";
    const char format[] = {'%', '.', '*', type, '\0'};
    return printed(format, precision, number);
  }
  if (value.as<double>() != nullptr && (type == 'x' || type == 'X' || type == 'o' || type == 'b')) return {};
  if (std::fabs(value.number()) >= 9.2e18) {
    evaluation.refuse("a whole number beyond 64 bits is not supported");
    return {};
  }
  const std::int64_t whole = value.as<double>() != nullptr ? static_cast<std::int64_t>(value.number()) : value.integral();
  const int base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
  char text[72];
  const char* end = std::to_chars(text, text + sizeof text, whole < 0 ? -whole : whole, base).ptr;
  std::string digits(text, static_cast<std::size_t>(end - text));
  if (type == 'X') std::ranges::transform(digits, digits.begin(), [](char c) { return c >= 'a' ? static_cast<char>(c - 32) : c; });
  if (specification.alternate && base != 10) digits.insert(0, base == 16 ? (type == 'X' ? "0X" : "0x") : base == 8 ? "0o" : "0b");
  return digits;
}

std::string grouped(std::string digits, char separator) {
  std::size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  while (end > 3) digits.insert(end -= 3, 1, separator);
  return digits;
}

void append_number(Evaluation& evaluation, const Value& value, const Specification& specification, text::MarkedText& out) {
  std::string digits = digits_of(evaluation, value, specification);
  if (digits.empty()) {
    evaluation.refuse(std::string("format: this conversion of a ") + value.type_name() + " is not supported");
    return;
  }
  if (specification.grouping != '\0') digits = grouped(std::move(digits), specification.grouping);
  const std::string sign = std::signbit(value.number()) ? "-" : specification.sign == '-' ? "" : std::string(1, specification.sign);
  const char align = specification.align != '\0' ? specification.align : specification.zero ? '=' : '>';
  const auto missing = static_cast<std::size_t>(
      std::max<std::int64_t>(0, specification.width - static_cast<std::int64_t>(sign.size() + digits.size())));
  if (align == '=') {
    const std::string_view fill = specification.zero ? "0" : specification.fill;
    if (fill.size() != 1) {
      evaluation.refuse("format: this fill is not supported");
      return;
    }
    if (evaluation.claim(missing)) append(out, sign + std::string(missing, fill.front()) + digits, false);
    return;
  }
  const text::MarkedText number{sign + digits, {}};
  append_padded(evaluation, number, TextPart::own(specification.fill),
                align == '<' ? Align::kLeft : align == '^' ? Align::kCenterOfFormat : Align::kRight, specification.width, out);
}

void append_text(Evaluation& evaluation, const TextPart& text, const Specification& specification, text::MarkedText& out) {
  TextPart kept = text;
  if (specification.precision >= 0) {
    std::size_t size = 0;
    for (std::int64_t i = 0; i < specification.precision && size < text.size(); ++i)
      size += text::first_code_point(text.bytes().substr(size)).size;
    kept = text.part(0, size);
  }
  append_padded(evaluation, kept, TextPart::own(specification.fill),
                specification.align == '>' ? Align::kRight : specification.align == '^' ? Align::kCenterOfFormat : Align::kLeft,
                specification.width, out);
}

class PercentFormatter {
 public:
  PercentFormatter(Evaluation& evaluation, const TextPart& format, const Value& values)
      : evaluation_(evaluation), format_(format), values_(values) {}

  Value run() {
    std::string_view rest = format_.bytes();
    while (!rest.empty() && !evaluation_.failed()) {
      const std::string_view before = rest.substr(0, rest.find('%'));
      if (evaluation_.claim(before.size())) append(out_, format_.at(before));
      rest.remove_prefix(before.size());
      if (!rest.empty()) rest = convert(rest.substr(1));
    }
    const bool tuple = values_.is_sequence(SequenceKind::kTuple);
    const bool mapping = !tuple && !values_.is_number() && !values_.is_text() && !values_.is_none();  // any value with items
    if (!mapping && taken_ < (tuple ? values_.sequence().items.size() : 1))
      return evaluation_.refuse("%: not all values are used by the format");
    return evaluation_.text(std::move(out_));
  }

 private:
  Value next() {
    const bool tuple = values_.is_sequence(SequenceKind::kTuple);
    if (taken_ >= (tuple ? values_.sequence().items.size() : 1)) return evaluation_.refuse("%: there are not enough values for the format");
    return tuple ? values_.sequence().items[taken_++] : (++taken_, values_);
  }

  // Behind a '%'; what comes behind the conversion.
  std::string_view convert(std::string_view rest) {
    std::optional<Value> named;
    if (rest.starts_with('(')) {
      const std::string_view name = rest.substr(1, rest.find(')') - 1);
      if (values_.as<Value::DictPtr>() == nullptr || name.size() + 2 > rest.size()) return refuse("%: a name needs a dict of values");
      const Value* found = values_.dict().find(name);
      if (found == nullptr) return refuse("%: there is no value of this name");
      named = *found;
      rest.remove_prefix(name.size() + 2);
    }
    Specification specification;
    for (; !rest.empty() && std::string_view("-+ #0").find(rest.front()) != std::string_view::npos; rest.remove_prefix(1)) {
      if (rest.front() == '-') specification.align = '<';
      if (rest.front() == '+' || (rest.front() == ' ' && specification.sign != '+')) specification.sign = rest.front();
      if (rest.front() == '#') specification.alternate = true;
      if (rest.front() == '0') specification.zero = true;
    }
    if (rest.starts_with('*')) return refuse("%: a width of \"*\" is not supported");
    specification.width = std::max<std::int64_t>(0, take_number(rest));
    if (rest.starts_with('.')) {
      rest.remove_prefix(1);
      specification.precision = std::max<std::int64_t>(0, take_number(rest));
    }
    if (specification.width > kWidthMax || specification.precision > kPrecisionMax) return refuse("%: this width is not supported");
    if (rest.empty()) return refuse("%: the format ends inside a conversion");
    specification.type = rest.front();
    if (specification.type == '%') {
      append(out_, "%", false);
    } else {
      put(named ? *named : next(), specification);
    }
    return rest.substr(1);
  }

  void put(const Value& value, Specification specification) {
    if (evaluation_.failed()) return;
    if (specification.align == '<') specification.zero = false;
    const char type = specification.type;
    if (type == 's' || type == 'r') {
      if (specification.align == '\0') specification.align = '>';
      const text::MarkedText text = type == 's' ? str(evaluation_, value) : repr(evaluation_, value);
      return append_text(evaluation_, text, specification, out_);
    }
    if (std::string_view("diuxXoeEfFgG").find(type) == std::string_view::npos || !value.is_number()) {
      refuse(std::string("%: the conversion \"") + type + "\" of a " + value.type_name() + " is not supported");
      return;
    }
    const bool whole = type == 'd' || type == 'i' || type == 'u';
    if ((whole || type == 'x' || type == 'X' || type == 'o') && specification.precision >= 0) {
      refuse("%: a precision of a whole number is not supported");
      return;
    }
    if (whole) specification.type = 'd';
    append_number(evaluation_, value, specification, out_);
  }

  std::string_view refuse(const std::string& what) {
    evaluation_.refuse(what);
    return {};
  }

  Evaluation& evaluation_;
  TextPart format_;
  const Value& values_;
  std::size_t taken_ = 0;
  text::MarkedText out_;
};

class FieldFormatter {
 public:
  FieldFormatter(Evaluation& evaluation, const TextPart& format, const Arguments& arguments)
      : evaluation_(evaluation), format_(format), arguments_(arguments) {}

  Value run() {
    std::string_view rest = format_.bytes();
    while (!rest.empty() && !evaluation_.failed()) {
      const std::string_view before = rest.substr(0, rest.find_first_of("{}"));
      if (evaluation_.claim(before.size())) append(out_, format_.at(before));
      rest.remove_prefix(before.size());
      if (rest.empty()) break;
      if (rest.size() > 1 && rest[0] == rest[1]) {
        append(out_, format_.at(rest.substr(0, 1)));
        rest.remove_prefix(2);
        continue;
      }
      const std::size_t end = rest.find('}');
      if (rest[0] == '}' || end == std::string_view::npos) return evaluation_.refuse("format: a brace stands alone");
      field(rest.substr(1, end - 1));
      rest.remove_prefix(end + 1);
    }
    return evaluation_.text(std::move(out_));
  }

 private:
  void field(std::string_view field) {
    const std::size_t colon = field.find(':');
    const std::string_view specification = colon == std::string_view::npos ? "" : field.substr(colon + 1);
    std::string_view name = field.substr(0, colon);
    char conversion = '\0';
    if (const std::size_t mark = name.find('!'); mark != std::string_view::npos) {
      if (name.size() != mark + 2 || (name.back() != 's' && name.back() != 'r'))
        return refuse("format: this conversion is not supported");
      conversion = name.back();
      name = name.substr(0, mark);
    }
    if (specification.find('{') != std::string_view::npos || name.find('{') != std::string_view::npos)
      return refuse("format: a field inside a field is not supported");
    Value value = value_of(name);
    if (evaluation_.failed()) return;
    if (conversion != '\0') value = evaluation_.text(conversion == 's' ? str(evaluation_, value) : repr(evaluation_, value));
    put(value, specification);
  }

  Value value_of(std::string_view name) {
    const std::size_t first_size = std::min(name.find_first_of(".["), name.size());
    const std::string_view first = name.substr(0, first_size);
    Value value = first_of(first);
    for (name.remove_prefix(first_size); !name.empty() && !evaluation_.failed();) {
      if (name.front() == '.') {
        name.remove_prefix(1);
        const std::string_view part = name.substr(0, name.find_first_of(".["));
        value = attribute(evaluation_, value, part);
        name.remove_prefix(part.size());
      } else {
        const std::size_t end = name.find(']');
        if (name.front() != '[' || end == std::string_view::npos) return evaluation_.refuse("format: this field is not supported");
        std::string_view index = name.substr(1, end - 1);
        name.remove_prefix(end + 1);
        const std::string spelled(index);
        const std::int64_t number = index.empty() ? -1 : take_number(index);
        value = subscript(evaluation_, value, number >= 0 && index.empty() ? Value::integer(number) : Value::text(spelled));
      }
    }
    return value;
  }

  Value first_of(std::string_view name) {
    std::string_view rest = name;
    std::int64_t index = name.empty() ? next_++ : take_number(rest);
    if (name.empty() || (index >= 0 && rest.empty())) {
      (name.empty() ? counts_ : numbers_) = true;
      if (counts_ && numbers_) return evaluation_.refuse("format: fields with and without numbers");
      if (static_cast<std::size_t>(index) >= arguments_.positional.size()) return evaluation_.refuse("format: a value is missing");
      return arguments_.positional[static_cast<std::size_t>(index)];
    }
    for (const auto& [known, value] : arguments_.named) {
      if (known == name) return value;
    }
    return evaluation_.refuse("format: there is no value of this name");
  }

  void put(const Value& value, std::string_view spelled) {
    text::MarkedText made;
    if (spelled.empty()) {
      const TextPart text = str(evaluation_, value, made);
      if (evaluation_.claim(text.size() + text.mark_count() * sizeof(text::ByteRange))) append(out_, text);
      return;
    }
    const auto specification = read(spelled);
    if (!specification) return refuse("format: this specification is not supported");
    const char type = specification->type;
    if (value.is_text() && (type == '\0' || type == 's')) {
      if (specification->sign != '-' || specification->zero || specification->grouping != '\0' || specification->align == '=')
        return refuse("format: this specification of a text is not supported");
      return append_text(evaluation_, value.marked(), *specification, out_);
    }
    const bool number = value.is_number() && value.as<bool>() == nullptr;
    if (!number || type == 's' || (value.as<double>() != nullptr && type == 'd'))
      return refuse(std::string("format: this specification of a ") + value.type_name() + " is not supported");
    if (value.is_integral() && (type == '\0' || type == 'd') && specification->precision >= 0)
      return refuse("format: a precision of a whole number is not supported");
    append_number(evaluation_, value, *specification, out_);
  }

  // [[fill]align][sign][#][0][width][,|_][.precision][type]
  static std::optional<Specification> read(std::string_view rest) {
    Specification specification;
    const auto aligns = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
    const std::size_t fill = text::first_code_point(rest).size;
    if (rest.size() > fill && aligns(rest[fill])) {
      specification.fill = rest.substr(0, fill);
      specification.align = rest[fill];
      rest.remove_prefix(fill + 1);
    } else if (aligns(rest.front())) {
      specification.align = rest.front();
      rest.remove_prefix(1);
    }
    const auto take = [&rest](std::string_view any) {
      if (rest.empty() || any.find(rest.front()) == std::string_view::npos) return '\0';
      const char taken = rest.front();
      rest.remove_prefix(1);
      return taken;
    };
    if (const char sign = take("+- "); sign != '\0') specification.sign = sign;
    specification.alternate = take("#") != '\0';
    specification.zero = take("0") != '\0' && specification.align == '\0';
    if (!rest.empty()) specification.width = std::max<std::int64_t>(0, take_number(rest));
    specification.grouping = take(",_");
    if (take(".") != '\0') {
      specification.precision = rest.empty() ? -1 : take_number(rest);
      if (specification.precision < 0) return std::nullopt;
    }
    specification.type = take("sdxXobeEfFgG%");
    const bool grouped_zero = specification.zero && specification.grouping != '\0';
    if (!rest.empty() || specification.width > kWidthMax || specification.precision > kPrecisionMax || grouped_zero) return std::nullopt;
    return specification;
  }

  void refuse(const std::string& what) { evaluation_.refuse(what); }

  Evaluation& evaluation_;
  TextPart format_;
  const Arguments& arguments_;
  std::int64_t next_ = 0;
  bool counts_ = false;   // a field was without a number
  bool numbers_ = false;  // a field had one
  text::MarkedText out_;
};

}  // namespace

void append_padded(Evaluation& evaluation, const TextPart& text, const TextPart& fill, Align align, std::int64_t width,
                   text::MarkedText& out) {
  const std::int64_t size = characters(text.bytes());
  const std::int64_t missing = std::max<std::int64_t>(0, width - size);
  if (missing > kWidthMax) {
    evaluation.refuse("a width of more than " + std::to_string(kWidthMax) + " characters is not supported");
    return;
  }
  const std::size_t marks = text.mark_count() + fill.mark_count() * static_cast<std::size_t>(missing);
  if (!evaluation.claim(text.size() + fill.size() * static_cast<std::size_t>(missing) + marks * sizeof(text::ByteRange))) return;
  std::int64_t before = align == Align::kLeft ? 0 : align == Align::kRight ? missing : missing / 2;
  if (align == Align::kCenter) before += missing & width & 1;
  for (std::int64_t i = 0; i < before; ++i) append(out, fill);
  append(out, text);
  for (std::int64_t i = before; i < missing; ++i) append(out, fill);
}

Value format_percent(Evaluation& evaluation, const TextPart& format, const Value& values) {
  return PercentFormatter(evaluation, format, values).run();
}

Value format_fields(Evaluation& evaluation, const TextPart& format, const Arguments& arguments) {
  return FieldFormatter(evaluation, format, arguments).run();
}

}  // namespace herd::jinja
