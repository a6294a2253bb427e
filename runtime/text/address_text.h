#pragma once
// HOST:PORT as people and URLs write it: an IPv6 address stands in brackets.

#include <cstdint>
#include <string>
#include <string_view>

namespace herd::text {

// A host that has brackets keeps them.
[[nodiscard]] std::string address_text(std::string_view host, std::string_view port);
[[nodiscard]] std::string address_text(std::string_view host, std::int64_t port);

}  // namespace herd::text
