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

std::unique_ptr<Expression> ExpressionParser::make(Expression::Kind kind) const {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = token().line;
  return node;
}

ExpressionPtr ExpressionParser::finish(std::unique_ptr<Expression> node) {
  for (const ExpressionPtr& operand : node->operands) {
    if (operand) node->depth = std::max(node->depth, operand->depth + 1);
  }
  for (const auto& [name, operand] : node->named) {
    if (operand) node->depth = std::max(node->depth, operand->depth + 1);
  }
  for (const ExpressionPtr* operand : {&node->starred, &node->double_starred}) {
    if (*operand) node->depth = std::max(node->depth, (*operand)->depth + 1);
  }
  if (node->depth > limits_.syntax_depth_max) refuse("an expression is nested too deeply");
  return node;
}

void ExpressionParser::refuse_unknown(const std::string& what, const Token& at) {
  if (!asks_first_ && !failed()) unknown_.push_back(at_place(at.line, at.column, what));
}

ExpressionPtr ExpressionParser::parse_expression() {
  const std::size_t unknown = unknown_.size();
  if (++depth_ > limits_.syntax_depth_max) refuse("nested too deeply");
  ExpressionPtr value = failed() ? finish(make(Expression::Kind::kConstant)) : parse_or();
  while (skip_name("if")) {
    auto node = make(Expression::Kind::kConditional);
    node->operands.push_back(std::move(value));
    node->operands.push_back(parse_or());
    node->operands.push_back(skip_name("else") ? parse_expression() : nullptr);
    value = finish(std::move(node));
    unknown_.resize(std::min(unknown, unknown_.size()));
  }
  --depth_;
  return value;
}

// One expression, or several with commas between them. Without `conditional`, an "if" is not part of it.
ExpressionPtr ExpressionParser::parse_tuple(bool conditional) {
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

ExpressionPtr ExpressionParser::parse_or() {
  ExpressionPtr left = parse_and();
  while (skip_name("or")) {
    auto node = make(Expression::Kind::kOr);
    node->operands.push_back(std::move(left));
    node->operands.push_back(parse_and());
    left = finish(std::move(node));
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_and() {
  ExpressionPtr left = parse_not();
  while (skip_name("and")) {
    auto node = make(Expression::Kind::kAnd);
    node->operands.push_back(std::move(left));
    node->operands.push_back(parse_not());
    left = finish(std::move(node));
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_not() {
  if (!is_name("not") || failed()) return parse_compare();
  auto node = make(Expression::Kind::kNot);
  next();
  if (++depth_ > limits_.syntax_depth_max) refuse("nested too deeply");
  node->operands.push_back(parse_not());
  --depth_;
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::parse_compare() {
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

ExpressionPtr ExpressionParser::parse_left_to_right(std::span<const Spelling> operators, ExpressionPtr (*tighter)(ExpressionParser&)) {
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

ExpressionPtr ExpressionParser::parse_sum() {
  return parse_left_to_right(kSums, [](ExpressionParser& parser) { return parser.parse_concatenation(); });
}

ExpressionPtr ExpressionParser::parse_concatenation() {
  auto node = make(Expression::Kind::kConcatenate);
  node->operands.push_back(parse_product());
  while (skip_operator("~")) node->operands.push_back(parse_product());
  if (node->operands.size() == 1) return std::move(node->operands.front());
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::parse_product() {
  return parse_left_to_right(kProducts, [](ExpressionParser& parser) { return parser.parse_power(); });
}

ExpressionPtr ExpressionParser::parse_power() {
  return parse_left_to_right(kPowers, [](ExpressionParser& parser) { return parser.parse_unary(true); });
}

ExpressionPtr ExpressionParser::parse_unary(bool filters) {
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

ExpressionPtr ExpressionParser::parse_primary() {
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
      uses_caller_ = uses_caller_ || name == "caller";
      uses_varargs_ = uses_varargs_ || name == "varargs";
      uses_kwargs_ = uses_kwargs_ || name == "kwargs";
    }
  } else if (first.kind == TokenKind::kString) {
    std::string text;
    while (token().kind == TokenKind::kString) text += next().text;  // one after the other is one
    node->constant = Value::text(std::move(text));
  } else if (first.kind == TokenKind::kInteger) {
    const char prefix = first.text.size() > 2 ? static_cast<char>(first.text[1] | 0x20) : '0';
    const int base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
    const std::string_view digits = std::string_view(first.text).substr(base == 10 ? 0 : 2);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
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

ExpressionPtr ExpressionParser::parse_parenthesis() {
  expect_operator("(");
  if (skip_operator(")")) return finish(make(Expression::Kind::kTuple));
  ExpressionPtr value = parse_tuple(true);
  expect_operator(")");
  return value;
}

ExpressionPtr ExpressionParser::parse_list() {
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

ExpressionPtr ExpressionParser::parse_dict() {
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

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr node) {
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

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr node) {
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

ExpressionPtr ExpressionParser::parse_filters(ExpressionPtr node) {
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

ExpressionPtr ExpressionParser::parse_filter(ExpressionPtr node) {
  auto filter = make(Expression::Kind::kFilter);
  filter->operands.push_back(std::move(node));
  const Token begin = token();
  filter->name = expect_name("the name of a filter");
  if (!is_filter(filter->name)) refuse_unknown("the filter \"" + filter->name.substr(0, 40) + "\" is not supported", begin);
  if (is_operator("(")) parse_arguments(*filter);
  return finish(std::move(filter));
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr node) {
  const bool negated = skip_name("not");
  auto test = make(Expression::Kind::kTest);
  test->operands.push_back(std::move(node));
  const Token begin = token();
  test->name = expect_name("the name of a test");
  if (!is_value_test(test->name)) refuse_unknown("the test \"" + test->name.substr(0, 40) + "\" is not supported", begin);
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

void ExpressionParser::parse_arguments(Expression& call) {
  expect_operator("(");
  bool first = true;
  while (!failed() && !is_operator(")")) {
    if (!first) expect_operator(",");
    first = false;
    if (is_operator(")")) break;
    if (call.double_starred) return refuse("an argument behind **");
    if (skip_operator("**")) {
      call.double_starred = parse_expression();
    } else if (skip_operator("*")) {
      if (call.starred) return refuse("two arguments with *");
      call.starred = parse_expression();
    } else if (token().kind == TokenKind::kName && is_operator("=", 1)) {
      std::string name = next().text;
      next();
      call.named.emplace_back(std::move(name), parse_expression());
    } else if (!call.named.empty() || call.starred) {
      return refuse("an argument without a name behind one with a name or *");
    } else {
      call.operands.push_back(parse_expression());
    }
  }
  expect_operator(")");
}

}  // namespace herd::jinja
