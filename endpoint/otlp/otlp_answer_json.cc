#include "endpoint/otlp/otlp_answer_json.h"

#include <charconv>

#include <boost/json/value.hpp>

#include "runtime/json/json_tree.h"

namespace herd::otlp {
namespace {

// A 64-bit number is a decimal string; some write a JSON number.
std::uint64_t count_of(const boost::json::value& value) {
  if (value.is_int64()) return value.get_int64() > 0 ? static_cast<std::uint64_t>(value.get_int64()) : 0;
  if (!value.is_string()) return 0;
  const std::string_view digits = value.get_string();
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  return error == std::errc{} && end == digits.data() + digits.size() ? count : 0;
}

}  // namespace

TraceAnswer read_trace_answer(std::string_view body) {
  TraceAnswer answer;
  const auto tree = json::JsonTree::parse(body, {.depth_max = 8, .values_max = 1000});
  if (!tree || !tree->root().is_object()) return answer;
  const boost::json::value* partial = tree->root().get_object().if_contains("partialSuccess");
  if (partial == nullptr || !partial->is_object()) return answer;
  if (const auto* rejected = partial->get_object().if_contains("rejectedSpans")) answer.rejected = count_of(*rejected);
  const boost::json::value* why = partial->get_object().if_contains("errorMessage");
  if (why != nullptr && why->is_string()) answer.why = why->get_string();
  return answer;
}

}  // namespace herd::otlp
