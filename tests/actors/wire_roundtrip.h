#pragma once
// The codecs on a message's way: submissions, deltas, plans, results and bytes of blocks pass through encode, seal, open and decode, as they
// would between processes. Decorators of a rank and of a stream put them there. These are our own bytes, so a refusal is our
// bug and ends the process.

#include <memory>
#include <utility>
#include <vector>

#include "actors/client/cluster_client.h"
#include "cluster/wire/generate_codec.h"
#include "runtime/shard/rank_executor.h"
#include "runtime/step/attempt_key.h"
#include "runtime/step/block_bytes.h"
#include "runtime/step/step_plan.h"
#include "runtime/step/submission.h"

namespace herd::actors {

class WireRoundtrip {
 public:
  explicit WireRoundtrip(bool on = true) : on_(on) {}
  [[nodiscard]] step::Submission operator()(step::Submission submission) const;
  [[nodiscard]] step::AttemptKey operator()(step::AttemptKey aborted) const;
  [[nodiscard]] std::vector<step::TokenDelta> operator()(std::vector<step::TokenDelta> deltas) const;
  [[nodiscard]] step::StepPlan operator()(step::StepPlan plan) const;
  [[nodiscard]] step::StepResult operator()(step::StepResult result) const;
  [[nodiscard]] step::BlockBytes operator()(const step::BlockBytes& block) const;

 private:
  bool on_;
};

// Its plans and results pass through their codecs.
std::unique_ptr<shard::RankExecutor> through_wire(std::unique_ptr<shard::RankExecutor> rank);
// Its submissions and deltas do.
std::shared_ptr<RequestStream> through_wire(std::shared_ptr<RequestStream> stream);
// Every stream that is submitted here does.
class WireClient final : public ClusterClient {
 public:
  explicit WireClient(ClusterClient& client) : client_(client) {}
  void submit(const gateway::GatewayRequest& request, std::shared_ptr<RequestStream> stream) override {
    client_.submit(request, through_wire(std::move(stream)));
  }
  void consumed(RequestId request, std::size_t deltas) override { client_.consumed(request, deltas); }
  void stop_choice(RequestId request, std::uint32_t choice) override { client_.stop_choice(request, choice); }
  void gone(RequestId request) override { client_.gone(request); }
  [[nodiscard]] std::shared_ptr<const ClusterStatus> status() const override { return client_.status(); }
  void set_tenant(admission::TenantId tenant, const admission::TenantLimits& limits) override {
    client_.set_tenant(tenant, limits);
  }
  void set_queue_bounds(std::size_t requests_max, std::uint64_t tokens_max) override {
    client_.set_queue_bounds(requests_max, tokens_max);
  }
  [[nodiscard]] std::optional<admission::AdmissionRefusal> refuses_now(admission::TenantId tenant) const override {
    return client_.refuses_now(tenant);
  }
  void stop() override { client_.stop(); }

 private:
  ClusterClient& client_;
};

}  // namespace herd::actors
