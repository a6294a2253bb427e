#pragma once
// AddressBook: what lies behind the address of a route, in this process: the actor of the replica's generation that is there now.
// Any thread.

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "actors/roles/replica_directory.h"

namespace herd::actors {

class AddressBook final : public ReplicaDirectory {
 public:
  void enter(const routing::Route& route, ReplicaHandle replica) {
    const std::scoped_lock lock(mutex_);
    replicas_.insert_or_assign(route.address, Entry{route.generation, std::move(replica)});
  }
  void erase(const std::string& address) {
    const std::scoped_lock lock(mutex_);
    replicas_.erase(address);
  }
  [[nodiscard]] bool end_is_loss() const override { return true; }
  [[nodiscard]] std::optional<ReplicaHandle> resolve(const routing::Route& route, const GatewayHandle& /*gateway*/) override {
    const std::scoped_lock lock(mutex_);
    const auto known = replicas_.find(route.address);
    if (known == replicas_.end() || known->second.generation != route.generation) return std::nullopt;
    return known->second.replica;
  }
  void clear() {
    const std::scoped_lock lock(mutex_);
    replicas_.clear();
  }

 private:
  struct Entry {
    routing::ReplicaGeneration generation;
    ReplicaHandle replica;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Entry> replicas_;
};

}  // namespace herd::actors
