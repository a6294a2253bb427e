#include "actors/roles/shared_gateway.h"

namespace herd::actors {

void SharedGateway::publish(std::shared_ptr<const ClusterStatus> status) {
  {
    const std::scoped_lock lock(mutex_);
    status_.swap(status);
  }
  changed_.notify_all();
}

std::shared_ptr<const ClusterStatus> SharedGateway::status() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

bool SharedGateway::await_status(const std::function<bool(const ClusterStatus&)>& wanted,
                                 std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return wanted(*status_); });
}

void SharedGateway::set_ended() {
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
}

void SharedGateway::await_end() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ended_; });
}

}  // namespace herd::actors
