#include "endpoint/http/connection_counts.h"

namespace herd::http {

void ConnectionCounts::set_limits(std::size_t connections_max, std::size_t per_address_max) {
  const std::lock_guard lock(mutex_);
  connections_max_ = connections_max;
  per_address_max_ = per_address_max;
}

bool ConnectionCounts::enter(const AddressKey* address) {
  const std::lock_guard lock(mutex_);
  if (connections_ >= connections_max_) return false;
  if (address) {
    std::size_t& held = per_address_[*address];
    if (held >= per_address_max_) return false;  // so it is no fresh entry: the limit is at least 1
    ++held;
  }
  ++connections_;
  return true;
}

void ConnectionCounts::leave(const AddressKey* address) {
  const std::lock_guard lock(mutex_);
  --connections_;
  if (!address) return;
  const auto found = per_address_.find(*address);
  if (--found->second == 0) per_address_.erase(found);
}

}  // namespace herd::http
