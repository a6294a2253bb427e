#pragma once
// SimCoordinator: lives of a CoordinatorCore. It may be silent (it hears everything later) or start again, knowing nothing:
// then what serves is adopted, the rest is placed, and gateways join last.

#include <cstdint>
#include <map>
#include <memory>

#include "cluster/membership/coordinator_core.h"
#include "tests/sim/network.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimCoordinator {
 public:
  SimCoordinator(World& world, Network& network) : world_(world), network_(network) {}
  void connect(Parts parts) { parts_ = std::move(parts); }

  [[nodiscard]] std::uint64_t life() const { return lives_; }
  [[nodiscard]] bool up() const { return core_ != nullptr; }
  [[nodiscard]] Instant silent_until() const { return silent_until_; }
  [[nodiscard]] bool answers() const { return up() && silent_until_ <= world_.now(); }
  [[nodiscard]] const routing::ClusterView& view() const { return core_->view(); }

  void start();
  void stop();  // it will start again
  void be_silent(std::int64_t us);

  routing::ReplicaGeneration place(const SimReplica& replica);
  void on_notice(const Network::Notice& notice);
  // Tells it all there is, as soon as it can.
  void join(std::uint32_t gateway);

 private:
  void carry_out(const membership::CoordinatorEffects& effects);

  World& world_;
  Network& network_;
  Parts parts_;
  std::unique_ptr<membership::CoordinatorCore> core_;
  std::map<std::uint32_t, Link> joined_;  // gateways
  std::uint64_t lives_ = 0;
  Instant silent_until_;
};

}  // namespace herd::sim
