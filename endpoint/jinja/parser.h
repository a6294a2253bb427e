#pragma once
// Tokens -> tree. What it does not know it refuses by name. Grammar and precedence are Jinja2's.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "endpoint/jinja/lexer.h"
#include "endpoint/jinja/limits.h"
#include "endpoint/jinja/syntax.h"

namespace herd::jinja {

struct Spelling;  // of an operator

// The first error stays; what is parsed after it is thrown away.
class Parser {
 public:
  Parser(std::vector<Token> tokens, const Limits& limits) : tokens_(std::move(tokens)), limits_(limits) {}

  [[nodiscard]] Expected<Body> parse();

 private:
  enum class Place : std::uint8_t { kTop, kInner };  // a macro is allowed at the top, inside ifs

  [[nodiscard]] const Token& token(std::size_t ahead = 0) const;
  [[nodiscard]] bool is(TokenKind kind, std::string_view text, std::size_t ahead = 0) const;
  [[nodiscard]] bool is_operator(std::string_view text, std::size_t ahead = 0) const;
  [[nodiscard]] bool is_name(std::string_view text, std::size_t ahead = 0) const;
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  Token next();
  void expect_operator(std::string_view text);
  std::string expect_name(std::string_view what);
  void expect_block_end();
  void refuse(const std::string& what);
  [[nodiscard]] bool failed() const { return !error_.empty(); }

  // parser.cc: statements
  Body parse_body(std::initializer_list<std::string_view> ends);  // stops before the name of one of them
  void end_block(std::string_view end);
  std::unique_ptr<Statement> parse_statement();
  void parse_if(Statement& statement);
  void parse_for(Statement& statement);
  void parse_set(Statement& statement);
  void parse_macro(Statement& statement);
  void parse_with(Statement& statement);
  Target parse_target(bool attributes);
  Body parse_inner(std::string_view end);  // of a statement that no break may leave

  // parse_expression.cc
  ExpressionPtr parse_expression();
  ExpressionPtr parse_tuple(bool conditional);
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_compare();
  // Operators of one level; `tighter` parses what stands between them.
  ExpressionPtr parse_left_to_right(std::span<const Spelling> operators, ExpressionPtr (*tighter)(Parser&));
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concatenation();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool filters);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_parenthesis();
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_postfix(ExpressionPtr node);
  ExpressionPtr parse_subscript(ExpressionPtr node);
  ExpressionPtr parse_filters(ExpressionPtr node);
  ExpressionPtr parse_filter(ExpressionPtr node);  // behind the '|'
  ExpressionPtr parse_test(ExpressionPtr node);
  void parse_arguments(Expression& call);
  ExpressionPtr finish(std::unique_ptr<Expression> node);  // sets depth, refuses too deep a tree
  [[nodiscard]] std::unique_ptr<Expression> make(Expression::Kind kind) const;

  std::vector<Token> tokens_;
  const Limits& limits_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool breakable_ = false;
  int safe_filters_ = 0;  // that do not end a {{ … }}
  Place place_ = Place::kTop;
  std::string error_;
};

}  // namespace herd::jinja
