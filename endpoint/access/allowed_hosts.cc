#include "endpoint/access/allowed_hosts.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "endpoint/http/host_port.h"

namespace herd::access {
namespace {

std::string lower(std::string_view text) {
  std::string letters(text);
  std::ranges::transform(letters, letters.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return letters;
}

// Of HOST or HOST:PORT, in lower case, without brackets and the dot that may end a name; empty when it is neither.
std::string name_of(std::string_view host) {
  const auto parts = http::split_host_port(host);
  if (!parts) return {};
  std::string_view name = parts->host;
  if (!parts->bracketed && name.ends_with('.')) name.remove_suffix(1);
  return lower(name);
}

enum class Address { kNone, kLoopback, kUnspecified, kOther };

// Of an IPv4 address in any of its spellings (127.1), or an IPv6 one.
Address address_of(const std::string& name) {
  in6_addr v6{};
  in_addr v4{};
  std::uint32_t bits = 0;
  if (inet_pton(AF_INET6, name.c_str(), &v6) == 1) {
    if (IN6_IS_ADDR_LOOPBACK(&v6)) return Address::kLoopback;
    if (IN6_IS_ADDR_UNSPECIFIED(&v6)) return Address::kUnspecified;
    if (!IN6_IS_ADDR_V4MAPPED(&v6)) return Address::kOther;
    for (int i = 12; i < 16; ++i) bits = bits << 8 | v6.s6_addr[i];
  } else if (inet_aton(name.c_str(), &v4) != 0) {
    bits = ntohl(v4.s_addr);
  } else {
    return Address::kNone;
  }
  if (bits >> 24 == 127) return Address::kLoopback;
  return bits == 0 ? Address::kUnspecified : Address::kOther;
}

// As an operator writes it: an IPv6 address may stand without its brackets.
std::string name_of_flag(const std::string& text) { return address_of(text) == Address::kNone ? name_of(text) : lower(text); }

}  // namespace

Expected<AllowedHosts> AllowedHosts::make(const std::vector<std::string>& listed, const std::string& own) {
  AllowedHosts hosts;
  hosts.own_ = name_of_flag(own);
  for (const std::string& entry : listed) {
    if (entry == "*") {
      hosts.any_ = true;
      continue;
    }
    std::string name = name_of_flag(entry);
    const bool broken = name.empty() || name.find_first_of("/@*, \t[]") != std::string::npos;
    if (broken) return fail(usage_error("--allowed-hosts takes names and addresses, or * alone, not \"" + entry + "\""));
    hosts.listed_.push_back(std::move(name));
  }
  return hosts;
}

bool AllowedHosts::allow(std::string_view host, std::string_view listener) const {
  const std::string listens = name_of(listener);
  const bool local = address_of(listens) == Address::kLoopback;
  if (any_ || (!local && listed_.empty())) return true;
  const std::string name = name_of(host);
  if (name.empty()) return false;
  if (name == "localhost" || name.ends_with(".localhost") || name == listens || name == own_) return true;
  if (std::ranges::count(listed_, name) > 0) return true;
  const Address address = address_of(name);
  return address == Address::kLoopback || address == Address::kUnspecified || (address == Address::kOther && !local);
}

}  // namespace herd::access
