#include "cluster/config/cluster_spec.h"

#include <algorithm>
#include <bitset>
#include <charconv>
#include <string_view>

#include <arpa/inet.h>

#include "runtime/text/hex.h"

namespace herd::config {
namespace {

constexpr std::size_t kCpusMax = 4096;

// A CPU's number at `at`, which moves behind it. -1: there is none, or it is too large.
int read_cpu(const char*& at, const char* end) {
  int cpu = -1;
  const auto [stop, error] = std::from_chars(at, end, cpu);
  if (error != std::errc{} || cpu < 0 || cpu >= static_cast<int>(kCpusMax)) return -1;
  at = stop;
  return cpu;
}

// An IP address in its shortest form; empty: the text is none.
std::string plain_address(const std::string& text) {
  in_addr v4{};
  in6_addr v6{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return text;
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return {};
  char shortest[INET6_ADDRSTRLEN];
  std::string plain = inet_ntop(AF_INET6, &v6, shortest, sizeof shortest);
  const std::string mapped = "::ffff:";  // before an IPv4 address
  return plain.starts_with(mapped) && plain.find('.') != std::string::npos ? plain.substr(mapped.size()) : plain;
}

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

bool is_label(std::string_view label) {
  const auto part = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; };
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' && std::ranges::all_of(label, part);
}

// What resolvers read as an IPv4 address in parts: "1", "0x7f".
bool is_number(std::string_view label) {
  const bool hexadecimal = label.starts_with("0x") || label.starts_with("0X");
  if (!hexadecimal) return std::ranges::all_of(label, is_digit);
  return std::ranges::all_of(label.substr(2), [](char c) { return text::hex_value(c) >= 0; });
}

bool is_dns_name(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.size() > 253) return false;
  while (true) {
    const std::size_t dot = std::min(name.find('.'), name.size());
    const std::string_view label = name.substr(0, dot);
    if (!is_label(label)) return false;
    if (dot == name.size()) return !is_number(label);
    name.remove_prefix(dot + 1);
  }
}

}  // namespace

std::vector<int> cpus_of_set(const std::string& set) {
  std::bitset<kCpusMax> seen;
  std::vector<int> cpus;
  const char* at = set.data();
  const char* const end = set.data() + set.size();
  while (true) {
    const int first = read_cpu(at, end);
    int last = first;
    if (first >= 0 && at != end && *at == '-') last = read_cpu(++at, end);
    if (first < 0 || last < first) return {};
    for (int cpu = first; cpu <= last; ++cpu) {
      if (seen[static_cast<std::size_t>(cpu)]) return {};
      seen.set(static_cast<std::size_t>(cpu));
      cpus.push_back(cpu);
    }
    if (at == end) return cpus;
    if (*at++ != ',') return {};
  }
}

int cpus_in_set(const std::string& set) { return static_cast<int>(cpus_of_set(set).size()); }

std::string host_of(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return host;
}

std::uint16_t port_of(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::uint16_t port = 0;
  if (colon == std::string::npos) return 0;
  const char* const end = address.data() + address.size();
  const auto [last, error] = std::from_chars(address.data() + colon + 1, end, port);
  return error == std::errc{} && last == end ? port : std::uint16_t{0};
}

bool is_host(const std::string& host) { return !plain_address(host).empty() || is_dns_name(host); }

std::string plain_host(const std::string& host) {
  if (std::string address = plain_address(host); !address.empty()) return address;
  std::string name = host;
  if (name.ends_with('.')) name.pop_back();
  for (char& letter : name)
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  return name == "localhost" ? "127.0.0.1" : name;
}

bool is_loopback(const std::string& host) {
  const std::string plain = plain_host(host);
  return plain == "::1" || (plain.starts_with("127.") && !plain_address(plain).empty());
}

std::string listen_address(const std::string& host) {
  const std::string plain = plain_host(host);
  const bool numeric = plain.find(':') != std::string::npos || plain.find_first_not_of("0123456789.") == std::string::npos;
  return numeric ? plain : "0.0.0.0";
}

bool is_wildcard(const std::string& host) {
  const std::string plain = plain_host(host);
  return plain == "0.0.0.0" || plain == "::";
}

}  // namespace herd::config
