#pragma once
// Python's operators on values: truth, equality, order, arithmetic, membership, subscripts.

#include <optional>

#include "endpoint/jinja/evaluation.h"
#include "endpoint/jinja/syntax.h"

namespace herd::jinja {

[[nodiscard]] bool truth(const Value& value);
[[nodiscard]] bool equal(Evaluation& evaluation, const Value& left, const Value& right);
[[nodiscard]] bool less(Evaluation& evaluation, const Value& left, const Value& right);
[[nodiscard]] bool contains(Evaluation& evaluation, const Value& container, const Value& value);
[[nodiscard]] bool compare(Evaluation& evaluation, Operator how, const Value& left, const Value& right);
[[nodiscard]] Value arithmetic(Evaluation& evaluation, Operator how, const Value& left, const Value& right);
[[nodiscard]] Value negate(Evaluation& evaluation, const Value& value);

// Characters, elements, entries; an error for what has no length.
[[nodiscard]] std::int64_t length(Evaluation& evaluation, const Value& value);

// value[index], for an index that is there; absent otherwise, as the sandbox then looks for an attribute.
[[nodiscard]] std::optional<Value> item(Evaluation& evaluation, const Value& value, const Value& index);
// value[begin:end:step]; none where a part is not given.
[[nodiscard]] Value slice(Evaluation& evaluation, const Value& value, const Value& begin, const Value& end, const Value& step);

}  // namespace herd::jinja
