#include "actors/roles/gateway_client.h"

#include <utility>

namespace herd::actors {

void GatewayClient::submit(const gateway::GatewayRequest& request, std::shared_ptr<RequestStream> stream) {
  {
    const std::shared_lock lock(mutex_);
    if (!stopped_) {
      caf::anon_send(gateway_, SubmitRequest{request, std::move(stream)});
      return forget_actor_system();
    }
  }
  gateway::RequestEnd end;
  end.kind = gateway::RequestEnd::Kind::kShutdown;
  end.why = {StatusCode::kAborted, "the cluster is shut down"};
  stream->end(end, shared_->now());
}

void GatewayClient::set_tenant(admission::TenantId tenant, const admission::TenantLimits& limits) {
  shared_->decide([&](gateway::GatewayCore& core) { core.set_tenant(tenant, limits); });
}

void GatewayClient::set_queue_bounds(std::size_t requests_max, std::uint64_t tokens_max) {
  shared_->decide([&](gateway::GatewayCore& core) { core.set_queue_bounds(requests_max, tokens_max); });
}

std::optional<admission::AdmissionRefusal> GatewayClient::refuses_now(admission::TenantId tenant) const {
  const Instant now = shared_->now();
  bool is_told = false;
  auto refused = shared_->decide([&](gateway::GatewayCore& core) {
    auto why = core.refuses_now(tenant, now);
    is_told = why && why->quota && core.quotas().has_demand();
    return why;
  });
  if (is_told && shared_->wants_look()) tell(LookAtQuotas{});
  return refused;
}

void GatewayClient::stop() {
  {
    const std::scoped_lock lock(mutex_);
    if (!stopped_) {
      stopped_ = true;
      caf::anon_send(gateway_, StopGateway{});
      forget_actor_system();
      gateway_ = nullptr;
    }
  }
  shared_->await_end();
}

}  // namespace herd::actors
