#include "endpoint/http/host_port.h"

#include <algorithm>

namespace herd::http {

std::optional<HostPort> split_host_port(std::string_view text) {
  HostPort parts;
  parts.bracketed = text.starts_with('[');
  const std::size_t bracket = parts.bracketed ? text.find(']') : 0;
  if (bracket == std::string_view::npos) return std::nullopt;
  const std::size_t colon = std::min(text.find(':', bracket), text.size());
  parts.host = text.substr(0, colon);
  parts.port = text.substr(std::min(colon + 1, text.size()));
  if (!std::ranges::all_of(parts.port, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  if (!parts.bracketed) return parts.host.find_first_of("[]") == std::string_view::npos ? std::optional(parts) : std::nullopt;
  if (parts.host.size() != bracket + 1) return std::nullopt;
  parts.host = parts.host.substr(1, bracket - 1);
  return parts;
}

}  // namespace herd::http
