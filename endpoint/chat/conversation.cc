#include "endpoint/chat/conversation.h"

namespace herd::chat {
namespace {

std::size_t bytes_of(const Members& members) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : members) bytes += name.size() + text_bytes(value);
  return bytes;
}

}  // namespace

const jinja::Value* find_member(const Members& members, std::string_view name) {
  for (const auto& [known, value] : members)
    if (known == name) return &value;
  return nullptr;
}

std::size_t text_bytes(const jinja::Value& value) {
  if (value.is_text()) return 1 + value.view().size();
  std::size_t bytes = 1;
  if (value.as<jinja::Value::SequencePtr>() != nullptr) {
    for (const jinja::Value& item : value.sequence().items) bytes += text_bytes(item);
  } else if (value.as<jinja::Value::DictPtr>() != nullptr) {
    for (const auto& [key, item] : value.dict().entries) bytes += text_bytes(key) + text_bytes(item);
  }
  return bytes;
}

std::size_t text_bytes(const ChatMessage& message) {
  return message.role.size() + message.content.size() + bytes_of(message.members);
}

std::size_t text_bytes(const Conversation& conversation) {
  std::size_t bytes = text_bytes(conversation.tools) + text_bytes(conversation.documents) + bytes_of(conversation.variables);
  for (const ChatMessage& message : conversation.messages) bytes += text_bytes(message);
  return bytes;
}

}  // namespace herd::chat
