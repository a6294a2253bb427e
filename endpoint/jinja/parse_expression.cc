// Expressions of a template, one function a level of precedence, from the loosest to the tightest, as in Jinja2.

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <span>

#include "endpoint/jinja/filters.h"
#include "endpoint/jinja/parser.h"
#include "endpoint/jinja/value_tests.h"

namespace herd::jinja {

struct Spelling {
  std::string_view text;
  Operator meaning;
};

namespace {

constexpr Spelling kComparisons[] = {{"==", Operator::kEqual},     {"!=", Operator::kUnequal}, {"<=", Operator::kLessEqual},
                                     {">=", Operator::kGreaterEqual}, {"<", Operator::kLess},  {">", Operator::kGreater}};
constexpr Spelling kSums[] = {{"+", Operator::kAdd}, {"-", Operator::kSubtract}};
constexpr Spelling kProducts[] = {{"*", Operator::kMultiply}, {"/", Operator::kDivide},
                                  {"//", Operator::kFloorDivide}, {"%", Operator::kModulo}};
constexpr Spelling kPowers[] = {{"**", Operator::kPower}};

const Spelling* find(std::span<const Spelling> spellings, const Token& token) {
  if (token.kind != TokenKind::kOperator) return nullptr;
  for (const Spelling& spelling : spellings) {
    if (spelling.text == token.text) return &spelling;
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<Expression> Parser::make(Expression::Kind kind) const {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = token().line;
  return node;
}

ExpressionPtr Parser::finish(std::unique_ptr<Expression> node) {
  for (const ExpressionPtr& operand : node->operands) {
    if (operand) node->depth = std::max(node->depth, operand->depth + 1);
  }
  for (const auto& [name, operand] : node->named) {
    if (operand) node->depth = std::max(node->depth, operand->depth + 1);
  }
  if (node->depth > limits_.syntax_depth_max) refuse("an expression is nested too deeply");
  return node;
}

ExpressionPtr Parser::parse_expression() {
  if (++depth_ > limits_.syntax_depth_max) refuse("nested too deeply");
  ExpressionPtr value = failed() ? finish(make(Expression::Kind::kConstant)) : parse_or();
  while (skip_name("if")) {
    auto node = make(Expression::Kind::kConditional);
    node->operands.push_back(std::move(value));
    node->operands.push_back(parse_or());
    node->operands.push_back(skip_name("else") ? parse_expression() : nullptr);
    value = finish(std::move(node));
  }
  --depth_;
  return value;
}

// One expression, or several with commas between them. Without `conditional`, an "if" is not part of it.
ExpressionPtr Parser::parse_tuple(bool conditional) {
  auto tuple = make(Expression::Kind::kTuple);
  bool comma = false;
  do {
    const bool ends = token().kind == TokenKind::kBlockEnd || token().kind == TokenKind::kOutputEnd || is_operator(")");
    if (ends && !tuple->operands.empty()) break;
    tuple->operands.push_back(conditional ? parse_expression() : parse_or());
    comma = comma || is_operator(",");
  } while (skip_operator(","));
  if (!comma) return std::move(tuple->operands.front());
  return finish(std::move(tuple));
}

ExpressionPtr Parser::parse_or() {
  ExpressionPtr left = parse_and();
  while (skip_name("or")) {
    auto node = make(Expression::Kind::kOr);
    node->operands.push_back(std::move(left));
    node->operands.push_back(parse_and());
    left = finish(std::move(node));
  }
  return left;
}

ExpressionPtr Parser::parse_and() {
  ExpressionPtr left = parse_not();
  while (skip_name("and")) {
    auto node = make(Expression::Kind::kAnd);
    node->operands.push_back(std::move(left));
    node->operands.push_back(parse_not());
    left = finish(std::move(node));
  }
  return left;
}

ExpressionPtr Parser::parse_not() {
  if (!is_name("not") || failed()) return parse_compare();
  auto node = make(Expression::Kind::kNot);
  next();
  if (++depth_ > limits_.syntax_depth_max) refuse("nested too deeply");
  node->operands.push_back(parse_not());
  --depth_;
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_compare() {
  auto node = make(Expression::Kind::kCompare);
  node->operands.push_back(parse_sum());
  while (!failed()) {
    if (const Spelling* spelling = find(kComparisons, token())) {
      next();
      node->operators.push_back(spelling->meaning);
    } else if (is_name("in")) {
      next();
      node->operators.push_back(Operator::kIn);
    } else if (is_name("not") && is_name("in", 1)) {
      next();
      next();
      node->operators.push_back(Operator::kNotIn);
    } else {
      break;
    }
    node->operands.push_back(parse_sum());
  }
  if (node->operators.empty()) return std::move(node->operands.front());
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_left_to_right(std::span<const Spelling> operators, ExpressionPtr (*tighter)(Parser&)) {
  ExpressionPtr left = tighter(*this);
  while (const Spelling* spelling = failed() ? nullptr : find(operators, token())) {
    auto node = make(Expression::Kind::kArithmetic);
    next();
    node->operators.push_back(spelling->meaning);
    node->operands.push_back(std::move(left));
    node->operands.push_back(tighter(*this));
    left = finish(std::move(node));
  }
  return left;
}

ExpressionPtr Parser::parse_sum() {
  return parse_left_to_right(kSums, [](Parser& parser) { return parser.parse_concatenation(); });
}

ExpressionPtr Parser::parse_concatenation() {
  auto node = make(Expression::Kind::kConcatenate);
  node->operands.push_back(parse_product());
  while (skip_operator("~")) node->operands.push_back(parse_product());
  if (node->operands.size() == 1) return std::move(node->operands.front());
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_product() {
  return parse_left_to_right(kProducts, [](Parser& parser) { return parser.parse_power(); });
}

ExpressionPtr Parser::parse_power() {
  return parse_left_to_right(kPowers, [](Parser& parser) { return parser.parse_unary(true); });
}

ExpressionPtr Parser::parse_unary(bool filters) {
  ExpressionPtr value;
  if (++depth_ > limits_.syntax_depth_max) refuse("nested too deeply");
  if (!failed() && (is_operator("-") || is_operator("+"))) {
    auto node = make(is_operator("-") ? Expression::Kind::kNegate : Expression::Kind::kPlus);
    next();
    node->operands.push_back(parse_unary(false));
    value = finish(std::move(node));
  } else {
    value = parse_primary();
  }
  value = parse_postfix(std::move(value));
  if (filters) value = parse_filters(std::move(value));
  --depth_;
  return value;
}

ExpressionPtr Parser::parse_primary() {
  auto node = make(Expression::Kind::kConstant);
  if (failed()) return node;
  const Token& first = token();
  if (first.kind == TokenKind::kName) {
    const Token taken = next();
    const std::string& name = taken.text;
    if (name == "true" || name == "True" || name == "false" || name == "False") {
      node->constant = Value::boolean(name == "true" || name == "True");
    } else if (name == "none" || name == "None") {
      node->constant = Value::none();
    } else {
      node->kind = Expression::Kind::kName;
      node->name = name;
    }
  } else if (first.kind == TokenKind::kString) {
    std::string text;
    while (token().kind == TokenKind::kString) text += next().text;  // one after the other is one
    node->constant = Value::text(std::move(text));
  } else if (first.kind == TokenKind::kInteger) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(first.text.data(), first.text.data() + first.text.size(), value);
    if (error != std::errc{}) refuse("a whole number beyond 64 bits is not supported");
    node->constant = Value::integer(value);
    next();
  } else if (first.kind == TokenKind::kFloat) {
    node->constant = Value::real(std::strtod(next().text.c_str(), nullptr));
  } else if (is_operator("(")) {
    return parse_parenthesis();
  } else if (is_operator("[")) {
    return parse_list();
  } else if (is_operator("{")) {
    return parse_dict();
  } else {
    refuse(first.kind == TokenKind::kOperator ? "unexpected \"" + first.text + "\"" : "an expression is missing");
  }
  return node;
}

ExpressionPtr Parser::parse_parenthesis() {
  expect_operator("(");
  if (skip_operator(")")) return finish(make(Expression::Kind::kTuple));
  ExpressionPtr value = parse_tuple(true);
  expect_operator(")");
  return value;
}

ExpressionPtr Parser::parse_list() {
  auto node = make(Expression::Kind::kList);
  expect_operator("[");
  while (!failed() && !is_operator("]")) {
    if (!node->operands.empty()) expect_operator(",");
    if (is_operator("]")) break;
    node->operands.push_back(parse_expression());
  }
  expect_operator("]");
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_dict() {
  auto node = make(Expression::Kind::kDict);
  expect_operator("{");
  while (!failed() && !is_operator("}")) {
    if (!node->operands.empty()) expect_operator(",");
    if (is_operator("}")) break;
    node->operands.push_back(parse_expression());
    expect_operator(":");
    node->operands.push_back(parse_expression());
  }
  expect_operator("}");
  return finish(std::move(node));
}

ExpressionPtr Parser::parse_postfix(ExpressionPtr node) {
  while (!failed()) {
    if (is_operator(".") || is_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (is_operator("(")) {
      auto call = make(Expression::Kind::kCall);
      call->operands.push_back(std::move(node));
      parse_arguments(*call);
      node = finish(std::move(call));
    } else {
      break;
    }
  }
  return node;
}

ExpressionPtr Parser::parse_subscript(ExpressionPtr node) {
  if (skip_operator(".")) {
    auto attribute = make(Expression::Kind::kAttribute);
    attribute->operands.push_back(std::move(node));
    if (token().kind == TokenKind::kInteger) {
      attribute->kind = Expression::Kind::kItem;
      attribute->operands.push_back(parse_primary());
    } else {
      attribute->name = expect_name("an attribute");
    }
    return finish(std::move(attribute));
  }
  expect_operator("[");
  auto item = make(Expression::Kind::kItem);
  item->operands.push_back(std::move(node));
  if (is_operator(":")) {
    item->operands.push_back(nullptr);
  } else {
    item->operands.push_back(parse_expression());
  }
  if (is_operator(":")) {
    item->kind = Expression::Kind::kSlice;
    for (int part = 0; part < 2; ++part) {
      const bool given = skip_operator(":") && !is_operator(":") && !is_operator("]");
      item->operands.push_back(given ? parse_expression() : nullptr);
    }
  }
  if (is_operator(",")) refuse("a subscript of several parts is not supported");
  expect_operator("]");
  return finish(std::move(item));
}

ExpressionPtr Parser::parse_filters(ExpressionPtr node) {
  while (!failed()) {
    if (skip_operator("|")) {
      node = parse_filter(std::move(node));
    } else if (skip_name("is")) {
      node = parse_test(std::move(node));
    } else if (is_operator("(")) {
      auto call = make(Expression::Kind::kCall);
      call->operands.push_back(std::move(node));
      parse_arguments(*call);
      node = finish(std::move(call));
    } else {
      break;
    }
  }
  return node;
}

ExpressionPtr Parser::parse_filter(ExpressionPtr node) {
  auto filter = make(Expression::Kind::kFilter);
  filter->operands.push_back(std::move(node));
  filter->name = expect_name("the name of a filter");
  if (!failed() && !is_filter(filter->name)) refuse("the filter \"" + filter->name.substr(0, 40) + "\" is not supported");
  if (filter->name == "safe") ++safe_filters_;
  if (is_operator("(")) parse_arguments(*filter);
  return finish(std::move(filter));
}

ExpressionPtr Parser::parse_test(ExpressionPtr node) {
  const bool negated = skip_name("not");
  auto test = make(Expression::Kind::kTest);
  test->operands.push_back(std::move(node));
  test->name = expect_name("the name of a test");
  if (!failed() && !is_value_test(test->name)) refuse("the test \"" + test->name.substr(0, 40) + "\" is not supported");
  const Token& after = token();
  const bool bare = after.kind == TokenKind::kString || after.kind == TokenKind::kInteger || after.kind == TokenKind::kFloat ||
                    (after.kind == TokenKind::kName && !is_name("else") && !is_name("or") && !is_name("and")) ||
                    is_operator("[") || is_operator("{");
  if (is_operator("(")) {
    parse_arguments(*test);
  } else if (bare && !failed()) {
    if (is_name("is")) refuse("tests cannot be chained with \"is\"");
    // "is defined if", "is defined in": as in Jinja2, what stands there is the test's argument.
    test->operands.push_back(parse_postfix(parse_primary()));
  }
  ExpressionPtr tested = finish(std::move(test));
  if (!negated) return tested;
  auto denial = make(Expression::Kind::kNot);
  denial->operands.push_back(std::move(tested));
  return finish(std::move(denial));
}

void Parser::parse_arguments(Expression& call) {
  expect_operator("(");
  bool first = true;
  while (!failed() && !is_operator(")")) {
    if (!first) expect_operator(",");
    first = false;
    if (is_operator(")")) break;
    if (is_operator("*") || is_operator("**")) return refuse("arguments unpacked with * are not supported");
    if (token().kind == TokenKind::kName && is_operator("=", 1)) {
      std::string name = next().text;
      next();
      call.named.emplace_back(std::move(name), parse_expression());
    } else if (!call.named.empty()) {
      return refuse("an argument without a name behind one with a name");
    } else {
      call.operands.push_back(parse_expression());
    }
  }
  expect_operator(")");
}

}  // namespace herd::jinja
