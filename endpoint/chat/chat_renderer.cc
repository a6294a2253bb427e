#include "endpoint/chat/chat_renderer.h"

#include <algorithm>
#include <utility>

#include "endpoint/chat/built_in_templates.h"
#include "endpoint/chat/open_message.h"
#include "endpoint/chat/template_messages.h"

namespace herd::chat {
namespace {

// A conversation costs what its text costs, on top of what a template may cost at all.
jinja::Limits limits_for(const Conversation& conversation) {
  const std::size_t bytes = text_bytes(conversation) + 64 * conversation.messages.size();
  jinja::Limits limits;
  limits.steps_max += 64 * bytes;
  limits.value_bytes_max += 64 * bytes;
  limits.output_bytes_max += 8 * bytes;
  return limits;
}

PromptVariables variables_of(const Conversation& conversation, const RenderOptions& options, UnixSeconds now) {
  PromptVariables variables;
  variables.tools = conversation.tools;
  variables.documents = conversation.documents;
  variables.add_generation_prompt = conversation.add_generation_prompt;
  variables.more = conversation.variables;
  variables.now = options.clock.value_or(now);
  // Templates without a clock of their own, as Llama 3.1's, are told the day so.
  if (options.clock && find_member(variables.more, "date_string") == nullptr)
    variables.more.emplace_back("date_string", jinja::Value::text(date_string(*options.clock)));
  return variables;
}

}  // namespace

Expected<ChatRenderer::Form> ChatRenderer::compile(const std::string& source, const SpecialTokens& special_tokens) {
  auto prompt = PromptTemplate::compile(source, special_tokens);
  if (!prompt) return fail(prompt.error());
  TemplateTraits traits = find_traits(*prompt);
  return Form{std::move(*prompt), std::move(traits)};
}

Expected<ChatRenderer> ChatRenderer::of_template(const TemplateSources& sources, const SpecialTokens& special_tokens,
                                                 const tokenizer::Tokenizer& tokenizer, const RenderOptions& options) {
  auto plain = compile(sources.plain, special_tokens);
  if (!plain) return fail(plain.error());
  std::optional<Form> with_tools;
  if (!sources.with_tools.empty()) {
    auto compiled = compile(sources.with_tools, special_tokens);
    if (!compiled) return fail(compiled.error());
    with_tools = std::move(*compiled);
  }
  return ChatRenderer(std::move(*plain), std::move(with_tools), tokenizer, options);
}

Expected<ChatRenderer> ChatRenderer::of_format(const std::string& name, const tokenizer::Tokenizer& tokenizer,
                                               const RenderOptions& options) {
  const BuiltInTemplate* format = find_built_in_template(name);
  if (format == nullptr)
    return fail(usage_error("--chat-format must be auto, " + std::string(kChatFormatNames) + ", not " + name));
  for (const std::string_view token : format->control_tokens)
    if (!tokenizer.find_special(token))
      return fail(bad_input("chat: the vocabulary has no control token " + std::string(token)));
  auto renderer = of_template({format->text, {}}, {}, tokenizer, options);
  if (renderer) renderer->format_ = name;
  return renderer;
}

bool ChatRenderer::takes_tools() const { return with_tools_.has_value() || plain_.prompt.looks_up("tools"); }

std::string ChatRenderer::definition() const {
  std::string all = plain_.prompt.definition();
  if (with_tools_) all += '\0' + with_tools_->prompt.definition();
  if (options_.clock) all += '\0' + std::to_string(*options_.clock);
  if (options_.special_in_content) all += std::string(1, '\0') + "special tokens in content";
  return all;
}

Expected<text::MarkedText> ChatRenderer::text(const Conversation& conversation, UnixSeconds now) const {
  if (conversation.messages.empty()) return fail(bad_input("messages: empty"));
  const Form& form = with_tools_ && !conversation.tools.is_none() ? *with_tools_ : plain_;
  PromptVariables variables = variables_of(conversation, options_, now);
  if (conversation.continue_final_message) {
    std::vector<ChatMessage> messages = conversation.messages;
    mark_end(messages.back());
    variables.messages = template_messages(messages, form.traits);
  } else {
    variables.messages = template_messages(conversation.messages, form.traits);
  }
  auto printed = form.prompt.print(variables, limits_for(conversation));
  if (!printed)
    return fail(bad_input("messages: the chat template refuses this conversation: " + printed.error().message()));
  if (conversation.continue_final_message && !cut_at_end(conversation.messages.back(), *printed))
    return fail(bad_input("continue_final_message: the chat template does not print the last message as it is, so no prompt "
                          "can go on with it"));
  return printed;
}

Expected<std::vector<TokenId>> ChatRenderer::render(const Conversation& conversation, UnixSeconds now) const {
  const auto prompt = text(conversation, now);
  if (!prompt) return fail(prompt.error());
  tokenizer::EncodeOptions options{.add_bos = false, .parse_special = true};
  if (!options_.special_in_content) options.foreign = prompt->foreign;
  std::vector<TokenId> ids = tokenizer_.encode(prompt->bytes, options);
  if (ids.empty()) return fail(bad_input("messages: the chat template prints nothing for this conversation"));
  return ids;
}

}  // namespace herd::chat
