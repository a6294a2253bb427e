// Target: the base URL of a load run taken apart.

#include <charconv>

#include "commands/load/load_client.h"
#include "runtime/text/address_text.h"

namespace herd::load {

std::string Target::url() const {
  return (tls ? "https://" : "http://") + text::address_text(host, port) + base_path;
}

Expected<Target> parse_base_url(const std::string& url) {
  const auto refuse = [&](const std::string& why) {
    return fail(
        usage_error("--base-url must be such as http://127.0.0.1:8000, not \"" + url.substr(0, 200) + "\": " + why));
  };
  Target target;
  std::string rest = url;
  if (const std::size_t scheme = rest.find("://"); scheme != std::string::npos) {
    const std::string name = rest.substr(0, scheme);
    if (name != "http" && name != "https") return refuse("the scheme is neither http nor https");
    target.tls = name == "https";
    rest.erase(0, scheme + 3);
  }
  if (rest.find_first_of(" \t\r\n@?#") != std::string::npos) return refuse("white space, '@', '?' or '#' in it");
  if (const std::size_t slash = rest.find('/'); slash != std::string::npos) {
    target.base_path = rest.substr(slash);
    rest.resize(slash);
    while (target.base_path.ends_with('/')) target.base_path.pop_back();
  }
  if (rest.starts_with('[')) {
    const std::size_t close = rest.find(']');
    if (close == std::string::npos) return refuse("'[' without ']'");
    target.host = rest.substr(1, close - 1);
    rest.erase(0, close + 1);
    if (!rest.empty() && rest.front() != ':') return refuse("no ':' behind ']'");
  } else {
    target.host = rest.substr(0, rest.find(':'));
    rest.erase(0, target.host.size());
  }
  if (target.host.empty()) return refuse("it names no host");
  target.port = target.tls ? "443" : "80";
  if (!rest.empty()) {
    target.port = rest.substr(1);
    unsigned number = 0;
    const char* const end = target.port.data() + target.port.size();
    const auto [stop, error] = std::from_chars(target.port.data(), end, number);
    if (error != std::errc{} || stop != end || number < 1 || number > 65535)
      return refuse("the port is no number from 1 to 65535");
  }
  return target;
}

}  // namespace herd::load
