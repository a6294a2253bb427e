#pragma once
// StandaloneActors: the actors of one process and who spawns whom; see actors/README.md. What StandaloneCluster keeps behind
// its fence, for those who need the actors' handles: tests that kill one, or join a second gateway.

#include <chrono>
#include <memory>
#include <vector>

#include "actors/messages/type_ids.h"
#include "actors/roles/address_book.h"
#include "actors/roles/local_moves.h"
#include "actors/roles/gateway_client.h"
#include "actors/roles/live_ranks.h"
#include "actors/standalone_cluster.h"

namespace herd::actors {

class StandaloneActors {
 public:
  // `config` is valid.
  explicit StandaloneActors(StandaloneConfig config);
  ~StandaloneActors() { (void)shutdown(StandaloneCluster::kPatience); }
  StandaloneActors(const StandaloneActors&) = delete;
  StandaloneActors& operator=(const StandaloneActors&) = delete;

  // Spawns all, and waits as StandaloneCluster::start does. Once.
  Status start();
  [[nodiscard]] GatewayClient& client() { return *client_; }
  // Another gateway of the same replicas; it ends with its client, and knows the replicas a moment after it is made.
  [[nodiscard]] std::unique_ptr<GatewayClient> join_gateway(const gateway::GatewayConfig& config);
  // The actor of that rank as it is now; null while it is being started again.
  [[nodiscard]] RankHandle rank(ReplicaId replica, std::uint32_t rank);
  [[nodiscard]] std::shared_ptr<AddressBook> addresses() const { return addresses_; }
  // As StandaloneCluster::shutdown(). Gateways that joined have been stopped before.
  bool shutdown(std::chrono::milliseconds patience);

 private:
  void spawn_supervisor(ReplicaId replica);
  Status await_serving();

  struct System {
    explicit System(std::size_t threads) : config(threads), actors(config) {}
    ActorSystemConfig config;
    caf::actor_system actors;
  };

  StandaloneConfig config_;
  std::unique_ptr<System> system_;  // never freed when a rank's thread does not come back
  bool hangs_ = false;              // such a one is there
  CoordinatorHandle coordinator_;
  std::vector<SupervisorHandle> supervisors_;
  const std::shared_ptr<AddressBook> addresses_ = std::make_shared<AddressBook>();
  const std::shared_ptr<LocalMoves> moves_ = std::make_shared<LocalMoves>();
  const std::shared_ptr<LiveRanks> live_ranks_ = std::make_shared<LiveRanks>();
  std::unique_ptr<GatewayClient> client_;
};

}  // namespace herd::actors
