#include "endpoint/chat/template_traits.h"

#include "endpoint/chat/template_messages.h"
#include "endpoint/jinja/template.h"

namespace herd::chat {
namespace {

constexpr std::string_view kText = "Zq7w";  // which no template has in it
constexpr std::uint64_t kStepsMax = 200'000;

ChatMessage calling(const std::vector<std::string>& ids) {
  using jinja::Value;
  std::vector<Value> calls;
  for (const std::string& id : ids)
    calls.push_back(jinja::make_dict(
        {{"id", Value::text(id)},
         {"type", Value::text("function")},
         {"function", jinja::make_dict({{"name", Value::text("look")},
                                        {"arguments", jinja::make_dict({{"at", Value::text("sea")}})}})}}));
  return {.role = "assistant", .content = "", .parts = {}, .members = {{"tool_calls", jinja::make_list(std::move(calls))}}};
}

ChatMessage result(const std::string& id) {
  using jinja::Value;
  return {.role = "tool",
          .content = std::string(kText),
          .parts = {},
          .members = {{"tool_call_id", Value::text(id)}, {"name", Value::text("look")}}};
}

constexpr const char* kFirstId = "call00001";  // nine letters and digits, as Mistral's templates demand
constexpr const char* kSecondId = "call00002";

class Trial {
 public:
  explicit Trial(const PromptTemplate& prompt) : prompt_(prompt) { limits_.steps_max = kStepsMax; }

  // What it prints for these messages; nothing: it refuses them.
  [[nodiscard]] std::string print(const std::vector<ChatMessage>& messages, const TemplateTraits& traits = {}) const {
    PromptVariables variables;
    variables.messages = template_messages(messages, traits);
    auto printed = prompt_.print(variables, limits_);
    return printed ? std::move(printed->bytes) : std::string();
  }

  [[nodiscard]] bool takes(const std::vector<ChatMessage>& messages) const { return !print(messages).empty(); }

  // `messages` hold kText as the content of the role whose forms `slot` is.
  void find_forms(const std::vector<ChatMessage>& messages, ContentForms TemplateTraits::* slot, TemplateTraits& found) const {
    const auto shows = [&](const ContentForms& forms) {
      TemplateTraits traits;
      traits.*slot = forms;
      const std::string printed = print(messages, traits);
      const auto holds = [&printed](const std::string& part) { return printed.find(part) != std::string::npos; };
      const std::string text(kText);
      // A list that is printed as Python or JSON writes it was not understood.
      return holds(text) && !holds("'text': '" + text + "'") && !holds("\"text\": \"" + text + "\"");
    };
    const ContentForms forms{.text = shows({.text = true, .parts = false}), .parts = shows({.text = false, .parts = true})};
    if (forms.text || forms.parts) found.*slot = forms;
  }

 private:
  const PromptTemplate& prompt_;
  jinja::Limits limits_;
};

}  // namespace

ContentForms TemplateTraits::content_of(std::string_view role) const {
  if (role == "system" || role == "developer") return system;
  if (role == "user") return user;
  if (role == "assistant") return assistant;
  if (role == "tool") return tool;
  return {};
}

TemplateTraits find_traits(const PromptTemplate& prompt) {
  const Trial trial(prompt);
  const std::string text(kText);
  const ChatMessage hi{"user", "Hi"};
  TemplateTraits traits;
  trial.find_forms({{"system", text}, hi}, &TemplateTraits::system, traits);
  trial.find_forms({{"user", text}}, &TemplateTraits::user, traits);
  trial.find_forms({hi, {"assistant", text}, hi}, &TemplateTraits::assistant, traits);
  trial.find_forms({hi, calling({kFirstId}), result(kFirstId)}, &TemplateTraits::tool, traits);
  traits.one_call = trial.takes({hi, calling({kFirstId}), result(kFirstId)}) &&
                    !trial.takes({hi, calling({kFirstId, kSecondId}), result(kFirstId), result(kSecondId)});
  traits.one_system = trial.takes({{"system", "a"}, hi}) && !trial.takes({{"system", "a"}, {"system", "b"}, hi});
  traits.has_developer = prompt.mentions("developer");
  for (const std::string_view name : reasoning_names())
    if (prompt.mentions(name)) traits.reasoning_names.emplace_back(name);
  return traits;
}

}  // namespace herd::chat
