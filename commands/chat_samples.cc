#include "commands/chat_samples.h"

#include "endpoint/jinja/template.h"

namespace herd::commands {
namespace {

// White space around the text tells templates that trim from others.
chat::Conversation sample(bool system) {
  chat::Conversation conversation;
  if (system) conversation.messages.push_back({"system", "Be brief."});
  conversation.messages.push_back({"user", " Hi "});
  return conversation;
}

jinja::Value sample_tool() {
  using jinja::Value;
  const Value city = jinja::make_dict({{"type", Value::text("string")}});
  const Value parameters = jinja::make_dict({{"type", Value::text("object")},
                                             {"properties", jinja::make_dict({{"city", city}})},
                                             {"required", jinja::make_list({Value::text("city")})}});
  const Value function = jinja::make_dict({{"name", Value::text("weather")},
                                           {"description", Value::text("Weather of a city")},
                                           {"parameters", parameters}});
  return jinja::make_dict({{"type", Value::text("function")}, {"function", function}});
}

}  // namespace

std::vector<ChatSample> chat_samples(const chat::ChatRenderer& chat, std::int64_t now) {
  std::vector<ChatSample> samples;
  const auto add = [&](const char* name, const chat::Conversation& conversation) {
    const auto text = chat.text(conversation, now);
    samples.push_back({name, text ? text->bytes : std::string(), text ? std::string() : text.error().message()});
  };
  add("system, user", sample(true));
  if (!samples.back().refused.empty()) add("user", sample(false));
  if (!chat.takes_tools()) return samples;
  chat::Conversation with_tool = sample(false);
  with_tool.tools = jinja::make_list({sample_tool()});
  add("user, a tool", with_tool);
  return samples;
}

}  // namespace herd::commands
