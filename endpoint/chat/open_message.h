#pragma once
// A prompt that ends inside its last message (continue_final_message), found as Hugging Face finds the place: a tag goes
// behind the message's text, and what is printed ends where the tag is printed. Pure.

#include "endpoint/chat/conversation.h"
#include "runtime/text/marked_text.h"

namespace herd::chat {

// Puts the tag behind the text of `message`.
void mark_end(ChatMessage& message);

// Cuts what was printed of a conversation whose last message was `message` and got a tag. False: the template does not
// print that text, or not to its end.
[[nodiscard]] bool cut_at_end(const ChatMessage& message, text::MarkedText& printed);

}  // namespace herd::chat
