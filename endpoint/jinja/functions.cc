#include "endpoint/jinja/functions.h"

#include <algorithm>
#include <cstdio>

#include "endpoint/jinja/value_text.h"

namespace herd::jinja {
namespace {

constexpr std::int64_t kRangeMax = 100'000;  // the sandbox's

Value range(Evaluation& evaluation, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "range", {"start", "stop", "step"}, 1);
  if (evaluation.failed()) return {};
  for (const auto& part : given) {
    if (part && !part->is_integral()) return evaluation.refuse("range: needs whole numbers");
  }
  if (!arguments.named.empty()) return evaluation.refuse("range: takes no named arguments");
  const std::int64_t begin = given[1] ? given[0]->integral() : 0;
  const std::int64_t end = given[1] ? given[1]->integral() : given[0]->integral();
  const std::int64_t step = given[2] ? given[2]->integral() : 1;
  if (step == 0) return evaluation.refuse("range: the step is zero");
  std::vector<Value> items;
  for (std::int64_t at = begin; (step > 0 ? at < end : at > end) && evaluation.spend();) {
    if (items.size() >= static_cast<std::size_t>(kRangeMax)) return evaluation.refuse("range: more than 100000 numbers");
    items.push_back(Value::integer(at));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return evaluation.sequence(SequenceKind::kRange, std::move(items));
}

Value dict(Evaluation& evaluation, const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> entries;
  if (arguments.positional.size() > 1) return evaluation.refuse("dict: takes at most one argument without a name");
  if (!arguments.positional.empty()) {
    if (arguments.positional[0].as<Value::DictPtr>() == nullptr) return evaluation.refuse("dict: only of a dict");
    entries = arguments.positional[0].dict().entries;
  }
  for (std::size_t i = 0; i < arguments.named.size(); ++i) entries.emplace_back(arguments.name_of(i), arguments.named[i].second);
  return evaluation.dict(std::move(entries));
}

Value make_namespace(Evaluation& evaluation, const Arguments& arguments) {
  const Value initial = dict(evaluation, arguments);
  if (evaluation.failed()) return {};
  auto made = std::make_shared<Namespace>();
  for (const auto& [name, value] : initial.dict().entries) {
    if (!name.is_text()) return evaluation.refuse("namespace: needs texts as keys");
    made->attributes.insert_or_assign(std::string(name.view()), value);
  }
  return Value::of(std::move(made));
}

// What a format says that is a message's is the message's altogether.
Value strftime(Evaluation& evaluation, const TextPart& whole, const CivilTime& now) {
  const std::string_view format = whole.bytes();
  constexpr const char* kDays[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
  constexpr const char* kMonths[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};
  const auto digits = [](int width, int value) {
    char text[16];
    std::snprintf(text, sizeof text, "%0*d", width, value);
    return std::string(text);
  };
  const int hour = now.hour % 12 == 0 ? 12 : now.hour % 12;
  const std::string day = kDays[std::clamp(now.weekday, 0, 6)];
  const std::string month = kMonths[std::clamp(now.month, 1, 12) - 1];
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    switch (++i < format.size() ? format[i] : '\0') {
      case 'd': out += digits(2, now.day); break;
      case 'm': out += digits(2, now.month); break;
      case 'y': out += digits(2, now.year % 100); break;
      case 'Y': out += std::to_string(now.year); break;
      case 'H': out += digits(2, now.hour); break;
      case 'I': out += digits(2, hour); break;
      case 'M': out += digits(2, now.minute); break;
      case 'S': out += digits(2, now.second); break;
      case 'j': out += digits(3, now.day_of_year); break;
      case 'p': out += now.hour < 12 ? "AM" : "PM"; break;
      case 'a': out += day.substr(0, 3); break;
      case 'A': out += day; break;
      case 'b': out += month.substr(0, 3); break;
      case 'B': out += month; break;
      case '%': out += '%'; break;
      default: return evaluation.refuse("strftime_now: this part of the format is not supported");
    }
  }
  text::MarkedText text;
  append(text, out, whole.mark_count() > 0);
  return evaluation.text(std::move(text));
}

}  // namespace

std::optional<Function> find_function(std::string_view name) {
  if (name == "range") return Function::kRange;
  if (name == "dict") return Function::kDict;
  if (name == "namespace") return Function::kNamespace;
  if (name == "raise_exception") return Function::kRaiseException;
  if (name == "strftime_now") return Function::kStrftimeNow;
  return std::nullopt;
}

bool is_unsupported_global(std::string_view name) {
  return name == "cycler" || name == "joiner" || name == "lipsum" || name == "self";
}

Value call_function(Evaluation& evaluation, Function function, const Arguments& arguments,
                    const std::optional<CivilTime>& now) {
  switch (function) {
    case Function::kRange: return range(evaluation, arguments);
    case Function::kDict: return dict(evaluation, arguments);
    case Function::kNamespace: return make_namespace(evaluation, arguments);
    case Function::kRaiseException: {
      const auto given = arguments.bind(evaluation, "raise_exception", {"message"}, 1);
      if (evaluation.failed()) return {};
      return evaluation.refuse("the template refuses: " + str(evaluation, *given[0]).bytes);
    }
    case Function::kStrftimeNow: {
      const auto given = arguments.bind(evaluation, "strftime_now", {"format"}, 1);
      if (evaluation.failed() || !given[0]->is_text()) return evaluation.refuse("strftime_now: needs a text");
      if (!now) return evaluation.refuse("strftime_now: herd gives templates no clock");
      return strftime(evaluation, given[0]->marked(), *now);
    }
  }
  return {};
}

}  // namespace herd::jinja
