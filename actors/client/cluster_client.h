#pragma once
// ClusterClient: the one door to a cluster, whether its replicas are in this process or elsewhere. Requests go in with a
// RequestStream each, which hears everything about its request. Any thread; no method waits, except stop().

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "actors/client/cluster_status.h"
#include "actors/client/request_stream.h"
#include "cluster/admission/admission_queue.h"
#include "cluster/gateway/gateway_effects.h"
#include "runtime/ids.h"

namespace herd::actors {

class ClusterClient {
 public:
  virtual ~ClusterClient() = default;

  // The stream hears the end exactly once, on the gateway's thread, whatever happens; after stop() at once, on the
  // calling thread (kShutdown). The caller chooses request.id, never used before with this client.
  virtual void submit(const gateway::GatewayRequest& request, std::shared_ptr<RequestStream> stream) = 0;
  // `deltas` that RequestStream::deliver did not report as consumed are so now.
  virtual void consumed(RequestId request, std::size_t deltas) = 0;
  // The choice ends well, without another delta. Unknown and ended requests are ignored, here and below.
  virtual void stop_choice(RequestId request, std::uint32_t choice) = 0;
  // Nobody reads any more: the request ends (kGone).
  virtual void gone(RequestId request) = 0;

  // The last status published. Never null.
  [[nodiscard]] virtual std::shared_ptr<const ClusterStatus> status() const = 0;
  // New limits hold from the next request on.
  virtual void set_tenant(admission::TenantId tenant, const admission::TenantLimits& limits) = 0;
  // Of what waits to run, both at least 1; from the next request on.
  virtual void set_queue_bounds(std::size_t requests_max, std::uint64_t tokens_max) = 0;
  // Would a request be refused whatever it asks for? Cheap; asked before a body is read.
  [[nodiscard]] virtual std::optional<admission::AdmissionRefusal> refuses_now(admission::TenantId tenant) const = 0;

  // Ends every open request (kShutdown) and returns when each has been told. Not from a stream. Repeatable.
  virtual void stop() = 0;
};

}  // namespace herd::actors
