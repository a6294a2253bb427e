#pragma once
// ConnectionCounts: how many connections a server and each client address hold. Any thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace herd::http {

// An address as limits see it: an IPv4 address, or the /64 of an IPv6 one.
using AddressKey = std::array<std::uint8_t, 9>;

class ConnectionCounts {
 public:
  ConnectionCounts(std::size_t connections_max, std::size_t per_address_max)
      : connections_max_(connections_max), per_address_max_(per_address_max) {}

  // What is above the new limits stays; nobody else is let in before it is below them. Both at least 1.
  void set_limits(std::size_t connections_max, std::size_t per_address_max);
  // Null for an address that has no limit of its own (loopback). False: over a limit, nothing was counted.
  bool enter(const AddressKey* address);
  void leave(const AddressKey* address);  // of what entered

 private:
  std::mutex mutex_;  // of the below
  std::size_t connections_max_;
  std::size_t per_address_max_;
  std::size_t connections_ = 0;
  std::map<AddressKey, std::size_t> per_address_;
};

}  // namespace herd::http
