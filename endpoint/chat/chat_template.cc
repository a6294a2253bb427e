#include "endpoint/chat/chat_template.h"

#include <algorithm>
#include <utility>

#include "runtime/text/utf8.h"

namespace herd::chat {
namespace {

constexpr std::string_view kSmolLm2System =
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

// Collects pieces: text and control tokens as the format says them, nothing of a vocabulary yet.
class PromptWriter {
 public:
  void text(std::string_view part) {
    if (pieces_.empty() || pieces_.back().control) pieces_.push_back({false, {}});
    pieces_.back().text += part;
  }

  void control(std::string_view name) { pieces_.push_back({true, std::string(name)}); }

  [[nodiscard]] std::vector<PromptPiece> finish() { return std::move(pieces_); }

 private:
  std::vector<PromptPiece> pieces_;
};

constexpr std::pair<std::string_view, ChatFormat> kFormats[] = {{"llama3", ChatFormat::kLlama30},
                                                                {"llama3.1", ChatFormat::kLlama31},
                                                                {"chatml", ChatFormat::kChatMl},
                                                                {"smollm2", ChatFormat::kSmolLm2}};

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
  if (options.begin_of_text) prompt.control("<|begin_of_text|>");
  for (const ChatMessage& message : messages) llama_turn(prompt, message.role, tokenizer::strip(message.content));
  if (options.add_generation_prompt) llama_header(prompt, "assistant");
}

void render_llama31(PromptWriter& prompt, std::span<const ChatMessage> messages, const ChatOptions& options) {
  std::string_view system;
  if (messages.front().role == "system") {
    system = tokenizer::strip(messages.front().content);
    messages = messages.subspan(1);
  }
  if (options.begin_of_text) prompt.control("<|begin_of_text|>");
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
      llama_turn(prompt, message.role, tokenizer::strip(message.content));
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

}  // namespace

std::string_view chat_format_name(ChatFormat format) {
  for (const auto& [name, known] : kFormats) {
    if (known == format) return name;
  }
  return "?";
}

std::optional<ChatFormat> find_chat_format(std::string_view name) {
  for (const auto& [known, format] : kFormats) {
    if (known == name) return format;
  }
  return std::nullopt;
}

Status check_chat(std::span<const ChatMessage> messages) {
  if (messages.empty()) return bad_input("messages: empty");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!is_role(messages[i].role)) return bad_input("messages[" + std::to_string(i) + "].role: not a role");
  }
  return {};
}

std::vector<PromptPiece> chat_pieces(std::span<const ChatMessage> messages, ChatFormat format, const ChatOptions& options) {
  PromptWriter prompt;
  switch (format) {
    case ChatFormat::kLlama30: render_llama30(prompt, messages, options); break;
    case ChatFormat::kLlama31: render_llama31(prompt, messages, options); break;
    case ChatFormat::kChatMl: render_chatml(prompt, messages, options, {}); break;
    case ChatFormat::kSmolLm2: render_chatml(prompt, messages, options, kSmolLm2System); break;
  }
  return prompt.finish();
}

std::string prompt_text(std::span<const PromptPiece> pieces) {
  std::string text;
  for (const PromptPiece& piece : pieces) text += piece.text;
  return text;
}

Expected<std::vector<TokenId>> prompt_ids(std::span<const PromptPiece> pieces,
                                          const tokenizer::Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  for (const PromptPiece& piece : pieces) {
    if (!piece.control) {
      const std::vector<TokenId> more = tokenizer.encode(piece.text);
      ids.insert(ids.end(), more.begin(), more.end());
      continue;
    }
    const auto id = tokenizer.find_special(piece.text);
    if (!id) return fail(bad_input("chat: the vocabulary has no control token " + piece.text));
    ids.push_back(*id);
  }
  return ids;
}

Expected<std::vector<TokenId>> render_chat(std::span<const ChatMessage> messages, ChatFormat format,
                                           const ChatOptions& options, const tokenizer::Tokenizer& tokenizer) {
  if (Status status = check_chat(messages); !status.ok()) return fail(std::move(status));
  return prompt_ids(chat_pieces(messages, format, options), tokenizer);
}

}  // namespace herd::chat
