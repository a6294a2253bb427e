#pragma once
// Dispatcher: where each accepted sequence runs, or that it is parked. Pure. Puts together what is owed (RequestLedger),
// what could run it (Router) and what waits (ParkingLot). Every accepted sequence is in the ledger, and either runs on a
// replica of the router or is parked.
//
//   accept ──> parked ──route()──> running ──terminal delta, stop──> gone
//                ^                    │ ^
//                └── loss, cut link, ─┘ └─ its replica drains or is slow, another has room: running there
//                    refused as full

#include <cstdint>
#include <optional>
#include <vector>

#include "cluster/gateway/gateway_effects.h"
#include "cluster/gateway/parking_lot.h"
#include "cluster/gateway/poison_list.h"
#include "cluster/gateway/request_ledger.h"
#include "cluster/gateway/retry_delay.h"
#include "cluster/routing/router.h"

namespace herd::gateway {

class Dispatcher {
 public:
  Dispatcher(GatewayId gateway, std::size_t open_sequences_max, const RetryDelay& delay,
             routing::RoutingPolicy policy = routing::RoutingPolicy::kPredicted)
      : ledger_(gateway, open_sequences_max), router_(policy), delay_(delay) {}

  // Parks a new sequence; route() finds it a replica. kOverloaded when the ledger is full.
  [[nodiscard]] Expected<SequenceId> accept(RequestId request, std::uint32_t choice, step::Submission submission,
                                            const routing::NumericsId& numerics, Instant now);
  // It is owed no more: says StopOn if it runs, and forgets it.
  void stop(SequenceId sequence, RequestLedger::End how, GatewayEffects& effects);

  // A sequence that cannot go on. It is still open: its request is to be ended.
  struct Failure {
    RequestId request;
    Status why;
    std::optional<kv::BlockHash> poison{};  // it killed ranks: PoisonList::name_of() its prompt
  };
  // One that failed is still open; one that finished is gone.
  [[nodiscard]] RequestLedger::Verdict on_delta(routing::ReplicaGeneration from, const step::TokenDelta& delta, Instant now,
                                                GatewayEffects& effects);
  // What ran on a generation that a newer view does not have is parked. False: not newer.
  [[nodiscard]] bool on_view(const routing::ClusterView& view, Instant now, GatewayEffects& effects);
  [[nodiscard]] std::vector<Failure> on_replica_lost(const routing::ReplicaLoss& loss, Instant now,
                                                     GatewayEffects& effects);
  void on_link_lost(routing::ReplicaGeneration replica, Instant now, GatewayEffects& effects);
  // That attempt never left.
  void on_unsent(routing::ReplicaGeneration replica, const step::AttemptKey& attempt, Instant now, GatewayEffects& effects);
  void on_link_open(routing::ReplicaGeneration replica, Instant now);
  // It takes nothing new, and what runs there moves as others have room. False: it is known already.
  bool on_draining(routing::ReplicaGeneration replica);
  void on_load(routing::ReplicaGeneration replica, const routing::ReplicaLoad& load) { router_.on_load(replica, load); }
  // False: the replica is to tell all that its cache holds.
  [[nodiscard]] bool on_news(routing::ReplicaGeneration replica, const kv::BlockNews& news) { return router_.on_news(replica, news); }

  // Sends what is parked and ready where there is room, oldest first; then what runs on a replica that drains or is slow.
  void route(Instant now, GatewayEffects& effects);
  // Parked ones that no replica will ever run, as far as the view knows.
  [[nodiscard]] std::vector<Failure> hopeless() const;
  // When route() may do more than it did, should nothing else happen before.
  [[nodiscard]] std::optional<Instant> next_retry() const { return retry_at_; }

  [[nodiscard]] const routing::Router& router() const { return router_; }
  [[nodiscard]] admission::ParkedWork parked() const { return lot_.work(); }
  [[nodiscard]] RequestLedgerStats stats() const { return ledger_.stats(); }
  // Every sequence that is open belongs to a request of the caller; it says which.
  [[nodiscard]] const RequestLedger& ledger() const { return ledger_; }
  void check_integrity() const;

 private:
  void park(SequenceId sequence, Instant ready_at);
  // It is known what became of that generation: what left it on a cut link and is parked waits no longer.
  void end_wait_for(routing::ReplicaGeneration replica, Instant now);
  void take_orphans(const RequestLedger::Orphans& orphans, Instant ready_at, Instant suspects_ready_at);
  void say_cut(SequenceId sequence, AttemptCutBy by, const Status& why, GatewayEffects& effects) const;
  void say_cut(const RequestLedger::Orphans& orphans, AttemptCutBy by, const Status& why, GatewayEffects& effects) const;
  // Whether something is left there; `crowd`: some of that may go in the next round.
  [[nodiscard]] bool move_off(Instant now, bool& crowd, GatewayEffects& effects);
  void send(SequenceId sequence, routing::Router::Destination to, const routing::RouteQuestion& question, Instant now,
            GatewayEffects& effects);

  RequestLedger ledger_;
  routing::Router router_;
  ParkingLot lot_;
  RetryDelay delay_;
  Status last_loss_;                // not ok once there was one
  bool changed_ = false;            // route() may find something to do
  std::uint32_t crowd_rounds_ = 0;  // 0: no orphan waits for the next round
  std::optional<Instant> crowd_at_; // that begins then
  std::optional<Instant> retry_at_;
};

}  // namespace herd::gateway
