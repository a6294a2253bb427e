// Filters that walk lists and dicts.

#include <algorithm>

#include "endpoint/jinja/attributes.h"
#include "endpoint/jinja/filter_table.h"
#include "endpoint/jinja/filters.h"
#include "endpoint/jinja/operators.h"
#include "endpoint/jinja/text_case.h"
#include "endpoint/jinja/text_operations.h"
#include "endpoint/jinja/value_tests.h"

namespace herd::jinja {
namespace {

constexpr std::size_t kMapArgumentsMax = 8;  // each may be a map inside the one before

// An attribute by a dotted path: "function.name".
Value path_of(Evaluation& evaluation, const Value& value, const Value& path) {
  if (path.is_integral()) return subscript(evaluation, value, path);
  if (!path.is_text()) return evaluation.refuse("the name of an attribute must be a text");
  Value at = value;
  std::string_view rest = path.view();
  for (bool more = true; more && !evaluation.failed();) {
    const std::size_t dot = rest.find('.');
    const std::string_view name = rest.substr(0, dot);
    if (!name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos)
      return evaluation.refuse("a number in the path of an attribute is not supported");
    at = subscript(evaluation, at, Value::text(std::string(name)));
    more = dot != std::string_view::npos;
    if (more) rest.remove_prefix(dot + 1);
  }
  return at;
}

// What an element is ordered or told apart by.
Value keyed_by(Evaluation& evaluation, const Value& item, const std::optional<Value>& attribute) {
  return attribute && !attribute->is_none() ? path_of(evaluation, item, *attribute) : item;
}

Value listed(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "list", {});
  return evaluation.sequence(SequenceKind::kList, evaluation.items_of(value));
}

template <bool kFirst>
Value end_of(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, kFirst ? "first" : "last", {});
  if (!kFirst && value.is_sequence(SequenceKind::kGenerator)) return evaluation.refuse("last: a generator has no last");
  const std::vector<Value> items = evaluation.items_of(value);
  if (items.empty()) return Value::undefined("No first or last item, sequence was empty.");
  if (value.is_text()) return kFirst ? items.front() : evaluation.as_markup(items.back(), value.is_markup());  // as Python walks Markup
  return kFirst ? items.front() : items.back();
}

Value joined(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "join", {"d", "attribute"});
  std::vector<Value> items = evaluation.items_of(value);
  if (given[1] && !given[1]->is_none()) {
    for (Value& item : items) item = path_of(evaluation, item, *given[1]);
  }
  if (given[0] && !given[0]->is_text()) return evaluation.refuse("join: the separator must be a text");
  return join(evaluation, given[0] ? TextPart(given[0]->marked()) : TextPart::own(""), items, false);
}

Value entries_of(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "items", {});
  if (value.is_undefined()) return evaluation.sequence(SequenceKind::kGenerator, {});
  if (value.as<Value::DictPtr>() == nullptr) return evaluation.refuse(std::string("items: of a ") + value.type_name());
  std::vector<Value> entries;
  for (const auto& [name, entry] : value.dict().entries)
    entries.push_back(evaluation.sequence(SequenceKind::kTuple, {name, entry}));
  return evaluation.sequence(SequenceKind::kGenerator, std::move(entries));
}

// What texts are ordered and told apart by: their lower case, unless case counts.
Value folded(Evaluation& evaluation, const Value& value, bool case_counts) {
  return value.is_text() && !case_counts ? change_case(evaluation, value.marked(), Case::kLower) : value;
}

// A stable insertion sort: its cost is counted step by step, and no comparison can break it.
void sort_by(Evaluation& evaluation, std::vector<std::pair<Value, Value>>& keyed, bool reverse) {
  for (std::size_t i = 1; i < keyed.size() && evaluation.spend(); ++i) {
    for (std::size_t at = i; at > 0 && evaluation.spend(); --at) {
      const Value& left = keyed[at - 1].first;
      const Value& right = keyed[at].first;
      if (!(reverse ? less(evaluation, left, right) : less(evaluation, right, left))) break;
      std::swap(keyed[at - 1], keyed[at]);
    }
  }
}

Value sorted_entries(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "dictsort", {"case_sensitive", "by", "reverse"});
  if (value.as<Value::DictPtr>() == nullptr) return evaluation.refuse(std::string("dictsort: of a ") + value.type_name());
  const std::string_view by = !given[1] ? "key" : given[1]->is_text() ? given[1]->view() : "";
  if (by != "key" && by != "value") return evaluation.refuse("dictsort: only by key or value");
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, entry] : value.dict().entries) {
    keyed.emplace_back(folded(evaluation, by == "key" ? key : entry, given[0] && truth(*given[0])),
                       evaluation.sequence(SequenceKind::kTuple, {key, entry}));
    if (evaluation.failed()) return {};
  }
  sort_by(evaluation, keyed, given[2] && truth(*given[2]));
  std::vector<Value> entries;
  for (auto& [key, entry] : keyed) entries.push_back(std::move(entry));
  return evaluation.sequence(SequenceKind::kList, std::move(entries));
}

Value sorted(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "sort", {"reverse", "case_sensitive", "attribute"});
  if (given[2] && given[2]->is_text() && given[2]->view().find(',') != std::string_view::npos)
    return evaluation.refuse("sort: by several attributes is not supported");
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : evaluation.items_of(value)) {
    keyed.emplace_back(folded(evaluation, keyed_by(evaluation, item, given[2]), given[1] && truth(*given[1])), item);
    if (evaluation.failed()) return {};
  }
  sort_by(evaluation, keyed, given[0] && truth(*given[0]));
  std::vector<Value> items;
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return evaluation.sequence(SequenceKind::kList, std::move(items));
}

Value unique(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "unique", {"case_sensitive", "attribute"});
  std::vector<Value> seen;
  std::vector<Value> items;
  for (const Value& item : evaluation.items_of(value)) {
    const Value key = folded(evaluation, keyed_by(evaluation, item, given[1]), given[0] && truth(*given[0]));
    if (evaluation.failed()) return {};
    if (!key.is_key()) return evaluation.refuse(std::string("unique: of a ") + key.type_name() + " is not supported");
    const bool known = std::ranges::any_of(seen, [&](const Value& other) { return equal(evaluation, key, other); });
    if (evaluation.failed()) return {};
    if (known) continue;
    seen.push_back(key);
    items.push_back(item);
  }
  return evaluation.sequence(SequenceKind::kGenerator, std::move(items));
}

Value reversed(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  (void)arguments.bind(evaluation, "reverse", {});
  if (value.is_undefined() || value.is_sequence(SequenceKind::kGenerator))
    return evaluation.refuse(std::string("reverse: of a ") + value.type_name());
  std::vector<Value> items = evaluation.items_of(value);
  std::ranges::reverse(items);
  if (value.is_text()) return join(evaluation, TextPart::own(""), items, true);
  return evaluation.sequence(SequenceKind::kGenerator, std::move(items));
}

// Lists of `count` elements, the last filled up when something is given for that.
Value batched(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "batch", {"linecount", "fill_with"}, 1);
  if (evaluation.failed() || !given[0]->is_integral() || given[0]->integral() < 1) return evaluation.refuse("batch: needs a count");
  const auto count = static_cast<std::size_t>(std::min<std::int64_t>(given[0]->integral(), 1 << 20));
  const std::vector<Value> items = evaluation.items_of(value);
  std::vector<Value> batches;
  for (std::size_t at = 0; at < items.size() && !evaluation.failed(); at += count) {
    const std::size_t end = std::min(at + count, items.size());
    std::vector<Value> batch(items.begin() + static_cast<std::ptrdiff_t>(at), items.begin() + static_cast<std::ptrdiff_t>(end));
    const bool fills = given[1] && !given[1]->is_none();
    if (fills && evaluation.claim((count - batch.size()) * sizeof(Value))) batch.resize(count, *given[1]);
    batches.push_back(evaluation.sequence(SequenceKind::kList, std::move(batch)));
  }
  return evaluation.sequence(SequenceKind::kGenerator, std::move(batches));
}

Value summed(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, "sum", {"attribute", "start"});
  Value total = given[1] ? *given[1] : Value::integer(0);
  if (!total.is_number()) return evaluation.refuse("sum: only of numbers");
  for (const Value& item : evaluation.items_of(value)) {
    const bool named = given[0] && !given[0]->is_none();
    total = arithmetic(evaluation, Operator::kAdd, total, named ? path_of(evaluation, item, *given[0]) : item);
  }
  return total;
}

template <bool kLargest>
Value extreme(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  const auto given = arguments.bind(evaluation, kLargest ? "max" : "min", {"case_sensitive", "attribute"});
  const bool case_counts = given[0] && truth(*given[0]);
  const std::vector<Value> items = evaluation.items_of(value);
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  std::size_t best = 0;
  Value best_key = folded(evaluation, keyed_by(evaluation, items[0], given[1]), case_counts);
  for (std::size_t i = 1; i < items.size() && !evaluation.failed(); ++i) {
    const Value key = folded(evaluation, keyed_by(evaluation, items[i], given[1]), case_counts);
    if (!(kLargest ? less(evaluation, best_key, key) : less(evaluation, key, best_key))) continue;
    best = i;
    best_key = key;
  }
  return items[best];
}

// What Jinja2 finds nothing in without walking it: none, 0, an empty list.
std::vector<Value> items_if_true(Evaluation& evaluation, const Value& value) {
  return truth(value) ? evaluation.items_of(value) : std::vector<Value>();
}

Value mapped(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  std::vector<Value> out;
  if (arguments.positional.empty()) {
    const auto given = arguments.bind(evaluation, "map", {"attribute", "default"}, 1);
    for (const Value& item : items_if_true(evaluation, value)) {
      if (evaluation.failed() || !given[0]) return {};
      const Value found = path_of(evaluation, item, *given[0]);
      out.push_back(found.is_undefined() && given[1] ? *given[1] : found);
    }
    return evaluation.sequence(SequenceKind::kGenerator, std::move(out));
  }
  if (arguments.positional.size() > kMapArgumentsMax) return evaluation.refuse("map: too many arguments");
  Arguments rest = arguments;
  const Value name = rest.positional.front();
  rest.positional.erase(rest.positional.begin());
  if (!name.is_text()) return evaluation.refuse("map: the name of a filter must be a text");
  for (const Value& item : items_if_true(evaluation, value)) {
    if (evaluation.failed()) return {};
    out.push_back(apply_filter(evaluation, name.view(), item, rest));
  }
  return evaluation.sequence(SequenceKind::kGenerator, std::move(out));
}

// select, reject (test, arguments…) and selectattr, rejectattr (attribute, test, arguments…); no test is truth.
template <bool kKeep, bool kAttribute>
Value chosen(Evaluation& evaluation, const Value& value, const Arguments& arguments) {
  Arguments rest = arguments;
  const auto take = [&rest] {
    Value first = rest.positional.front();
    rest.positional.erase(rest.positional.begin());
    return first;
  };
  if (kAttribute && rest.positional.empty()) return evaluation.refuse("selectattr: the attribute is missing");
  const Value attribute = kAttribute ? take() : Value();
  const bool tests = !rest.positional.empty();
  const Value test = tests ? take() : Value();
  if (tests && !test.is_text()) return evaluation.refuse("the name of a test must be a text");
  if (!tests && !rest.named.empty()) return evaluation.refuse("select: named arguments without a test");
  std::vector<Value> items;
  for (const Value& item : items_if_true(evaluation, value)) {
    const Value judged = kAttribute ? path_of(evaluation, item, attribute) : item;
    const bool holds = tests ? apply_test(evaluation, test.view(), judged, rest) : truth(judged);
    if (evaluation.failed()) return {};
    if (holds == kKeep) items.push_back(item);
  }
  return evaluation.sequence(SequenceKind::kGenerator, std::move(items));
}

constexpr Filter kFilters[] = {
    {"list", listed}, {"first", end_of<true>}, {"last", end_of<false>}, {"join", joined}, {"items", entries_of},
    {"dictsort", sorted_entries}, {"sort", sorted}, {"unique", unique}, {"reverse", reversed}, {"batch", batched}, {"sum", summed},
    {"min", extreme<false>}, {"max", extreme<true>}, {"map", mapped}, {"select", chosen<true, false>},
    {"reject", chosen<false, false>}, {"selectattr", chosen<true, true>}, {"rejectattr", chosen<false, true>}};

}  // namespace

std::span<const Filter> sequence_filters() { return kFilters; }

}  // namespace herd::jinja
