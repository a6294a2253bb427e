// Filters whose value is a text or a number.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "endpoint/jinja/attributes.h"
#include "endpoint/jinja/filter_table.h"
#include "endpoint/jinja/operators.h"
#include "endpoint/jinja/text_case.h"
#include "endpoint/jinja/text_methods.h"
#include "endpoint/jinja/text_operations.h"
#include "endpoint/jinja/value_text.h"
#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

// A method of str on what a value prints; Markup stays Markup, as the method of it gives it.
Value by_method(Evaluation& evaluation, const Value& value, const std::string& method, const Arguments& arguments) {
  const Value text = value.is_text() ? value : evaluation.text(str(evaluation, value));
  return evaluation.failed() ? Value() : call_text_method(evaluation, text, method, arguments);
}

Value upper(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  return by_method(evaluation, value, "upper", arguments);
}
Value lower(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  return by_method(evaluation, value, "lower", arguments);
}
Value capitalize(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  return by_method(evaluation, value, "capitalize", arguments);
}

Value title(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "title", {});
  text::MarkedText made;
  return change_case(evaluation, str(evaluation, value, made), Case::kTitleFilter);
}

Value safe(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "safe", {});
  return evaluation.as_markup(value.is_text() ? value : evaluation.text(str(evaluation, value)), true);
}

Value escaped(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "escape", {});
  return escape_html(evaluation, value);
}

Value escaped_always(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "forceescape", {});
  return escape_html(evaluation, evaluation.as_markup(value, false));
}

Value formatted(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  if (!arguments.named.empty()) return evaluation.refuse("format: named values are not supported");
  const Value text = value.is_text() ? value : evaluation.text(str(evaluation, value));
  return arithmetic(evaluation, Operator::kModulo, text, evaluation.sequence(SequenceKind::kTuple, arguments.positional));
}

Value centered(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "center", {"width"});
  return by_method(evaluation, value, "center", {{given[0].value_or(Value::integer(80))}, {}});
}

Value words_counted(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "wordcount", {});
  text::MarkedText made;
  const TextPart text = str(evaluation, value, made);
  if (!evaluation.spend_bytes(text.size())) return {};
  std::int64_t words = 0;
  bool inside = false;
  for (const char c : text.bytes()) {
    if (static_cast<unsigned char>(c) >= 0x80) return evaluation.refuse("wordcount: of letters beyond ASCII is not supported");
    const bool letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    words += letter && !inside ? 1 : 0;
    inside = letter;
  }
  return Value::integer(words);
}

// Numbers of floats as Python rounds them, half to even; "ceil" and "floor" too.
Value rounded(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "round", {"precision", "method"});
  const std::string_view method = given[1] && given[1]->is_text() ? given[1]->view() : "common";
  if (!value.is_number() || (given[0] && !(given[0]->is_integral() && given[0]->integral() == 0)))
    return evaluation.refuse("round: only of numbers, to whole ones");
  if (method == "common" && value.is_integral()) return Value::integer(value.integral());
  if (method == "common") return Value::real(std::nearbyint(value.number()));
  if (method != "ceil" && method != "floor") return evaluation.refuse("round: the method must be common, ceil or floor");
  return Value::real(method == "ceil" ? std::ceil(value.number()) : std::floor(value.number()));
}

Value attribute_of(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "attr", {"name"}, 1);
  if (evaluation.failed() || !given[0]->is_text()) return evaluation.refuse("attr: needs the name of an attribute");
  const bool has_items = value.as<Value::DictPtr>() != nullptr && !has_attribute(value, given[0]->view());
  return has_items ? Value::undefined(given[0]->view()) : attribute(evaluation, value, given[0]->view());
}

Value as_text(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "string", {});
  return value.is_text() ? value : evaluation.text(str(evaluation, value));
}

Value trim(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "trim", {"chars"});
  return by_method(evaluation, value, "strip", {{given[0].value_or(Value::none())}, {}});
}

Value replaced(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "replace", {"old", "new", "count"}, 2);
  if (evaluation.failed()) return {};
  std::int64_t count = -1;
  if (given[2] && !given[2]->is_none()) {
    if (!given[2]->is_integral()) return evaluation.refuse("replace: count must be a whole number");
    count = given[2]->integral();
  }
  text::MarkedText made_old, made_fresh, made;
  const std::string_view old = str(evaluation, *given[0], made_old).bytes();
  const TextPart fresh = str(evaluation, *given[1], made_fresh);
  return replace(evaluation, str(evaluation, value, made), old, fresh, count);
}

Value defaulted(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "default", {"default_value", "boolean"});
  const bool falsy = given[1] && truth(*given[1]) && !truth(value);
  if (!value.is_undefined() && !falsy) return value;
  return given[0] ? *given[0] : Value::text("");
}

Value counted(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "length", {});
  return Value::integer(length(evaluation, value));
}

Value absolute(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "abs", {});
  if (!value.is_number()) return evaluation.refuse(std::string("abs: of a ") + value.type_name());
  if (const double* real = value.as<double>()) return Value::real(std::fabs(*real));
  return value.integral() < 0 ? negate(evaluation, value) : Value::integer(value.integral());
}

// What int() and float() read in a text: decimal digits, for a float a point too. Other spellings are refused where
// Python might read them.
std::optional<double> read_number(Evaluation& evaluation, std::string_view text, bool& is_whole) {
  text = text::strip(text);
  std::string_view digits = text;
  if (!digits.empty() && (digits.front() == '-' || digits.front() == '+')) digits.remove_prefix(1);
  if (digits.empty()) return std::nullopt;
  const bool plain = digits.find_first_not_of("0123456789.") == std::string_view::npos;
  const auto points = std::count(digits.begin(), digits.end(), '.');
  if (!plain) {
    const bool number = digits.front() == '.' || (digits.front() >= '0' && digits.front() <= '9') ||
                        static_cast<unsigned char>(digits.front()) >= 0x80 || digits.front() == 'i' ||
                        digits.front() == 'I' || digits.front() == 'n' || digits.front() == 'N';
    if (number) evaluation.refuse("this spelling of a number is not supported");
    return std::nullopt;
  }
  if (points > 1 || digits == ".") return std::nullopt;
  is_whole = points == 0;
  return std::strtod(std::string(text).c_str(), nullptr);
}

Value as_integer(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "int", {"default"});
  const Value otherwise = given[0] ? *given[0] : Value::integer(0);
  if (value.is_undefined()) return evaluation.refuse("int: of an undefined value");
  if (value.is_integral()) return Value::integer(value.integral());
  std::optional<double> number;
  if (const double* real = value.as<double>()) number = *real;
  bool is_whole = false;
  if (value.is_text()) {
    number = read_number(evaluation, value.view(), is_whole);
    if (number && is_whole) {
      std::string_view text = text::strip(value.view());
      if (text.front() == '+') text.remove_prefix(1);
      std::int64_t whole = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
      if (error != std::errc{}) return evaluation.refuse("a whole number beyond 64 bits is not supported");
      return Value::integer(whole);
    }
  }
  if (!number || !std::isfinite(*number)) return otherwise;
  if (std::fabs(*number) >= 9.2e18) return evaluation.refuse("a whole number beyond 64 bits is not supported");
  return Value::integer(static_cast<std::int64_t>(*number));
}

Value as_real(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "float", {"default"});
  if (value.is_undefined()) return evaluation.refuse("float: of an undefined value");
  if (value.is_number()) return Value::real(value.number());
  bool is_whole = false;
  const auto number = value.is_text() ? read_number(evaluation, value.view(), is_whole) : std::nullopt;
  if (number) return Value::real(*number);
  return given[0] ? *given[0] : Value::real(0.0);
}

Value indented(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "indent", {"width", "first", "blank"});
  text::MarkedText indention{std::string(4, ' '), {}};
  if (given[0] && given[0]->is_text()) {
    indention = given[0]->marked();
  } else if (given[0]) {
    if (!given[0]->is_integral() || given[0]->integral() > 1000) return evaluation.refuse("indent: the width is not supported");
    indention.bytes.assign(static_cast<std::size_t>(std::max<std::int64_t>(0, given[0]->integral())), ' ');
  }
  const bool first = given[1] && truth(*given[1]);
  const bool blank = given[2] && truth(*given[2]);
  if (!value.is_text()) return evaluation.refuse(std::string("indent: of a ") + value.type_name());
  text::MarkedText ended = str(evaluation, value);
  append(ended, "\n", false);
  const TextPart whole(ended);
  text::MarkedText out;
  const auto lines = lines_of(evaluation, whole.bytes());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const bool moves = i == 0 ? first : blank || !lines[i].empty();
    const TextPart line = whole.at(lines[i]);
    const std::size_t marks = line.mark_count() + indention.foreign.size();
    if (!evaluation.claim(line.size() + indention.bytes.size() + 1 + marks * sizeof(text::ByteRange))) return {};
    if (i > 0) append(out, "\n", false);
    if (moves) append(out, indention);
    append(out, line);
  }
  return evaluation.as_markup(evaluation.text(std::move(out)), value.is_markup());
}

Value to_json(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "tojson", {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = given[0] && truth(*given[0]);
  style.sort_keys = given[3] && truth(*given[3]);
  if (given[1] && !given[1]->is_none()) {
    if (given[1]->is_text()) {
      style.indent = given[1]->marked();
    } else if (given[1]->is_integral() && given[1]->integral() <= 1000) {
      style.indent = text::MarkedText{std::string(static_cast<std::size_t>(std::max<std::int64_t>(0, given[1]->integral())), ' '), {}};
    } else {
      return evaluation.refuse("tojson: the indent is not supported");
    }
    style.item_separator.bytes.assign(1, ',');
  }
  if (given[2] && !given[2]->is_none()) {
    const bool pair = given[2]->as<Value::SequencePtr>() != nullptr && given[2]->sequence().items.size() == 2 &&
                      given[2]->sequence().items[0].is_text() && given[2]->sequence().items[1].is_text();
    if (!pair) return evaluation.refuse("tojson: separators must be two texts");
    style.item_separator = given[2]->sequence().items[0].marked();
    style.key_separator = given[2]->sequence().items[1].marked();
  }
  return evaluation.text(json(evaluation, value, style));
}

constexpr Filter kFilters[] = {
    {"upper", upper}, {"lower", lower}, {"title", title}, {"capitalize", capitalize}, {"string", as_text}, {"safe", safe},
    {"escape", escaped}, {"e", escaped}, {"forceescape", escaped_always}, {"format", formatted}, {"center", centered},
    {"wordcount", words_counted}, {"round", rounded}, {"attr", attribute_of}, {"trim", trim}, {"replace", replaced},
    {"default", defaulted}, {"d", defaulted}, {"length", counted}, {"count", counted}, {"abs", absolute},
    {"int", as_integer}, {"float", as_real}, {"indent", indented}, {"tojson", to_json}};

}  // namespace

std::span<const Filter> text_filters() { return kFilters; }

}  // namespace herd::jinja
