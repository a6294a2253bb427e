#pragma once
// GatewayClient: the ClusterClient of a gateway actor in this process.

#include <chrono>
#include <memory>
#include <shared_mutex>

#include "actors/client/cluster_client.h"
#include "actors/messages/type_ids.h"
#include "actors/roles/shared_gateway.h"

namespace herd::actors {

class GatewayClient final : public ClusterClient {
 public:
  GatewayClient(std::shared_ptr<SharedGateway> shared, GatewayHandle gateway)
      : shared_(std::move(shared)), gateway_(std::move(gateway)) {}
  ~GatewayClient() override { GatewayClient::stop(); }
  GatewayClient(const GatewayClient&) = delete;
  GatewayClient& operator=(const GatewayClient&) = delete;

  void submit(const gateway::GatewayRequest& request, std::shared_ptr<RequestStream> stream) override;
  void consumed(RequestId request, std::size_t deltas) override { tell(DeltasConsumed{request, deltas}); }
  void stop_choice(RequestId request, std::uint32_t choice) override { tell(StopChoice{request, choice}); }
  void gone(RequestId request) override { tell(ReaderGone{request}); }
  [[nodiscard]] std::shared_ptr<const ClusterStatus> status() const override { return shared_->status(); }
  void set_tenant(admission::TenantId tenant, const admission::TenantLimits& limits) override;
  void set_queue_bounds(std::size_t requests_max, std::uint64_t tokens_max) override;
  [[nodiscard]] std::optional<admission::AdmissionRefusal> refuses_now(admission::TenantId tenant) const override;
  void stop() override;

  // Waits for a status like that; false when `timeout` passed first.
  [[nodiscard]] bool await_status(const std::function<bool(const ClusterStatus&)>& wanted,
                                  std::chrono::milliseconds timeout) {
    return shared_->await_status(wanted, timeout);
  }

 private:
  template <class Message>
  void tell(Message message) const {
    const std::shared_lock lock(mutex_);
    if (stopped_) return;
    caf::anon_send(gateway_, std::move(message));
    forget_actor_system();
  }

  const std::shared_ptr<SharedGateway> shared_;
  // Held shared by every call, alone by stop(): the gateway ends what was submitted before.
  mutable std::shared_mutex mutex_;
  bool stopped_ = false;
  GatewayHandle gateway_;
};

}  // namespace herd::actors
