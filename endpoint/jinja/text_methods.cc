#include "endpoint/jinja/text_methods.h"

#include <algorithm>

#include "endpoint/jinja/operators.h"
#include "endpoint/jinja/text_case.h"
#include "endpoint/jinja/text_format.h"
#include "endpoint/jinja/text_operations.h"
#include "endpoint/jinja/value_text.h"
#include "runtime/text/utf8.h"

namespace herd::jinja {
namespace {

struct TextMethod {
  std::string_view name;
  Value (*call)(Evaluation& evaluation, const Value& self, const Arguments& arguments);
};

using Given = std::vector<std::optional<Value>>;

// Arguments without names, as the methods of str take them.
Given take(Evaluation& evaluation, const Arguments& arguments, std::string_view method,
           std::initializer_list<std::string_view> parameters, std::size_t required) {
  if (!arguments.named.empty()) evaluation.refuse(std::string(method) + ": takes no named arguments");
  return arguments.bind(evaluation, method, parameters, required);
}

bool are_texts(Evaluation& evaluation, const Given& given, std::size_t count, const std::string& method) {
  for (std::size_t i = 0; i < count && !evaluation.failed(); ++i) {
    if (given[i] && !given[i]->is_text()) evaluation.refuse(method + ": needs a text, not a " + given[i]->type_name());
  }
  return !evaluation.failed();
}

bool is_whole(Evaluation& evaluation, const std::optional<Value>& value, const std::string& method) {
  if (value && !value->is_integral()) evaluation.refuse(method + ": needs a whole number, not a " + value->type_name());
  return !evaluation.failed();
}

template <Case kHow>
Value cased(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "upper, lower, …", {});
  return change_case(evaluation, self.marked(), kHow);
}

template <Ends kEnds>
Value stripped(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = take(evaluation, arguments, "strip", {"chars"}, 0);
  return strip(evaluation, self.marked(), given[0].value_or(Value::none()), kEnds);
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

template <bool kBegins>
Value has_end(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = take(evaluation, arguments, "startswith, endswith", {"prefix"}, 1);
  if (evaluation.failed()) return {};
  return Value::boolean(begins_or_ends(evaluation, self.view(), *given[0], kBegins));
}

template <bool kBegins>
Value without_end(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = take(evaluation, arguments, "removeprefix, removesuffix", {"prefix"}, 1);
  if (!are_texts(evaluation, given, 1, "removeprefix, removesuffix")) return {};
  const std::size_t size = given[0]->view().size();
  const TextPart text(self.marked());
  if (!begins_or_ends(evaluation, self.view(), *given[0], kBegins)) return self;
  return evaluation.text(kBegins ? text.part(size) : text.part(0, text.size() - size));
}

template <bool kRight>
Value cut(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "split", {"sep", "maxsplit"});
  if (!is_whole(evaluation, given[1], "split")) return {};
  const std::int64_t count = given[1] ? given[1]->integral() : -1;
  return (kRight ? split_right : split)(evaluation, self.marked(), given[0].value_or(Value::none()), count);
}

Value lines(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "splitlines", {"keepends"});
  if (given[0] && truth(*given[0])) return evaluation.refuse("splitlines: with their ends is not supported");
  if (!evaluation.spend_bytes(self.view().size())) return {};
  const TextPart text(self.marked());
  std::vector<Value> items;
  for (const std::string_view line : lines_of(evaluation, text.bytes())) {
    if (evaluation.failed()) return {};
    items.push_back(evaluation.text(text.at(line)));
  }
  return evaluation.sequence(SequenceKind::kList, std::move(items));
}

// (what is before the separator, it, what is behind it)
template <bool kLast>
Value partitioned(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = take(evaluation, arguments, "partition", {"sep"}, 1);
  if (!are_texts(evaluation, given, 1, "partition")) return {};
  const std::string_view separator = given[0]->view();
  if (separator.empty() || !evaluation.spend_bytes(self.view().size() + separator.size()))
    return evaluation.refuse("partition: the separator is empty");
  const TextPart text(self.marked());
  const std::size_t found = kLast ? find_last_text(text.bytes(), separator) : find_text(text.bytes(), separator);
  const bool none = found == std::string_view::npos;
  const std::size_t at = none ? (kLast ? 0 : text.size()) : found;
  const std::size_t size = none ? 0 : separator.size();
  return evaluation.sequence(SequenceKind::kTuple, {evaluation.text(text.part(0, at)), evaluation.text(text.part(at, size)),
                                                    evaluation.text(text.part(at + size))});
}

Value part_replaced(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = take(evaluation, arguments, "replace", {"old", "new", "count"}, 2);
  if (!are_texts(evaluation, given, 2, "replace") || !is_whole(evaluation, given[2], "replace")) return {};
  const Value fresh = self.is_markup() ? escape_html(evaluation, *given[1]) : *given[1];
  if (evaluation.failed()) return {};
  return replace(evaluation, self.marked(), given[0]->view(), fresh.marked(), given[2] ? given[2]->integral() : -1);
}

Value joined(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = take(evaluation, arguments, "join", {"iterable"}, 1);
  if (evaluation.failed() || given[0]->is_undefined()) return evaluation.refuse("join: of an undefined value");
  std::vector<Value> items = evaluation.items_of(*given[0]);
  if (self.is_markup()) {
    for (Value& item : items) item = escape_html(evaluation, item);
  }
  return join(evaluation, self.marked(), items, true);
}

// The first or last place of a text, counted in characters; -1: it is not there.
std::int64_t place_of(Evaluation& evaluation, const Value& self, const Given& given, bool last, const std::string& method) {
  if (!are_texts(evaluation, given, 1, method)) return -1;
  const std::string_view part = given[0]->view();
  if (!evaluation.spend_bytes(self.view().size() + part.size())) return -1;
  const std::size_t at = last ? find_last_text(self.view(), part) : find_text(self.view(), part);
  if (at == std::string_view::npos) return -1;
  return static_cast<std::int64_t>(
      std::ranges::count_if(self.view().substr(0, at), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

template <bool kLast, bool kMust>
Value found(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = take(evaluation, arguments, "find", {"sub"}, 1);
  const std::int64_t at = place_of(evaluation, self, given, kLast, "find");
  if (at < 0 && kMust) return evaluation.refuse("index: the text is not there");
  return Value::integer(at);
}

Value parts_counted(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = take(evaluation, arguments, "count", {"sub"}, 1);
  if (!are_texts(evaluation, given, 1, "count") || !evaluation.spend_bytes(self.view().size())) return {};
  const std::string_view part = given[0]->view();
  if (part.empty()) return Value::integer(length(evaluation, self) + 1);
  std::int64_t found = 0;
  for (std::size_t at = find_text(self.view(), part); at != std::string_view::npos && evaluation.spend();
       at = find_text(self.view(), part, at + part.size()))
    ++found;
  return Value::integer(found);
}

template <Align kAlign>
Value padded(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = take(evaluation, arguments, "center, ljust, rjust", {"width", "fillchar"}, 1);
  if (evaluation.failed() || !is_whole(evaluation, given[0], "center, ljust, rjust")) return {};
  Value fill = given[1].value_or(Value::text(std::string(" ")));
  if (!fill.is_text() || length(evaluation, fill) != 1) return evaluation.refuse("center, ljust, rjust: the fill is not one character");
  if (self.is_markup()) fill = escape_html(evaluation, fill);
  if (length(evaluation, fill) != 1) return evaluation.refuse("center, ljust, rjust: the fill is not one character");
  text::MarkedText out;
  append_padded(evaluation, self.marked(), fill.marked(), kAlign, given[0]->integral(), out);
  return evaluation.text(std::move(out));
}

Value filled_with_zeros(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  const auto given = take(evaluation, arguments, "zfill", {"width"}, 1);
  if (evaluation.failed() || !is_whole(evaluation, given[0], "zfill")) return {};
  const TextPart text(self.marked());
  const std::size_t sign = text.bytes().starts_with('-') || text.bytes().starts_with('+') ? 1 : 0;
  text::MarkedText out;
  append(out, text.part(0, sign));
  const std::int64_t width = given[0]->integral() - static_cast<std::int64_t>(sign);
  append_padded(evaluation, text.part(sign), TextPart::own("0"), Align::kRight, width, out);
  return evaluation.text(std::move(out));
}

Value fields_filled(Evaluation& evaluation, const Value& self, const Arguments& arguments) {
  if (self.is_markup()) return evaluation.refuse("format: of what \"safe\" gave is not supported");
  return format_fields(evaluation, self.marked(), arguments);
}

constexpr TextMethod kMethods[] = {
    {"upper", cased<Case::kUpper>}, {"lower", cased<Case::kLower>}, {"title", cased<Case::kTitle>},
    {"capitalize", cased<Case::kCapitalize>}, {"strip", stripped<Ends::kBoth>}, {"lstrip", stripped<Ends::kLeft>},
    {"rstrip", stripped<Ends::kRight>}, {"startswith", has_end<true>}, {"endswith", has_end<false>},
    {"removeprefix", without_end<true>}, {"removesuffix", without_end<false>}, {"split", cut<false>}, {"rsplit", cut<true>},
    {"splitlines", lines}, {"partition", partitioned<false>}, {"rpartition", partitioned<true>}, {"replace", part_replaced},
    {"join", joined}, {"find", found<false, false>}, {"rfind", found<true, false>}, {"index", found<false, true>},
    {"rindex", found<true, true>}, {"count", parts_counted}, {"center", padded<Align::kCenter>}, {"ljust", padded<Align::kLeft>},
    {"rjust", padded<Align::kRight>}, {"zfill", filled_with_zeros}, {"format", fields_filled}};

}  // namespace

Value call_text_method(Evaluation& evaluation, const Value& self, const std::string& name, const Arguments& arguments) {
  if (!evaluation.spend_bytes(self.view().size())) return {};
  const auto* method = std::ranges::find(kMethods, name, &TextMethod::name);
  if (method == std::end(kMethods)) return evaluation.refuse("the method " + name + " of a text is not supported");
  const Value result = method->call(evaluation, self, arguments);
  return self.is_markup() ? evaluation.as_markup(result, true) : result;
}

}  // namespace herd::jinja
