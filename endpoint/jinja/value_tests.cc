#include "endpoint/jinja/value_tests.h"

#include <algorithm>

#include "endpoint/jinja/filters.h"
#include "endpoint/jinja/operators.h"
#include "endpoint/jinja/text_case.h"
#include "endpoint/jinja/value_text.h"

namespace herd::jinja {
namespace {

using Judge = bool (*)(Evaluation& evaluation, const Value& value, const Value& argument);

struct Test {
  std::string_view name;
  std::size_t arguments;
  Judge judge;
};

template <Operator kHow>
bool compares(Evaluation& evaluation, const Value& value, const Value& argument) {
  return compare(evaluation, kHow, value, argument);
}

bool is_truth(const Value& value, bool which) {
  const bool* truth = value.as<bool>();
  return truth != nullptr && *truth == which;
}

bool counts(const Value& value) {
  return value.is_text() || value.is_undefined() || value.as<Value::DictPtr>() != nullptr ||
         (value.as<Value::SequencePtr>() != nullptr && !value.is_sequence(SequenceKind::kGenerator) &&
          !value.is_sequence(SequenceKind::kView));
}

bool walks(const Value& value) {
  return counts(value) || value.as<Value::SequencePtr>() != nullptr || value.as<Value::LoopPtr>() != nullptr;
}

bool divisible(Evaluation& evaluation, const Value& value, const Value& by) {
  const Value rest = arithmetic(evaluation, Operator::kModulo, value, by);
  return !evaluation.failed() && equal(evaluation, rest, Value::integer(0));
}

template <bool (*kHolds)(const Value&)>
bool of_value(Evaluation& /*evaluation*/, const Value& value, const Value& /*argument*/) {
  return kHolds(value);
}

template <bool kOdd>
bool parity(Evaluation& evaluation, const Value& value, const Value& /*argument*/) {
  const Value rest = arithmetic(evaluation, Operator::kModulo, value, Value::integer(2));
  return !evaluation.failed() && equal(evaluation, rest, Value::integer(kOdd ? 1 : 0));
}

// An undefined value may be called too: that is an error of its own.
bool is_called(const Value& value) {
  return value.is_undefined() || (!value.is_data() && value.as<Value::NamespacePtr>() == nullptr);
}

// "is": of the objects that Python has one of.
bool same(Evaluation& evaluation, const Value& value, const Value& other) {
  const auto single = [](const Value& any) { return any.is_none() || any.as<bool>() != nullptr; };
  if (!single(value) && !single(other)) return evaluation.refuse("sameas: only with true, false and none"), false;
  return single(value) && single(other) && value.is_none() == other.is_none() && (value.is_none() || value.integral() == other.integral());
}

// A text with letters, all of one case.
template <bool kUpper>
bool of_case(Evaluation& evaluation, const Value& value, const Value& /*argument*/) {
  text::MarkedText made;
  const TextPart text = str(evaluation, value, made);
  if (std::ranges::any_of(text.bytes(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
    return evaluation.refuse("upper, lower: letters beyond ASCII are not supported"), false;
  const Value changed = change_case(evaluation, text, kUpper ? Case::kUpper : Case::kLower);
  const Value other = change_case(evaluation, text, kUpper ? Case::kLower : Case::kUpper);
  return !evaluation.failed() && changed.view() == text.bytes() && other.view() != text.bytes();
}

bool is_filter_name(Evaluation& evaluation, const Value& value, const Value& /*argument*/) {
  if (!value.is_text() && !value.is_key()) return evaluation.refuse("filter: needs the name of one"), false;
  if (!value.is_text()) return false;
  if (is_unsupported_filter(value.view())) evaluation.refuse("the filter \"" + std::string(value.view()) + "\" is not supported");
  return is_filter(value.view());
}

bool is_test_name(Evaluation& evaluation, const Value& value, const Value& /*argument*/) {
  if (!value.is_key()) return evaluation.refuse("test: needs the name of one"), false;
  return value.is_text() && is_value_test(value.view());
}

constexpr Test kTests[] = {
    {"defined", 0, of_value<[](const Value& value) { return !value.is_undefined(); }>},
    {"undefined", 0, of_value<[](const Value& value) { return value.is_undefined(); }>},
    {"none", 0, of_value<[](const Value& value) { return value.is_none(); }>},
    {"true", 0, of_value<[](const Value& value) { return is_truth(value, true); }>},
    {"false", 0, of_value<[](const Value& value) { return is_truth(value, false); }>},
    {"boolean", 0, of_value<[](const Value& value) { return value.as<bool>() != nullptr; }>},
    {"integer", 0, of_value<[](const Value& value) { return value.as<std::int64_t>() != nullptr; }>},
    {"float", 0, of_value<[](const Value& value) { return value.as<double>() != nullptr; }>},
    {"number", 0, of_value<[](const Value& value) { return value.is_number(); }>},
    {"string", 0, of_value<[](const Value& value) { return value.is_text(); }>},
    {"mapping", 0, of_value<[](const Value& value) { return value.as<Value::DictPtr>() != nullptr; }>},
    {"sequence", 0, of_value<counts>},
    {"iterable", 0, of_value<walks>},
    {"odd", 0, parity<true>},
    {"even", 0, parity<false>},
    {"divisibleby", 1, divisible},
    {"equalto", 1, compares<Operator::kEqual>},
    {"eq", 1, compares<Operator::kEqual>},
    {"ne", 1, compares<Operator::kUnequal>},
    {"lt", 1, compares<Operator::kLess>},
    {"lessthan", 1, compares<Operator::kLess>},
    {"le", 1, compares<Operator::kLessEqual>},
    {"gt", 1, compares<Operator::kGreater>},
    {"greaterthan", 1, compares<Operator::kGreater>},
    {"ge", 1, compares<Operator::kGreaterEqual>},
    {"in", 1, compares<Operator::kIn>},
    {"==", 1, compares<Operator::kEqual>},
    {"!=", 1, compares<Operator::kUnequal>},
    {"<", 1, compares<Operator::kLess>},
    {"<=", 1, compares<Operator::kLessEqual>},
    {">", 1, compares<Operator::kGreater>},
    {">=", 1, compares<Operator::kGreaterEqual>},
    {"callable", 0, of_value<is_called>},
    {"sameas", 1, same},
    {"lower", 0, of_case<false>},
    {"upper", 0, of_case<true>},
    {"escaped", 0, of_value<[](const Value& value) { return value.is_markup(); }>},
    {"filter", 0, is_filter_name},
    {"test", 0, is_test_name},
};

const Test* find(std::string_view name) {
  const auto* found = std::ranges::find(kTests, name, &Test::name);
  return found == std::end(kTests) ? nullptr : found;
}

}  // namespace

bool is_value_test(std::string_view name) { return find(name) != nullptr; }

bool apply_test(Evaluation& evaluation, std::string_view name, const Value& value, const Arguments& arguments) {
  if (!evaluation.spend()) return false;
  const Test* test = find(name);
  if (test == nullptr || arguments.positional.size() != test->arguments || !arguments.named.empty()) {
    evaluation.refuse("the test \"" + std::string(name.substr(0, 40)) + "\", or these arguments of it, are not supported");
    return false;
  }
  return test->judge(evaluation, value, test->arguments > 0 ? arguments.positional[0] : Value());
}

}  // namespace herd::jinja
