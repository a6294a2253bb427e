#include "endpoint/chat/chat_probes.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "runtime/text/utf8.h"

namespace herd::chat {
namespace {

constexpr std::string_view kTexts[] = {"Hi", " Hi ", "", "\n\nHi\n", " \t", "zwei\n\nZeilen", "\xC3\xA4 \xE6\x97\xA5 \xF0\x9F\x98\x80",
                                       "a 'b' \"c\" \\n", "{{ x }} {% y %}"};
constexpr std::size_t kLongText = 3000;
constexpr int kManyTurns = 24;

// Each way a conversation can be asked for.
void add(std::vector<ChatProbe>& probes, const std::vector<ChatMessage>& messages) {
  ChatOptions options;
  probes.push_back({messages, options});
  options.add_generation_prompt = false;
  probes.push_back({messages, options});
  options = ChatOptions();
  options.date_string = "01 Feb 2031";
  probes.push_back({messages, options});
}

}  // namespace

std::vector<ChatProbe> turn_probes() {
  std::vector<ChatProbe> probes;
  for (const std::string_view text : kTexts) {
    const std::string content(text);
    add(probes, {{"user", content}});
    add(probes, {{"user", "Hi"}, {"assistant", content}});
    add(probes, {{"user", content}, {"assistant", content}, {"user", "And then?"}});
  }
  add(probes, {{"user", std::string(kLongText, 'x')}});
  std::vector<ChatMessage> many;
  for (int turn = 0; turn < kManyTurns; ++turn) {
    many.push_back({turn % 2 == 0 ? "user" : "assistant", "turn " + std::to_string(turn) + " "});
    if (turn >= kManyTurns - 2) add(probes, many);
  }
  return probes;
}

std::vector<ChatProbe> role_probes(std::string_view role) {
  std::vector<ChatProbe> probes;
  for (const std::string_view text : kTexts) {
    const ChatMessage message{std::string(role), std::string(text)};
    if (role == "system") {
      add(probes, {message, {"user", "Hi"}});
      add(probes, {message, {"user", "Hi"}, {"assistant", "Yes?"}, {"user", " No "}});
    } else {
      add(probes, {{"user", "Hi"}, {"assistant", "Yes?"}, message});
      add(probes, {{"user", "Hi"}, {"assistant", "Yes?"}, message, {"assistant", "So."}, {"user", "Ah"}});
    }
  }
  return probes;
}

std::string describe(const ChatProbe& probe) {
  std::string text;
  for (const ChatMessage& message : probe.messages) {
    text += (text.empty() ? "" : ", ") + message.role + " " + shown(message.content, 16);
    if (text.size() > 80) {
      text += ", …";
      break;
    }
  }
  return text + (probe.options.add_generation_prompt ? "" : ", no generation prompt");
}

std::string clean(std::string_view text, std::size_t bytes) {
  std::string out;
  for (std::string_view rest = text.substr(0, std::min(text.size(), bytes)); !rest.empty();) {
    const tokenizer::CodePoint point = tokenizer::first_code_point(rest);
    if (point.value == '\n') {
      out += "\\n";
    } else if (point.value >= 0x20 && point.value < 0x7F) {
      out += rest.front();
    } else if (!point.incomplete) {
      char escaped[16];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(point.value));
      out += escaped;
    }
    rest.remove_prefix(point.size);
  }
  return text.size() > bytes ? out + "…" : out;
}

std::string shown(std::string_view text, std::size_t bytes) { return '"' + clean(text, bytes) + '"'; }

}  // namespace herd::chat
