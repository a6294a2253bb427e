#include "runtime/tokenizer/chat_template.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "runtime/tokenizer/utf8.h"

namespace herd::tokenizer {
namespace {

constexpr std::string_view kSmolLm2System =
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

// Collects ids. Text between two control tokens is encoded as one stretch, as a tokenizer sees it in rendered text:
// "\n\n" and the content after it may share tokens.
class PromptWriter {
 public:
  explicit PromptWriter(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void text(std::string_view part) { stretch_.append(part); }

  void control(std::string_view name) {
    flush();
    if (const auto id = tokenizer_.find_special(name)) {
      ids_.push_back(*id);
    } else if (missing_.empty()) {
      missing_ = name;
    }
  }

  [[nodiscard]] Expected<std::vector<TokenId>> finish() {
    flush();
    if (!missing_.empty()) return fail(bad_input("chat: the vocabulary has no control token " + missing_));
    return std::move(ids_);
  }

 private:
  void flush() {
    const std::vector<TokenId> more = tokenizer_.encode(stretch_);
    ids_.insert(ids_.end(), more.begin(), more.end());
    stretch_.clear();
  }

  const Tokenizer& tokenizer_;
  std::string stretch_;
  std::vector<TokenId> ids_;
  std::string missing_;
};

bool is_role(std::string_view role) {
  return !role.empty() && role.size() <= 64 && std::all_of(role.begin(), role.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

// Python's json.dumps(text, ensure_ascii=False).
std::string json_string(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[static_cast<unsigned char>(c) >> 4];
          out += kHex[static_cast<unsigned char>(c) & 0xF];
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

void llama_header(PromptWriter& prompt, std::string_view role) {
  prompt.control("<|start_header_id|>");
  prompt.text(role);
  prompt.control("<|end_header_id|>");
  prompt.text("\n\n");
}

void llama_turn(PromptWriter& prompt, std::string_view role, std::string_view content) {
  llama_header(prompt, role);
  prompt.text(content);
  prompt.control("<|eot_id|>");
}

void render_llama30(PromptWriter& prompt, std::span<const ChatMessage> messages, const ChatOptions& options) {
  prompt.control("<|begin_of_text|>");
  for (const ChatMessage& message : messages) llama_turn(prompt, message.role, strip(message.content));
  if (options.add_generation_prompt) llama_header(prompt, "assistant");
}

void render_llama31(PromptWriter& prompt, std::span<const ChatMessage> messages, const ChatOptions& options) {
  std::string_view system;
  if (messages.front().role == "system") {
    system = strip(messages.front().content);
    messages = messages.subspan(1);
  }
  prompt.control("<|begin_of_text|>");
  llama_header(prompt, "system");
  prompt.text("Cutting Knowledge Date: December 2023\nToday Date: ");
  prompt.text(options.date_string);
  prompt.text("\n\n");
  prompt.text(system);
  prompt.control("<|eot_id|>");
  for (const ChatMessage& message : messages) {
    if (message.role == "tool" || message.role == "ipython") {
      llama_turn(prompt, "ipython", json_string(message.content));  // the template quotes plain strings too
    } else {
      llama_turn(prompt, message.role, strip(message.content));
    }
  }
  if (options.add_generation_prompt) llama_header(prompt, "assistant");
}

void chatml_turn(PromptWriter& prompt, std::string_view role, std::string_view content) {
  prompt.control("<|im_start|>");
  prompt.text(role);
  prompt.text("\n");
  prompt.text(content);
  prompt.control("<|im_end|>");
  prompt.text("\n");
}

void render_chatml(PromptWriter& prompt, std::span<const ChatMessage> messages, const ChatOptions& options,
                   std::string_view default_system) {
  if (!default_system.empty() && messages.front().role != "system") chatml_turn(prompt, "system", default_system);
  for (const ChatMessage& message : messages) chatml_turn(prompt, message.role, message.content);
  if (options.add_generation_prompt) {
    prompt.control("<|im_start|>");
    prompt.text("assistant\n");
  }
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::optional<ChatFormat> format_of_template(std::string_view jinja) {
  if (contains(jinja, "<|start_header_id|>")) {
    return contains(jinja, "Cutting Knowledge Date") ? ChatFormat::kLlama31 : ChatFormat::kLlama30;
  }
  if (!contains(jinja, "<|im_start|>")) return std::nullopt;
  if (contains(jinja, kSmolLm2System)) return ChatFormat::kSmolLm2;
  // A system turn spelled out in the template is a default message we do not know. The line break is a real one in
  // GGUF and an escape in JSON that was not decoded.
  if (contains(jinja, "<|im_start|>system")) return std::nullopt;
  return ChatFormat::kChatMl;
}

}  // namespace

Expected<ChatFormat> detect_chat_format(std::string_view jinja_template, const Tokenizer& tokenizer) {
  if (!jinja_template.empty()) {
    if (const auto format = format_of_template(jinja_template)) return *format;
    return fail(bad_input("chat template: not one of Llama 3, Llama 3.1 to 3.3, ChatML, SmolLM2"));
  }
  const auto has = [&](std::string_view name) { return tokenizer.find_special(name).has_value(); };
  if (has("<|start_header_id|>") && has("<|end_header_id|>") && has("<|eot_id|>")) {
    return has("<|eom_id|>") ? ChatFormat::kLlama31 : ChatFormat::kLlama30;
  }
  if (has("<|im_start|>") && has("<|im_end|>")) return ChatFormat::kChatMl;
  return fail(bad_input("this model has no chat format: no chat template and no control tokens for turns"));
}

Expected<std::vector<TokenId>> render_chat(std::span<const ChatMessage> messages, ChatFormat format,
                                           const ChatOptions& options, const Tokenizer& tokenizer) {
  if (messages.empty()) return fail(bad_input("messages: empty"));
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!is_role(messages[i].role)) return fail(bad_input("messages[" + std::to_string(i) + "].role: not a role"));
  }
  PromptWriter prompt(tokenizer);
  switch (format) {
    case ChatFormat::kLlama30: render_llama30(prompt, messages, options); break;
    case ChatFormat::kLlama31: render_llama31(prompt, messages, options); break;
    case ChatFormat::kChatMl: render_chatml(prompt, messages, options, {}); break;
    case ChatFormat::kSmolLm2: render_chatml(prompt, messages, options, kSmolLm2System); break;
  }
  return prompt.finish();
}

}  // namespace herd::tokenizer
