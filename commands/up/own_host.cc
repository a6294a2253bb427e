#include "commands/up/own_host.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "cluster/config/cluster_spec.h"

namespace herd::up {
namespace {

// Empty: neither IPv4 nor IPv6.
std::string text_of(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (address->sa_family == AF_INET) bytes = &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
  if (address->sa_family == AF_INET6) bytes = &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  if (bytes == nullptr || ::inet_ntop(address->sa_family, bytes, text.data(), text.size()) == nullptr) return {};
  return config::plain_host(text.data());
}

std::set<std::string> own_addresses() {
  std::set<std::string> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next)
    if (at->ifa_addr != nullptr)
      if (std::string text = text_of(at->ifa_addr); !text.empty()) found.insert(std::move(text));
  return found;
}

std::vector<std::string> resolved(const std::string& host) {
  std::vector<std::string> found;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return found;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) found.push_back(text_of(at->ai_addr));
  return found;
}

}  // namespace

OwnHost OwnHost::look(std::vector<std::string> named) {
  OwnHost host;
  for (const std::string& name : named) host.named_.push_back(config::plain_host(name));
  host.addresses_ = own_addresses();
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0') host.addresses_.insert(config::plain_host(name.data()));
  return host;
}

bool OwnHost::is(const std::string& host) const {
  const std::string plain = config::plain_host(host);
  if (!named_.empty()) return std::ranges::count(named_, plain) > 0;
  if (config::is_loopback(host) || addresses_.contains(plain)) return true;
  return std::ranges::any_of(resolved(host), [this](const std::string& address) { return addresses_.contains(address); });
}

std::string OwnHost::addresses_text() const {
  std::string text;
  for (const std::string& address : addresses_) text += (text.empty() ? "" : ", ") + address;
  return text;
}

}  // namespace herd::up
