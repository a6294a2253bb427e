#include "endpoint/jinja/parser.h"

#include <algorithm>
#include <array>

namespace herd::jinja {
namespace {

std::string shown(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd: return "the end of the template";
    case TokenKind::kBlockEnd:
    case TokenKind::kOutputEnd: return "the end of the tag";
    case TokenKind::kString: return "a string";
    default: return std::string("\"").append(token.text.substr(0, 40)).append("\"");
  }
}

}  // namespace

const Token& TokenCursor::token(std::size_t ahead) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
bool TokenCursor::is(TokenKind kind, std::string_view text, std::size_t ahead) const {
  return token(ahead).kind == kind && token(ahead).text == text;
}
bool TokenCursor::is_operator(std::string_view text, std::size_t ahead) const { return is(TokenKind::kOperator, text, ahead); }
bool TokenCursor::is_name(std::string_view text, std::size_t ahead) const { return is(TokenKind::kName, text, ahead); }

Token TokenCursor::next() {
  Token taken = token();
  if (at_ + 1 < tokens_.size()) ++at_;
  return taken;
}

bool TokenCursor::skip_operator(std::string_view text) {
  if (failed() || !is_operator(text)) return false;
  next();
  return true;
}

bool TokenCursor::skip_name(std::string_view text) {
  if (failed() || !is_name(text)) return false;
  next();
  return true;
}

void TokenCursor::refuse(const std::string& what) { refuse(what, token()); }

void TokenCursor::refuse(const std::string& what, const Token& at) {
  if (error_.empty()) error_ = at_place(at.line, at.column, what);
}

void TokenCursor::expect_operator(std::string_view text) {
  if (!skip_operator(text)) refuse("expected \"" + std::string(text) + "\", not " + shown(token()));
}

std::string TokenCursor::expect_name(std::string_view what) {
  if (token().kind != TokenKind::kName) {
    refuse("expected " + std::string(what) + ", not " + shown(token()));
    return {};
  }
  return next().text;
}

void TokenCursor::expect_block_end() {
  if (token().kind != TokenKind::kBlockEnd) return refuse("expected the end of the tag, not " + shown(token()));
  next();
}

Expected<Body> Parser::parse() {
  Body body = parse_body({});
  if (!failed() && token().kind != TokenKind::kEnd) refuse("unexpected " + shown(token()));
  if (failed()) return fail(bad_input(error()));
  if (!unknown_.empty()) return fail(bad_input(unknown_.front()));
  return body;
}

Body Parser::parse_body(std::initializer_list<std::string_view> ends) {
  Body body;
  if (++depth_ > limits_.syntax_depth_max) refuse("nested too deeply");
  while (!failed() && token().kind != TokenKind::kEnd) {
    if (token().kind == TokenKind::kBlockBegin) {
      const Token& name = token(1);
      if (name.kind == TokenKind::kName && std::ranges::find(ends, name.text) != ends.end()) {
        next();
        --depth_;
        return body;
      }
    }
    if (auto statement = parse_statement()) body.push_back(std::move(statement));
  }
  if (!failed() && ends.size() > 0) refuse("the template ends where {% " + std::string(*(ends.end() - 1)) + " %} is expected");
  --depth_;
  return body;
}

void Parser::end_block(std::string_view end) {
  if (!skip_name(end)) refuse("expected {% " + std::string(end) + " %}");
  expect_block_end();
}

Body Parser::parse_inner(std::string_view end) {
  const bool breakable = std::exchange(breakable_, false);
  const bool asks_first = std::exchange(asks_first_, false);
  Body body = parse_body({end});
  breakable_ = breakable;
  asks_first_ = asks_first;
  end_block(end);
  return body;
}

std::unique_ptr<Statement> Parser::parse_statement() {
  auto statement = std::make_unique<Statement>();
  statement->line = token().line;
  if (token().kind == TokenKind::kText) {
    statement->text = next().text;
    return statement;
  }
  if (token().kind == TokenKind::kOutputBegin) {
    next();
    statement->kind = Statement::Kind::kOutput;
    statement->expressions.push_back(parse_tuple(true));
    if (!failed() && token().kind != TokenKind::kOutputEnd) refuse("expected the end of the tag, not " + shown(token()));
    next();
    return statement;
  }
  next();  // {%
  const std::string name = expect_name("the name of a statement");
  if (name == "if") {
    parse_if(*statement);
  } else if (name == "for") {
    parse_for(*statement);
  } else if (name == "set") {
    parse_set(*statement);
  } else if (name == "macro") {
    parse_macro(*statement);
  } else if (name == "call") {
    parse_call(*statement);
  } else if (name == "print") {
    parse_print(*statement);
  } else if (name == "with") {
    parse_with(*statement);
  } else if (name == "filter") {
    statement->kind = Statement::Kind::kFilterBlock;
    auto placeholder = make(Expression::Kind::kConstant);
    placeholder->constant = Value::text("");
    ExpressionPtr filter = parse_filter(finish(std::move(placeholder)));
    while (skip_operator("|")) filter = parse_filter(std::move(filter));
    statement->expressions.push_back(std::move(filter));
    expect_block_end();
    statement->body = parse_inner("endfilter");
  } else if (name == "generation") {
    statement->kind = Statement::Kind::kGeneration;
    expect_block_end();
    statement->body = parse_inner("endgeneration");
  } else if (name == "break" || name == "continue") {
    statement->kind = name == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue;
    if (!breakable_) refuse("{% " + name + " %} outside a loop, or where it would leave another block");
    expect_block_end();
  } else if (!failed()) {
    step_back();
    refuse("the statement {% " + name.substr(0, 40) + " %} is not supported here");
  }
  return statement;
}

void Parser::parse_if(Statement& statement) {
  statement.kind = Statement::Kind::kIf;
  const bool asks_first = std::exchange(asks_first_, true);
  for (bool more = true; more && !failed();) {
    ExpressionPtr condition = parse_tuple(false);
    expect_block_end();
    Body body = parse_body({"elif", "else", "endif"});
    statement.branches.emplace_back(std::move(condition), std::move(body));
    more = skip_name("elif");
  }
  if (skip_name("else")) {
    expect_block_end();
    statement.branches.emplace_back(nullptr, parse_body({"endif"}));
  }
  asks_first_ = asks_first;
  end_block("endif");
}

void Parser::parse_for(Statement& statement) {
  statement.kind = Statement::Kind::kFor;
  statement.target = parse_target(false);
  if (std::ranges::find(statement.target.names, "loop") != statement.target.names.end()) refuse("a loop cannot walk over its own name");
  if (!skip_name("in")) refuse("expected \"in\", not " + shown(token()));
  statement.expressions.push_back(parse_tuple(false));
  const bool asks_first = std::exchange(asks_first_, false);
  statement.expressions.push_back(skip_name("if") ? parse_expression() : nullptr);
  statement.recursive = skip_name("recursive");
  expect_block_end();
  const bool breakable = std::exchange(breakable_, true);
  statement.body = parse_body({"else", "endfor"});
  breakable_ = breakable;
  if (skip_name("else")) {
    expect_block_end();
    statement.otherwise = parse_body({"endfor"});
  }
  asks_first_ = asks_first;
  end_block("endfor");
}

void Parser::parse_set(Statement& statement) {
  statement.target = parse_target(true);
  if (skip_operator("=")) {
    statement.kind = Statement::Kind::kSet;
    statement.expressions.push_back(parse_tuple(true));
    return expect_block_end();
  }
  statement.kind = Statement::Kind::kSetBlock;
  if (statement.target.unpacks) refuse("a {% set %} block takes one name");
  auto placeholder = make(Expression::Kind::kConstant);
  placeholder->constant = Value::text("");
  statement.expressions.push_back(parse_filters(finish(std::move(placeholder))));
  expect_block_end();
  statement.body = parse_inner("endset");
}

void Parser::parse_macro(Statement& statement) {
  statement.kind = Statement::Kind::kMacro;
  statement.text = expect_name("the name of the macro");
  parse_signature(statement);
  expect_block_end();
  parse_macro_body(statement, "endmacro");
}

void Parser::parse_signature(Statement& macro) {
  expect_operator("(");
  while (!failed() && !is_operator(")")) {
    if (!macro.target.names.empty()) expect_operator(",");
    macro.target.names.push_back(expect_name("a parameter"));
    if (skip_operator("=")) {
      macro.expressions.push_back(parse_expression());
    } else if (!macro.expressions.empty()) {
      refuse("a parameter without a default behind one with a default");
    } else if (macro.target.names.back() == "caller") {
      refuse("the parameter \"caller\" needs a default");
    }
  }
  expect_operator(")");
}

void Parser::parse_macro_body(Statement& macro, std::string_view end) {
  const bool caller = std::exchange(uses_caller_, false);
  const bool varargs = std::exchange(uses_varargs_, false);
  const bool kwargs = std::exchange(uses_kwargs_, false);
  macro.body = parse_inner(end);
  const auto is_parameter = [&macro](std::string_view name) {
    return std::ranges::find(macro.target.names, name) != macro.target.names.end();
  };
  macro.uses_caller = uses_caller_ && !is_parameter("caller");
  macro.uses_varargs = uses_varargs_ && !is_parameter("varargs");
  macro.uses_kwargs = uses_kwargs_ && !is_parameter("kwargs");
  uses_caller_ = uses_caller_ || caller;
  uses_varargs_ = uses_varargs_ || varargs;
  uses_kwargs_ = uses_kwargs_ || kwargs;
}

void Parser::parse_call(Statement& statement) {
  statement.kind = Statement::Kind::kCall;
  auto caller = std::make_unique<Statement>();
  caller->kind = Statement::Kind::kMacro;
  caller->line = statement.line;
  caller->text = "caller";
  if (is_operator("(")) parse_signature(*caller);
  const Token begin = token();
  statement.expressions.push_back(parse_expression());
  if (statement.expressions[0]->kind != Expression::Kind::kCall) refuse("{% call %} needs the call of a macro", begin);
  expect_block_end();
  parse_macro_body(*caller, "endcall");
  statement.body.push_back(std::move(caller));
}

void Parser::parse_print(Statement& statement) {
  statement.kind = Statement::Kind::kOutput;
  while (!failed() && token().kind != TokenKind::kBlockEnd) {
    if (!statement.expressions.empty()) expect_operator(",");
    statement.expressions.push_back(parse_expression());
  }
  expect_block_end();
}

void Parser::parse_with(Statement& statement) {
  statement.kind = Statement::Kind::kWith;
  const bool asks_first = std::exchange(asks_first_, false);
  while (!failed() && token().kind != TokenKind::kBlockEnd) {
    if (!statement.with_names.empty()) expect_operator(",");
    statement.with_names.push_back(expect_name("a name"));
    expect_operator("=");
    statement.expressions.push_back(parse_expression());
  }
  expect_block_end();
  statement.body = parse_body({"endwith"});
  asks_first_ = asks_first;
  end_block("endwith");
}

Target Parser::parse_target(bool attributes) {
  constexpr std::array<std::string_view, 8> kReserved = {"true", "false", "none", "True", "False", "None", "in", "not"};
  Target target;
  const bool parenthesis = skip_operator("(");
  do {
    if (target.unpacks && token().kind != TokenKind::kName) break;  // "a, = x"
    target.names.push_back(expect_name("a name to assign to"));
    if (std::ranges::find(kReserved, target.names.back()) != kReserved.end()) refuse("cannot assign to " + target.names.back());
    if (is_operator(",")) target.unpacks = true;
  } while (skip_operator(","));
  if (parenthesis) expect_operator(")");
  if (attributes && !target.unpacks && skip_operator(".")) target.attribute = expect_name("an attribute");
  if (is_operator(".") || is_operator("[")) refuse("only a name or an attribute of a namespace can be assigned to");
  return target;
}

}  // namespace herd::jinja
