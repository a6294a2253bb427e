#include "endpoint/chat/template_messages.h"

#include <algorithm>
#include <string>
#include <vector>

#include "endpoint/jinja/template.h"

namespace herd::chat {
namespace {

using jinja::Value;

constexpr std::string_view kReasoningNames[] = {"reasoning", "reasoning_content", "thinking"};
constexpr std::string_view kRoleWords[] = {"system", "developer", "user", "assistant", "tool", "function", "ipython"};
constexpr std::string_view kCalls = "tool_calls";

void join_systems(std::vector<ChatMessage>& messages) {
  std::vector<ChatMessage> joined;
  for (ChatMessage& message : messages) {
    if (joined.empty() || message.role != "system" || joined.back().role != "system") {
      joined.push_back(std::move(message));
      continue;
    }
    joined.back().content += "\n\n" + message.content;
    joined.back().parts.clear();
  }
  messages = std::move(joined);
}

std::span<const Value> calls_of(const ChatMessage& message) {
  const Value* calls = message.role == "assistant" ? find_member(message.members, kCalls) : nullptr;
  if (calls == nullptr || calls->as<Value::SequencePtr>() == nullptr) return {};
  return calls->sequence().items;
}

bool is_result(const ChatMessage& message) { return message.role == "tool" || message.role == "ipython"; }

// Whether `result` is of this call; one without an id is of the call that stands where it stands.
bool answers(const ChatMessage& result, const Value& call, bool same_place) {
  const Value* named = find_member(result.members, "tool_call_id");
  if (named == nullptr || !named->is_text()) return same_place;
  const Value* id = call.as<Value::DictPtr>() != nullptr ? call.dict().find("id") : nullptr;
  return id != nullptr && id->is_text() && id->view() == named->view();
}

// One message a call: the first with all that the message says, the others with their call alone.
void append_apart(const ChatMessage& message, std::span<const Value> calls, std::span<const ChatMessage> results,
                  std::vector<ChatMessage>& out) {
  std::vector<bool> taken(results.size(), false);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    ChatMessage one = i == 0 ? message : ChatMessage{.role = message.role, .content = "", .parts = {}, .members = {}};
    std::erase_if(one.members, [](const auto& member) { return member.first == kCalls; });
    one.members.emplace_back(kCalls, jinja::make_list({calls[i]}));
    out.push_back(std::move(one));
    for (std::size_t k = 0; k < results.size(); ++k) {
      if (taken[k] || !answers(results[k], calls[i], k == i)) continue;
      taken[k] = true;
      out.push_back(results[k]);
    }
  }
  for (std::size_t k = 0; k < results.size(); ++k)
    if (!taken[k]) out.push_back(results[k]);
}

void set_calls_apart(std::vector<ChatMessage>& messages) {
  std::vector<ChatMessage> apart;
  for (std::size_t i = 0; i < messages.size();) {
    const std::span<const Value> calls = calls_of(messages[i]);
    std::size_t end = i + 1;
    if (calls.size() < 2) {
      apart.push_back(messages[i]);
    } else {
      while (end < messages.size() && is_result(messages[end])) ++end;
      append_apart(messages[i], calls, std::span(messages).subspan(i + 1, end - i - 1), apart);
    }
    i = end;
  }
  messages = std::move(apart);
}

Value content_value(const ChatMessage& message, const ContentForms& forms) {
  const bool as_parts = forms.parts && (!message.parts.empty() || !forms.text);
  if (!as_parts) return Value::foreign_text(message.content);
  std::vector<Value> parts;
  const auto add = [&parts](const std::string& text) {
    parts.push_back(jinja::make_dict({{"type", Value::text("text")}, {"text", Value::foreign_text(text)}}));
  };
  if (message.parts.empty()) add(message.content);
  for (const std::string& part : message.parts) add(part);
  return jinja::make_list(std::move(parts));
}

// The names under which a reasoning is looked for and not found.
void name_reasoning(const TemplateTraits& traits, Members& members) {
  const Value* said = nullptr;
  for (const std::string_view name : kReasoningNames)
    if (said == nullptr) said = find_member(members, name);
  if (said == nullptr) return;
  const Value reasoning = *said;
  for (const std::string& name : traits.reasoning_names)
    if (find_member(members, name) == nullptr) members.emplace_back(name, reasoning);
}

Value message_value(const ChatMessage& message, const TemplateTraits& traits) {
  Members entries = {{"role", is_role_word(message.role) ? Value::text(message.role) : Value::foreign_text(message.role)},
                     {"content", content_value(message, traits.content_of(message.role))}};
  entries.insert(entries.end(), message.members.begin(), message.members.end());
  if (message.role == "assistant") name_reasoning(traits, entries);
  return jinja::make_dict(std::move(entries));
}

}  // namespace

std::span<const std::string_view> reasoning_names() { return kReasoningNames; }

bool is_role_word(std::string_view role) { return std::ranges::find(kRoleWords, role) != std::end(kRoleWords); }

Value template_messages(std::span<const ChatMessage> messages, const TemplateTraits& traits) {
  std::vector<ChatMessage> adapted(messages.begin(), messages.end());
  if (!traits.has_developer)
    for (ChatMessage& message : adapted)
      if (message.role == "developer") message.role = "system";
  if (traits.one_system) join_systems(adapted);
  if (traits.one_call) set_calls_apart(adapted);
  std::vector<Value> values;
  values.reserve(adapted.size());
  for (const ChatMessage& message : adapted) values.push_back(message_value(message, traits));
  return jinja::make_list(std::move(values));
}

}  // namespace herd::chat
