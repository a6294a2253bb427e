#pragma once
// ReplicaDirectory: what lies behind the route of a replica, for a gateway: an actor of this process, or one that stands for a leader
// elsewhere. Called by the gateway's actor alone.

#include <optional>

#include "actors/messages/type_ids.h"

namespace herd::actors {

class ReplicaDirectory {
 public:
  virtual ~ReplicaDirectory() = default;
  // The actor of that generation, told of the gateway or about to be; nothing: it cannot be reached now. One that can be reached
  // later reports to the gateway then.
  [[nodiscard]] virtual std::optional<ReplicaHandle> resolve(const routing::Route& route, const GatewayHandle& gateway) = 0;
  // Routes that it does not have are needed no more.
  virtual void on_view(const routing::ClusterView& /*view*/) {}
  // Whether the end of such an actor is the end of the generation; else only the way there is cut.
  [[nodiscard]] virtual bool end_is_loss() const = 0;
};

}  // namespace herd::actors
