#include "endpoint/openai/json_document.h"

#include <string>
#include <utility>

#include <boost/json/value.hpp>

#include "endpoint/openai/json_fields.h"

namespace herd::openai {
namespace {

using herd::json::JsonProblem;

constexpr herd::json::JsonRules kRules{
    .depth_max = kJsonDepthMax, .values_max = kJsonValuesMax, .members_max = kJsonMembersMax, .unique_keys = true};

ApiError error_of(const JsonProblem& problem) {
  const std::string field = shown_key(problem.field);
  switch (problem.kind) {
    case JsonProblem::Kind::kTooManyValues:
      return bad_field(field, "the body holds more than 200000 JSON values");
    case JsonProblem::Kind::kTooManyMembers:
      return bad_field(field, "an object of the body holds more than 4096 members");
    case JsonProblem::Kind::kTooDeep:
      return bad_field(field, "the body is nested deeper than 32 levels");
    case JsonProblem::Kind::kKeyTwice:
      return bad_field(field, "the body holds the key " + field + " twice in one object");
    case JsonProblem::Kind::kNotJson:
      break;
  }
  std::string message = "the body is not valid JSON: " + problem.reason + " near byte " + std::to_string(problem.byte);
  if (!field.empty()) message += ", in or after the field " + field;
  return bad_field(field, std::move(message));
}

}  // namespace

const boost::json::object& JsonDocument::root() const { return *tree_.root().if_object(); }

ApiExpected<JsonDocument> JsonDocument::parse(std::string_view text) {
  auto tree = herd::json::JsonTree::parse(text, kRules);
  if (!tree) return refuse(error_of(tree.error()));
  if (!tree->root().is_object()) return refuse(bad_field("", "the body must be a JSON object"));
  return JsonDocument(std::move(*tree));
}

}  // namespace herd::openai
