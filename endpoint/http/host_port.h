#pragma once
// HOST or HOST:PORT taken apart, as a request line and a Host header name a server. What a host may look like is the
// caller's question.

#include <optional>
#include <string_view>

namespace herd::http {

struct HostPort {
  std::string_view host;   // without the brackets of an IPv6 address; may be empty
  bool bracketed = false;  // an IPv6 address
  std::string_view port;   // digits; empty when there is none
};

// None: brackets that do not enclose the host, a second colon outside of them, a port that is not digits.
[[nodiscard]] std::optional<HostPort> split_host_port(std::string_view text);

}  // namespace herd::http
