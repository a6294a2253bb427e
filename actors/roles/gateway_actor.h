#pragma once
// gateway_actor: takes submissions, finds each a replica, and passes its tokens to its sink. Owns the ledger, which
// decides what is owed and admitted; see cluster/gateway/request_ledger.h.
//   serving --SubmitSequence, DeltasMade, ReplicaLost, …--> serving
//   serving --StopGateway--> ended, every open sequence with a terminal delta

#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>

#include "actors/messages/delta_sink.h"
#include "actors/messages/type_ids.h"
#include "actors/messages/wire_roundtrip.h"
#include "cluster/gateway/request_ledger.h"

namespace herd::actors {

struct GatewayConfig {
  gateway::RequestLedgerConfig ledger{};
  std::chrono::milliseconds route_timeout{5'000};  // of the coordinator's answer
  bool wire_roundtrip = false;
  // Submissions sent and not yet looked at; the sender bounds them (mailboxes do not). Never null.
  std::shared_ptr<std::atomic<std::size_t>> submissions_waiting = std::make_shared<std::atomic<std::size_t>>(0);
};

class GatewayState {
 public:
  using Self = GatewayHandle::stateful_pointer<GatewayState>;
  explicit GatewayState(Self self) : self_(self) {}
  void start(GatewayConfig config, CoordinatorHandle coordinator);

  void on_submit(const SubmitSequence& order);
  void on_abort(SequenceId sequence, const Status& why);
  void on_deltas(const DeltasMade& made);
  void on_replica_lost(const ReplicaLost& lost);
  void on_stop();
  [[nodiscard]] gateway::RequestLedgerStats stats() const { return ledger_->stats(); }

 private:
  void ask_route(SequenceId sequence);
  void on_route(SequenceId sequence, const Route& route);
  void deliver(const step::TokenDelta& delta);

  Self self_;
  GatewayConfig config_;
  CoordinatorHandle coordinator_;
  WireRoundtrip through_wire_{false};
  std::optional<gateway::RequestLedger> ledger_;
  std::map<SequenceId, std::shared_ptr<DeltaSink>> sinks_;        // of the ledger's open sequences
  std::map<routing::ReplicaGeneration, ReplicaHandle> replicas_;  // watched
};

GatewayHandle::behavior_type gateway_actor(GatewayState::Self self, GatewayConfig config,
                                           CoordinatorHandle coordinator);

}  // namespace herd::actors
