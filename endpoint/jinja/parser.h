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

// The tokens, the place in them, and the error. The first error stays; what is parsed after it is thrown away.
class TokenCursor {
 protected:
  TokenCursor(std::vector<Token> tokens, const Limits& limits) : limits_(limits), tokens_(std::move(tokens)) {}

  [[nodiscard]] const Token& token(std::size_t ahead = 0) const;
  [[nodiscard]] bool is(TokenKind kind, std::string_view text, std::size_t ahead = 0) const;
  [[nodiscard]] bool is_operator(std::string_view text, std::size_t ahead = 0) const;
  [[nodiscard]] bool is_name(std::string_view text, std::size_t ahead = 0) const;
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  Token next();
  void step_back() { --at_; }  // behind a next() that moved
  void expect_operator(std::string_view text);
  std::string expect_name(std::string_view what);
  void expect_block_end();
  void refuse(const std::string& what);
  void refuse(const std::string& what, const Token& at);
  [[nodiscard]] bool failed() const { return !error_.empty(); }
  [[nodiscard]] const std::string& error() const { return error_; }

  const Limits& limits_;
  int depth_ = 0;  // of what is being parsed

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::string error_;
};

// Expressions (parse_expression.cc): one function a level of precedence.
class ExpressionParser : protected TokenCursor {
 protected:
  using TokenCursor::TokenCursor;

  ExpressionPtr parse_expression();
  ExpressionPtr parse_tuple(bool conditional);
  ExpressionPtr parse_filters(ExpressionPtr node);
  ExpressionPtr parse_filter(ExpressionPtr node);  // behind the '|'
  ExpressionPtr finish(std::unique_ptr<Expression> node);  // sets depth, refuses too deep a tree
  [[nodiscard]] std::unique_ptr<Expression> make(Expression::Kind kind) const;

  // A filter or test that there is not: an error, but where the template asks first ({% if %}, an inline if): there it
  // is one when it is reached, as in Jinja2.
  void refuse_unknown(const std::string& what, const Token& at);

  bool asks_first_ = false;
  std::vector<std::string> unknown_;  // outside of {% if %}; an inline if drops what is in it
  // Names that mean something in macros, read since the last of them began.
  bool uses_caller_ = false;
  bool uses_varargs_ = false;
  bool uses_kwargs_ = false;

 private:
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_compare();
  // Operators of one level; `tighter` parses what stands between them.
  ExpressionPtr parse_left_to_right(std::span<const Spelling> operators, ExpressionPtr (*tighter)(ExpressionParser&));
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
  ExpressionPtr parse_test(ExpressionPtr node);
  void parse_arguments(Expression& call);
};

// Statements, and the template as a whole.
class Parser : private ExpressionParser {
 public:
  Parser(std::vector<Token> tokens, const Limits& limits) : ExpressionParser(std::move(tokens), limits) {}

  [[nodiscard]] Expected<Body> parse();

 private:
  Body parse_body(std::initializer_list<std::string_view> ends);  // stops before the name of one of them
  void end_block(std::string_view end);
  std::unique_ptr<Statement> parse_statement();
  void parse_if(Statement& statement);
  void parse_for(Statement& statement);
  void parse_set(Statement& statement);
  void parse_macro(Statement& statement);
  void parse_call(Statement& statement);
  void parse_signature(Statement& macro);
  void parse_macro_body(Statement& macro, std::string_view end);
  void parse_print(Statement& statement);
  void parse_with(Statement& statement);
  Target parse_target(bool attributes);
  Body parse_inner(std::string_view end);  // of a statement that no break may leave

  bool breakable_ = false;
};

}  // namespace herd::jinja
