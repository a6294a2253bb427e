#include "cluster/config/cluster_spec.h"

#include <bitset>
#include <charconv>

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

}  // namespace

int cpus_in_set(const std::string& set) {
  std::bitset<kCpusMax> cpus;
  const char* at = set.data();
  const char* const end = set.data() + set.size();
  while (true) {
    const int first = read_cpu(at, end);
    int last = first;
    if (first >= 0 && at != end && *at == '-') last = read_cpu(++at, end);
    if (first < 0 || last < first) return 0;
    for (int cpu = first; cpu <= last; ++cpu) {
      if (cpus[static_cast<std::size_t>(cpu)]) return 0;
      cpus.set(static_cast<std::size_t>(cpu));
    }
    if (at == end) return static_cast<int>(cpus.count());
    if (*at++ != ',') return 0;
  }
}

std::string host_of(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return host;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

bool is_wildcard(const std::string& host) { return host == "0.0.0.0" || host == "::" || host == "*"; }

}  // namespace herd::config
