#include "endpoint/jinja/template.h"

#include <algorithm>
#include <unordered_set>

#include "endpoint/jinja/evaluator.h"
#include "endpoint/jinja/lexer.h"
#include "endpoint/jinja/parser.h"

namespace herd::jinja {
namespace {

// Collects the names of a tree. The parser bounded its depth.
class Survey {
 public:
  explicit Survey(std::vector<std::string>& names) : names_(names) {}

  void visit(const Body& body) {
    for (const auto& statement : body) visit(*statement);
  }

 private:
  void visit(const Statement& statement) {
    for (const ExpressionPtr& expression : statement.expressions) visit(expression);
    for (const auto& [condition, body] : statement.branches) {
      visit(condition);
      visit(body);
    }
    visit(statement.body);
    visit(statement.otherwise);
  }

  void visit(const ExpressionPtr& expression) {
    if (expression == nullptr) return;
    const bool is_name = expression->kind == Expression::Kind::kName;
    if (is_name && known_.insert(expression->name).second) names_.push_back(expression->name);
    for (const ExpressionPtr& operand : expression->operands) visit(operand);
    for (const auto& [name, operand] : expression->named) visit(operand);
    visit(expression->starred);
    visit(expression->double_starred);
  }

  std::vector<std::string>& names_;
  std::unordered_set<std::string> known_;
};

Value dict_of(std::vector<std::pair<std::string, Value>> entries, Value (*key_of)(std::string)) {
  Dict dict;
  for (auto& [name, value] : entries) {
    dict.depth = std::max(dict.depth, value.depth() + 1);
    dict.entries.emplace_back(key_of(std::move(name)), std::move(value));
  }
  return Value::of(std::make_shared<const Dict>(std::move(dict)));
}

}  // namespace

Template::Template(Body body, const Limits& limits) : body_(std::make_shared<const Body>(std::move(body))), limits_(limits) {
  Survey(names_).visit(*body_);
}

Expected<Template> Template::compile(std::string_view source, const Limits& limits) {
  auto tokens = tokenize(source, limits);
  if (!tokens) return fail(tokens.error());
  auto body = Parser(std::move(*tokens), limits).parse();
  if (!body) return fail(body.error());
  return Template(std::move(*body), limits);
}

Expected<text::MarkedText> Template::render(const Variables& variables, const std::optional<CivilTime>& now) const {
  return render(variables, now, limits_);
}

Expected<text::MarkedText> Template::render(const Variables& variables, const std::optional<CivilTime>& now,
                                       const Limits& limits) const {
  Evaluator evaluator(limits, now, variables);
  text::MarkedText text = evaluator.run(*body_);
  if (evaluator.failed()) return fail(bad_input(evaluator.error()));
  return text;
}

Value make_dict(std::vector<std::pair<std::string, Value>> entries) {
  return dict_of(std::move(entries), [](std::string name) { return Value::text(std::move(name)); });
}

Value make_foreign_dict(std::vector<std::pair<std::string, Value>> entries) {
  return dict_of(std::move(entries), Value::foreign_text);
}

Value make_list(std::vector<Value> items) {
  Sequence list;
  for (const Value& item : items) list.depth = std::max(list.depth, item.depth() + 1);
  list.items = std::move(items);
  return Value::of(std::make_shared<const Sequence>(std::move(list)));
}

}  // namespace herd::jinja
