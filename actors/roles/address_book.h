#pragma once
// AddressBook: what lies behind the address of a route, in this process: the replica's actor, or whatever stands for it
// here. Any thread.

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "actors/messages/type_ids.h"

namespace herd::actors {

class AddressBook {
 public:
  void enter(const std::string& address, ReplicaHandle replica) {
    const std::scoped_lock lock(mutex_);
    replicas_.insert_or_assign(address, std::move(replica));
  }
  // Nothing: the replica cannot be reached from here.
  [[nodiscard]] std::optional<ReplicaHandle> resolve(const std::string& address) const {
    const std::scoped_lock lock(mutex_);
    const auto known = replicas_.find(address);
    return known == replicas_.end() ? std::nullopt : std::optional(known->second);
  }
  void clear() {
    const std::scoped_lock lock(mutex_);
    replicas_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, ReplicaHandle> replicas_;
};

}  // namespace herd::actors
