#include "endpoint/chat/chat_renderer.h"

#include <algorithm>

#include "endpoint/jinja/template.h"
#include "endpoint/chat/chat_probes.h"

namespace herd::chat {
namespace {

constexpr std::string_view kUnknownTokens[] = {"additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"};

// What a template may stand for.
struct Candidate {
  ChatFormat format = ChatFormat::kLlama30;
  bool begin_of_text = true;
};
constexpr Candidate kCandidates[] = {{ChatFormat::kLlama30}, {ChatFormat::kLlama30, false}, {ChatFormat::kLlama31},
                                     {ChatFormat::kLlama31, false}, {ChatFormat::kChatMl}, {ChatFormat::kSmolLm2}};
constexpr std::string_view kOptionalRoles[] = {"system", "tool", "ipython"};

// A conversation costs what its text costs, on top of what a template may cost at all.
jinja::Limits limits_for(std::span<const ChatMessage> messages) {
  std::size_t bytes = 0;
  for (const ChatMessage& message : messages) bytes += message.role.size() + message.content.size() + 64;
  jinja::Limits limits;
  limits.steps_max += 64 * bytes;
  limits.value_bytes_max += 64 * bytes;
  limits.output_bytes_max += 8 * bytes;
  return limits;
}

std::vector<PromptPiece> pieces_of(std::span<const ChatMessage> messages, const Candidate& candidate, ChatOptions options) {
  options.begin_of_text = candidate.begin_of_text;
  return chat_pieces(messages, candidate.format, options);
}

// What the template prints, given the variables that Hugging Face gives it.
Expected<std::string> print(const jinja::Template& chat_template, const SpecialTokens& special_tokens,
                            std::span<const ChatMessage> messages, const ChatOptions& options) {
  using jinja::Value;
  std::vector<Value> turns;
  for (const ChatMessage& message : messages)
    turns.push_back(jinja::make_dict({{"role", Value::text(message.role)}, {"content", Value::text(message.content)}}));
  jinja::Variables variables;
  for (const auto& [name, text] : special_tokens) variables.emplace_back(name, Value::text(text));
  variables.emplace_back("messages", jinja::make_list(std::move(turns)));
  variables.emplace_back("tools", Value::none());
  variables.emplace_back("documents", Value::none());
  variables.emplace_back("add_generation_prompt", Value::boolean(options.add_generation_prompt));
  variables.emplace_back("date_string", Value::text(options.date_string));
  auto text = chat_template.render(variables, std::nullopt, limits_for(messages));
  if (!text) return fail(text.error());
  return std::move(text->bytes);
}

// Where two texts part, from the last place that both have in common.
std::size_t common_prefix(std::string_view a, std::string_view b) {
  const auto [at, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  auto same = static_cast<std::size_t>(at - a.begin());
  while (same > 0 && same < a.size() && (static_cast<unsigned char>(a[same]) & 0xC0U) == 0x80U) --same;
  return same;
}

std::string difference(std::string_view printed, std::string_view format_text, ChatFormat format) {
  const std::size_t same = common_prefix(printed, format_text);
  const std::size_t from = same < 12 ? 0 : same - 12;  // a little of what is before, to recognise the place
  std::size_t begin = from;
  while (begin < same && (static_cast<unsigned char>(printed[begin]) & 0xC0U) == 0x80U) ++begin;
  return "it gives " + shown(printed.substr(begin)) + " where " + std::string(chat_format_name(format)) + " gives " +
         shown(format_text.substr(begin));
}

struct Mismatch {
  std::size_t probes_equal = 0;
  std::size_t prefix = 0;
  std::string what;  // empty: none
};

Mismatch compare(const std::vector<ChatProbe>& probes, const std::vector<std::string>& printed, const Candidate& candidate) {
  Mismatch result;
  for (std::size_t i = 0; i < probes.size(); ++i, ++result.probes_equal) {
    const std::string text = prompt_text(pieces_of(probes[i].messages, candidate, probes[i].options));
    if (text == printed[i]) continue;
    result.prefix = common_prefix(printed[i], text);
    result.what = "for " + describe(probes[i]) + " " + difference(printed[i], text, candidate.format);
    break;
  }
  return result;
}

std::string advice(std::string_view format) {
  return " (--chat-format " + std::string(format) + " uses a format all the same)";
}

// Its text must be the prompt for a tokenizer too: control tokens that take white space with them, or are no control
// tokens here, would give other ids.
Status check_ids(const std::vector<ChatProbe>& probes, const Candidate& candidate,
                 const tokenizer::Tokenizer& tokenizer) {
  for (const ChatProbe& probe : probes) {
    const std::vector<PromptPiece> pieces = pieces_of(probe.messages, candidate, probe.options);
    const auto ids = prompt_ids(pieces, tokenizer);
    if (!ids) return ids.error();
    if (*ids != tokenizer.encode(prompt_text(pieces), {.add_bos = false, .parse_special = true}))
      return bad_input("chat template: for " + describe(probe) + " this vocabulary gives other ids than " +
                       std::string(chat_format_name(candidate.format)) + advice(chat_format_name(candidate.format)));
  }
  return {};
}

std::string reason_against(const jinja::Template& chat_template, const SpecialTokens& special_tokens,
                           const Candidate& candidate, std::string_view role) {
  for (const ChatProbe& probe : role_probes(role)) {
    const auto printed = print(chat_template, special_tokens, probe.messages, probe.options);
    if (!printed) return "the chat template refuses it: " + clean(printed.error().message(), 200);
    const std::string text = prompt_text(pieces_of(probe.messages, candidate, probe.options));
    if (text != *printed)
      return "the chat template renders it in its own way: for " + describe(probe) + " " +
             difference(*printed, text, candidate.format);
  }
  return {};
}

}  // namespace

Expected<ChatRenderer> ChatRenderer::of_template(std::string_view jinja, const SpecialTokens& special_tokens,
                                                 const tokenizer::Tokenizer& tokenizer) {
  const auto refused = [](const std::string& why, std::string_view nearest) {
    return fail(bad_input("chat template: " + why + advice(nearest)));
  };
  auto compiled = jinja::Template::compile(jinja);
  if (!compiled) return refused(clean(compiled.error().message(), 200), "NAME");
  for (const std::string_view name : kUnknownTokens) {
    if (std::ranges::find(compiled->names(), name) != compiled->names().end())
      return refused("the variable " + std::string(name) + " is not supported", "NAME");
  }
  const std::vector<ChatProbe> probes = turn_probes();
  std::vector<std::string> printed;
  for (const ChatProbe& probe : probes) {
    auto text = print(*compiled, special_tokens, probe.messages, probe.options);
    if (!text) return refused("for " + describe(probe) + ": " + clean(text.error().message(), 200), "NAME");
    printed.push_back(std::move(*text));
  }
  Mismatch nearest;
  ChatFormat nearest_format = kCandidates[0].format;
  for (const Candidate& candidate : kCandidates) {
    const Mismatch found = compare(probes, printed, candidate);
    if (found.what.empty()) {
      if (Status status = check_ids(probes, candidate, tokenizer); !status.ok()) return fail(std::move(status));
      ChatRenderer renderer(candidate.format, tokenizer);
      renderer.begin_of_text_ = candidate.begin_of_text;
      for (const std::string_view role : kOptionalRoles) {
        std::string reason = reason_against(*compiled, special_tokens, candidate, role);
        if (!reason.empty()) renderer.refused_roles_.push_back({std::string(role), std::move(reason)});
      }
      renderer.template_ = std::make_shared<const jinja::Template>(std::move(*compiled));
      renderer.special_tokens_ = special_tokens;
      return renderer;
    }
    if (nearest.what.empty() || std::pair(found.probes_equal, found.prefix) > std::pair(nearest.probes_equal, nearest.prefix)) {
      nearest = found;
      nearest_format = candidate.format;
    }
  }
  return refused("not one that herd renders exactly (" + std::string(kChatFormatNames) + "); " + nearest.what,
                 chat_format_name(nearest_format));
}

Expected<ChatRenderer> ChatRenderer::of_format(ChatFormat format, const tokenizer::Tokenizer& tokenizer) {
  const ChatProbe probe = turn_probes().front();
  if (const auto ids = prompt_ids(chat_pieces(probe.messages, format, probe.options), tokenizer); !ids) return fail(ids.error());
  return ChatRenderer(format, tokenizer);
}

Expected<std::vector<PromptPiece>> ChatRenderer::pieces(std::span<const ChatMessage> messages, ChatOptions options) const {
  if (Status status = check_chat(messages); !status.ok()) return fail(std::move(status));
  options.begin_of_text = begin_of_text_;
  std::vector<PromptPiece> pieces = chat_pieces(messages, format_, options);
  if (template_ == nullptr) return pieces;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const auto refused = std::ranges::find(refused_roles_, messages[i].role, &RefusedRole::role);
    if (refused != refused_roles_.end())
      return fail(bad_input("messages[" + std::to_string(i) + "].role: \"" + refused->role + "\" is refused: " + refused->reason));
  }
  const auto printed = print(*template_, special_tokens_, messages, options);
  if (!printed)
    return fail(bad_input("messages: the chat template refuses this conversation: " + clean(printed.error().message(), 400)));
  const std::string text = prompt_text(pieces);
  if (text != *printed)
    return fail(bad_input("messages: the chat template renders this conversation in its own way: " +
                          difference(*printed, text, format_)));
  return pieces;
}

Expected<std::vector<TokenId>> ChatRenderer::render(std::span<const ChatMessage> messages, const ChatOptions& options) const {
  const auto prompt = pieces(messages, options);
  if (!prompt) return fail(prompt.error());
  return prompt_ids(*prompt, tokenizer_);
}

Expected<std::string> ChatRenderer::text(std::span<const ChatMessage> messages, const ChatOptions& options) const {
  const auto prompt = pieces(messages, options);
  if (!prompt) return fail(prompt.error());
  return prompt_text(*prompt);
}

}  // namespace herd::chat
