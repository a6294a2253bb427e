#include "endpoint/chat/open_message.h"

#include <algorithm>
#include <string_view>

#include "runtime/text/utf8.h"

namespace herd::chat {
namespace {

// Its blank tells whether the template trims what it prints.
constexpr std::string_view kTag = "CONTINUE_FINAL_MESSAGE_TAG ";
constexpr std::string_view kTagWord = kTag.substr(0, kTag.size() - 1);

std::string_view strip_right(std::string_view text) {
  const std::string_view all = text::strip(text);
  if (all.empty()) return {};
  return text.substr(0, static_cast<std::size_t>(all.data() - text.data()) + all.size());
}

void truncate(text::MarkedText& text, std::size_t size) {
  text.bytes.resize(size);
  std::erase_if(text.foreign, [size](const text::ByteRange& range) { return range.begin >= size; });
  if (!text.foreign.empty()) text.foreign.back().end = std::min(text.foreign.back().end, size);
}

}  // namespace

void mark_end(ChatMessage& message) {
  message.content += kTag;
  if (!message.parts.empty()) message.parts.back() += kTag;
}

bool cut_at_end(const ChatMessage& message, text::MarkedText& printed) {
  const std::string_view said = message.parts.empty() ? message.content : message.parts.back();
  const std::string_view all = printed.bytes;
  const std::size_t tag = all.rfind(kTagWord);
  if (tag == std::string_view::npos || all.find(text::strip(said)) == std::string_view::npos) return false;
  const bool trims = !all.substr(tag).starts_with(kTag);
  truncate(printed, trims ? strip_right(all.substr(0, tag)).size() : tag);
  return true;
}

}  // namespace herd::chat
