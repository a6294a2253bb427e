#pragma once
// replica_proxy: a generation of a replica whose leader is another process, on one connection: submissions and aborts become frames.
// What the leader says does not pass through here (leader_links.h). It ends with the connection.

#include <memory>

#include "actors/link/link_host.h"
#include "actors/messages/type_ids.h"

namespace herd::actors {

class ReplicaProxyState {
 public:
  using Self = ReplicaHandle::stateful_pointer<ReplicaProxyState>;
  void start(std::shared_ptr<link::Link> link, routing::ReplicaGeneration generation, Epoch cluster_epoch, GatewayHandle gateway);
  // Its leader was told when the connection opened: the gateway joins again only to be told all anew.
  void on_joined(const GatewayJoined& joined);
  void on_run(const step::Submission& submission);
  void on_stop(const step::AttemptKey& attempt);

 private:
  // As if the replica had refused it.
  void refuse(const step::AttemptKey& attempt, Status why);

  std::shared_ptr<link::Link> link_;
  routing::ReplicaGeneration generation_;
  Epoch cluster_epoch_;
  GatewayHandle gateway_;
  bool joined_ = false;
};

ReplicaHandle::behavior_type replica_proxy(ReplicaProxyState::Self self, std::shared_ptr<link::Link> link,
                                           routing::ReplicaGeneration generation, Epoch cluster_epoch, GatewayHandle gateway);

}  // namespace herd::actors
