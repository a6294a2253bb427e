#pragma once
// Text that others wrote, made fit for a message to people: what a template printed or refused with.

#include <cstddef>
#include <string>
#include <string_view>

namespace herd::chat {

// At most `bytes` of it, everything but printable ASCII escaped. shown() puts it in quotes.
[[nodiscard]] std::string clean(std::string_view text, std::size_t bytes);
[[nodiscard]] std::string shown(std::string_view text, std::size_t bytes = 72);

}  // namespace herd::chat
