// The JSON both readers stand on: what a request may be (endpoint/openai) and what a checkpoint's files are.
#include "runtime/json/json_tree.h"

#include <gtest/gtest.h>

#include <boost/json/value.hpp>

namespace herd::json {
namespace {

JsonProblem problem_of(std::string_view text, const JsonRules& rules = {}) {
  const auto tree = JsonTree::parse(text, rules);
  EXPECT_FALSE(tree) << text;
  return tree ? JsonProblem{} : tree.error();
}

double number(std::string_view text) {
  const auto tree = JsonTree::parse(text, {});
  EXPECT_TRUE(tree) << text;
  return tree ? tree->root().get_double() : 0.0;
}

// Each is off by one in the last place where digits are scaled by a rounded power of ten.
TEST(JsonTree, ANumberIsTheNearestDouble) {
  EXPECT_EQ(number("7.038531e-26"), 7.038531e-26);
  EXPECT_EQ(number("1.7976931348623157e308"), 1.7976931348623157e308);
  EXPECT_EQ(number("5e-324"), 5e-324);
  EXPECT_EQ(number("0.1234567890123456789"), 0.1234567890123456789);
  EXPECT_EQ(number("9007199254740993.0"), 9007199254740993.0);
}

TEST(JsonTree, OfEqualKeysTheLastCountsOrTheTextIsRefused) {
  const std::string_view text = R"({"a": 1, "b": {"c": 2, "c": 3}})";
  const auto tree = JsonTree::parse(text, {});
  ASSERT_TRUE(tree);
  EXPECT_EQ(tree->root().at("b").at("c").as_int64(), 3);
  const JsonProblem problem = problem_of(text, {.unique_keys = true});
  EXPECT_EQ(problem.kind, JsonProblem::Kind::kKeyTwice);
  EXPECT_EQ(problem.field, "c");
  EXPECT_TRUE(JsonTree::parse(R"([{"a": 1}, {"a": 2}])", {.unique_keys = true}));
}

TEST(JsonTree, DepthAndValuesAreBounded) {
  EXPECT_TRUE(JsonTree::parse("[[[1]]]", {.depth_max = 3}));
  EXPECT_EQ(problem_of("[[[[1]]]]", {.depth_max = 3}).kind, JsonProblem::Kind::kTooDeep);
  EXPECT_TRUE(JsonTree::parse("[1, 2, 3]", {.values_max = 4}));
  EXPECT_EQ(problem_of("[1, 2, 3, 4]", {.values_max = 4}).kind, JsonProblem::Kind::kTooManyValues);
}

TEST(JsonTree, TheMembersOfOneObjectAreBounded) {
  const JsonRules rules{.members_max = 2};
  EXPECT_TRUE(JsonTree::parse(R"([{"a": 1, "b": 2}, {"c": {"d": 3, "e": 4}}])", rules));
  const JsonProblem problem = problem_of(R"({"first": 1, "second": {"a": 1, "b": 2, "c": 3}})", rules);
  EXPECT_EQ(problem.kind, JsonProblem::Kind::kTooManyMembers);
  EXPECT_EQ(problem.field, "second");
  EXPECT_EQ(problem_of(R"({"a": 1, "a": 2, "a": 3})", rules).kind, JsonProblem::Kind::kTooManyMembers);
}

TEST(JsonTree, AProblemNamesTheByteAndTheField) {
  const JsonProblem problem = problem_of(R"({"first": 1, "second": {"inner": ]}})");
  EXPECT_EQ(problem.kind, JsonProblem::Kind::kNotJson);
  EXPECT_EQ(problem.field, "second");
  EXPECT_EQ(problem.byte, 33U);
  EXPECT_FALSE(problem.reason.empty());
  EXPECT_EQ(problem_of("{} {}").byte, 3U);
}

TEST(JsonTree, ATreeKeepsItsValuesWhenItMoves) {
  auto tree = JsonTree::parse(R"({"a": "long enough to lie outside of the value itself"})", {});
  ASSERT_TRUE(tree);
  const JsonTree moved = std::move(*tree);
  EXPECT_EQ(moved.root().at("a").as_string(), "long enough to lie outside of the value itself");
}

}  // namespace
}  // namespace herd::json
