#pragma once
// SharedGateway: what a gateway's actor and its client share. The core stands behind a lock that is held only while it
// decides: never while a stream is called or a message is sent. So I/O threads ask it (refuses_now) without a mailbox.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "actors/client/cluster_status.h"
#include "cluster/gateway/gateway_core.h"
#include "cluster/report/process_report.h"
#include "runtime/clock.h"

namespace herd::actors {

class SharedGateway {
 public:
  SharedGateway(const gateway::GatewayConfig& config, std::function<Instant()> clock)
      : id_(config.id), clock_(std::move(clock)), core_(config), status_(std::make_shared<const ClusterStatus>()) {}

  [[nodiscard]] GatewayId id() const { return id_; }
  [[nodiscard]] Instant now() const { return clock_(); }

  // `ask(core)`, under the lock.
  template <class Ask>
  auto decide(Ask ask) {
    const std::scoped_lock lock(core_mutex_);
    return ask(core_);
  }
  template <class Ask>
  auto look(Ask ask) const {
    const std::scoped_lock lock(core_mutex_);
    return ask(core_);
  }

  void publish(std::shared_ptr<const ClusterStatus> status);
  [[nodiscard]] std::shared_ptr<const ClusterStatus> status() const;  // never null
  // Waits for a status like that; false when `timeout` passed first.
  [[nodiscard]] bool await_status(const std::function<bool(const ClusterStatus&)>& wanted,
                                  std::chrono::milliseconds timeout);

  // What the coordinator is to be told of quotas goes to `reader`, on the actor's thread; without one it is told nothing. Once, before
  // anybody asks for anything.
  void set_demand_reader(std::function<void(const routing::QuotaDemand&)> reader) { demand_reader_ = std::move(reader); }
  void tell(const routing::QuotaDemand& demand) const {
    if (demand_reader_) demand_reader_(demand);
  }
  // What the prefix caches of the replicas have done goes to `reader`, on the actor's thread, a few times a second at most. Once, before
  // anybody asks for anything.
  void set_cache_reader(std::function<void(std::vector<report::CacheReport>)> reader) { cache_reader_ = std::move(reader); }
  void tell(std::vector<report::CacheReport> caches) const {
    if (cache_reader_) cache_reader_(std::move(caches));
  }
  // The actor is to look at the quotas: true for whoever has to send it LookAtQuotas, false when somebody did and it has not come.
  [[nodiscard]] bool wants_look() { return !look_is_sent_.exchange(true); }
  void looks() { look_is_sent_ = false; }

  // The actor has told every stream its end.
  void set_ended();
  void await_end();

 private:
  const GatewayId id_;
  const std::function<Instant()> clock_;
  mutable std::mutex core_mutex_;
  gateway::GatewayCore core_;
  std::function<void(const routing::QuotaDemand&)> demand_reader_;
  std::function<void(std::vector<report::CacheReport>)> cache_reader_;
  std::atomic<bool> look_is_sent_ = false;

  mutable std::mutex mutex_;  // of the below
  std::condition_variable changed_;
  std::shared_ptr<const ClusterStatus> status_;
  bool ended_ = false;
};

}  // namespace herd::actors
