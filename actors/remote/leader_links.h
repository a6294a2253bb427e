#pragma once
// LeaderLinks: the replicas of a gateway whose leaders are other processes. One connection an address of the view, dialled again
// whenever it ends; a generation is an actor on the connection of the moment (replica_proxy.h), which ends with it.
//
//   on open: GatewayJoin --> leader; the leader's first ReplicaReport of a generation says that it can be sent to
//   frames of a generation that the view does not have there are dropped before they are decoded, and counted

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "actors/link/link_host.h"
#include "actors/roles/replica_directory.h"
#include "cluster/routing/gateway_join.h"

namespace herd::actors {

class LeaderLink;

class LeaderLinks final : public ReplicaDirectory {
 public:
  // `system` and `host` outlive it. `join`: what is said first on every connection; any thread.
  LeaderLinks(caf::actor_system& system, link::LinkHost& host, std::function<routing::GatewayJoin()> join);
  ~LeaderLinks() override;
  LeaderLinks(const LeaderLinks&) = delete;
  LeaderLinks& operator=(const LeaderLinks&) = delete;

  [[nodiscard]] std::optional<ReplicaHandle> resolve(const routing::Route& route, const GatewayHandle& gateway) override;
  void on_view(const routing::ClusterView& view) override;
  [[nodiscard]] bool end_is_loss() const override { return false; }

  // Frames that were dropped. Any thread.
  [[nodiscard]] std::uint64_t stale_frames() const { return *stale_; }

 private:
  caf::actor_system& system_;
  link::LinkHost& host_;
  const std::function<routing::GatewayJoin()> join_;
  const std::shared_ptr<std::atomic<std::uint64_t>> stale_ = std::make_shared<std::atomic<std::uint64_t>>(0);
  Epoch cluster_epoch_;
  struct Dialled {
    std::shared_ptr<LeaderLink> link;
    std::unique_ptr<link::Dial> dial;
  };
  std::map<std::string, Dialled> leaders_;  // by address
};

}  // namespace herd::actors
