#include "runtime/text/address_text.h"

namespace herd::text {

std::string address_text(std::string_view host, std::string_view port) {
  const bool bracket = host.find(':') != std::string_view::npos && !host.starts_with('[');
  std::string text = bracket ? "[" : "";
  text.append(host).append(bracket ? "]:" : ":").append(port);
  return text;
}

std::string address_text(std::string_view host, std::int64_t port) { return address_text(host, std::to_string(port)); }

}  // namespace herd::text
