#pragma once
// StandaloneActors: the actors of one process and who spawns whom; see actors/README.md. What StandaloneCluster keeps behind
// its fence, for those who need the actors' handles: tests that kill one, or join a second gateway.

#include <memory>
#include <optional>
#include <vector>

#include "actors/messages/type_ids.h"
#include "actors/roles/address_book.h"
#include "actors/roles/gateway_client.h"
#include "actors/standalone_cluster.h"

namespace herd::actors {

class StandaloneActors {
 public:
  // `config` is valid.
  explicit StandaloneActors(StandaloneConfig config);
  ~StandaloneActors() { shutdown(); }
  StandaloneActors(const StandaloneActors&) = delete;
  StandaloneActors& operator=(const StandaloneActors&) = delete;

  // Spawns all, and waits as StandaloneCluster::start does. Once.
  Status start();
  [[nodiscard]] GatewayClient& client() { return *client_; }
  // Another gateway of the same replicas; it ends with its client, and knows the replicas a moment after it is made.
  [[nodiscard]] std::unique_ptr<GatewayClient> join_gateway(const gateway::GatewayConfig& config);
  [[nodiscard]] const ReplicaHandle& replica(ReplicaId replica) const { return replicas_.at(replica.value); }
  [[nodiscard]] const ShardHandle& rank(ReplicaId replica, std::uint32_t rank) const {
    return ranks_.at(replica.value).at(rank);
  }
  // Gateways that joined have been stopped before.
  void shutdown();

 private:
  void spawn_replica(const routing::ReplicaView& view);
  Status await_serving();

  StandaloneConfig config_;
  ActorSystemConfig system_config_;
  std::optional<caf::actor_system> system_;
  CoordinatorHandle coordinator_;
  std::vector<ReplicaHandle> replicas_;
  std::vector<std::vector<ShardHandle>> ranks_;  // [replica][rank]
  const std::shared_ptr<AddressBook> addresses_ = std::make_shared<AddressBook>();
  std::unique_ptr<GatewayClient> client_;
};

}  // namespace herd::actors
