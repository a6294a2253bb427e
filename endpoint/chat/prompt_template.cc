#include "endpoint/chat/prompt_template.h"

#include <algorithm>

#include "endpoint/chat/shown_text.h"
#include "endpoint/jinja/template.h"

namespace herd::chat {
namespace {

constexpr std::size_t kReasonBytesMax = 400;

// Lists of tokens that Hugging Face gives to templates as well.
constexpr std::string_view kTokenLists[] = {"additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"};

}  // namespace

PromptTemplate::PromptTemplate(std::string source, jinja::Template compiled, SpecialTokens special_tokens)
    : source_(std::make_shared<const std::string>(std::move(source))),
      compiled_(std::make_shared<const jinja::Template>(std::move(compiled))),
      special_tokens_(std::move(special_tokens)) {}

Expected<PromptTemplate> PromptTemplate::compile(std::string source, const SpecialTokens& special_tokens) {
  auto compiled = jinja::Template::compile(source);
  if (!compiled) return fail(bad_input("chat template: " + clean(compiled.error().message(), kReasonBytesMax)));
  PromptTemplate made(std::move(source), std::move(*compiled), special_tokens);
  for (const std::string_view name : kTokenLists)
    if (made.looks_up(name)) return fail(bad_input("chat template: the variable " + std::string(name) + " is not supported"));
  return made;
}

std::string PromptTemplate::definition() const {
  std::string all = *source_;
  for (const auto& [name, text] : special_tokens_) all += '\0' + name + '\0' + text;
  return all;
}

bool PromptTemplate::looks_up(std::string_view name) const {
  return std::ranges::find(compiled_->names(), name) != compiled_->names().end();
}

Expected<text::MarkedText> PromptTemplate::print(const PromptVariables& variables, const jinja::Limits& limits) const {
  using jinja::Value;
  jinja::Variables all = variables.more;
  for (const auto& [name, text] : special_tokens_)
    if (find_member(variables.more, name) == nullptr) all.emplace_back(name, Value::text(text));
  all.emplace_back("messages", variables.messages);
  all.emplace_back("tools", variables.tools);
  all.emplace_back("documents", variables.documents);
  all.emplace_back("add_generation_prompt", Value::boolean(variables.add_generation_prompt));
  auto printed = compiled_->render(all, civil_time(variables.now), limits);
  if (!printed) return fail(bad_input(clean(printed.error().message(), kReasonBytesMax)));
  return printed;
}

}  // namespace herd::chat
