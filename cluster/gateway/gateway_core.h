#pragma once
// GatewayCore: everything a gateway decides. Pure: no clock, no I/O, no lock, no actor library; events in, effects out.
// Owns each open request from its arrival to its end: admission (AdmissionQueue), what is owed and delivered per choice
// (RequestLedger), where attempts run or that they are parked (Dispatcher over the last ClusterView), deadlines and credits.
//
//   on_request ── EndRequest (refused)
//        └─ waiting ── StartRequest ── on_started ─> running: RunOn, Deliver … ── EndRequest
//                                                     │   ^
//                                     replica lost,   v   │ a replica has room
//                                     overloaded      parked (until the request's deadline)
//
// Accepted = its turn came: from on_started on its choices are in the ledger, or held back until there are places for them. Then a
// request ends by its deadline, by a refusal that concerns the request itself (bad input, a suspect's second death, a prompt that
// another one's ranks died of), because its caller left or is too slow, or because no replica (of the numerics of its stream) serves
// and none will. A replica's loss, a silent coordinator, a cut link and a full replica only park it; from a replica that drains, or
// is far slower than another, it moves. A stream to go on with whose numerics nobody serves as its turn comes is refused then: parked
// it would hold places that others can use.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cluster/admission/admission_queue.h"
#include "cluster/gateway/dispatcher.h"
#include "cluster/gateway/gateway_effects.h"
#include "cluster/gateway/open_request.h"
#include "cluster/gateway/poison_list.h"
#include "cluster/gateway/request_ledger.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/replica_loss.h"

namespace herd::gateway {

struct GatewayConfig {
  GatewayId id;                                // this life of the gateway
  admission::AdmissionConfig admission;
  std::size_t open_sequences_max = 4096;       // in the ledger, running and parked
  // A full replica, or a crowd of orphans, is asked again after a random time in [min, max].
  double retry_min_s = 0.02;
  double retry_max_s = 0.5;
  std::uint64_t jitter_seed = 0;
  routing::RoutingPolicy routing = routing::RoutingPolicy::kPredicted;
  [[nodiscard]] Status validate() const;
};

class GatewayCore {
 public:
  explicit GatewayCore(const GatewayConfig& config);

  // From callers.
  void on_request(const GatewayRequest& request, Instant now, GatewayEffects& effects);
  // The answer to StartRequest: one submission per choice, in order (ids and attempts are filled in here). Invalid ones end
  // the request (kFailed, kBadInput); so does a full ledger (kFailed, kOverloaded), now or when a choice has its turn.
  void on_started(RequestId request, std::vector<step::Submission> choices, Instant now, GatewayEffects& effects);
  // `deltas` delivered ones were taken off.
  void on_consumed(RequestId request, std::size_t deltas);
  // The caller needs no more of that choice (a stop string): it ends well, without a delta.
  void on_choice_stopped(RequestId request, std::uint32_t choice, Instant now, GatewayEffects& effects);
  void on_gone(RequestId request, Instant now, GatewayEffects& effects);
  void set_tenant(admission::TenantId tenant, const admission::TenantLimits& limits);
  // Of what waits (admission_queue.h).
  void set_queue_bounds(std::size_t requests_max, std::uint64_t tokens_max) { admission_.set_bounds(requests_max, tokens_max); }
  // Would a request be refused whatever it asks for? Asked before a body is read.
  [[nodiscard]] std::optional<admission::AdmissionRefusal> refuses_now(admission::TenantId tenant, Instant now);

  // From replicas and the coordinator. Deltas of a stale attempt, another gateway or an unknown sequence are dropped and
  // counted.
  void on_deltas(routing::ReplicaGeneration from, std::span<const step::TokenDelta> deltas, Instant now,
                 GatewayEffects& effects);
  // False: it is not newer than the last one, and nothing changed.
  bool on_view(const routing::ClusterView& view, Instant now, GatewayEffects& effects);
  // The generation is gone for good.
  void on_replica_lost(const routing::ReplicaLoss& loss, Instant now, GatewayEffects& effects);
  // Only the way there is cut: what ran there moves, the generation may be used again.
  void on_link_lost(routing::ReplicaGeneration replica, Instant now, GatewayEffects& effects);
  // What RunOn said could not be sent: it goes elsewhere, or waits. The replica is left alone for a while; what runs there stays.
  void on_unsent(routing::ReplicaGeneration replica, const step::AttemptKey& attempt, Instant now, GatewayEffects& effects);
  // The way there is open (again): it is asked at once, without a newer view.
  void on_link_open(routing::ReplicaGeneration replica, Instant now, GatewayEffects& effects);
  // It takes nothing new: what runs there moves to others as they have room, and finishes there where none has.
  void on_draining(routing::ReplicaGeneration replica, Instant now, GatewayEffects& effects);
  // What a replica says of its work, for the sequences that are sent from here on.
  void on_load(routing::ReplicaGeneration replica, const routing::ReplicaLoad& load) { dispatcher_.on_load(replica, load); }
  // What changed in its prefix cache, likewise. False: a part of it was missed, and the replica is to tell all that it holds.
  [[nodiscard]] bool on_news(routing::ReplicaGeneration replica, const kv::BlockNews& news) {
    return dispatcher_.on_news(replica, news);
  }

  // Limits of tenants over all gateways of the cluster: admission/quota_book.h. More may run after set_shares: on_timer() starts it.
  [[nodiscard]] admission::QuotaBook& quotas() { return admission_.quotas(); }
  [[nodiscard]] const admission::QuotaBook& quotas() const { return admission_.quotas(); }

  void on_timer(Instant now, GatewayEffects& effects);
  // Ends everything (kShutdown).
  void on_shutdown(Instant now, GatewayEffects& effects);

  [[nodiscard]] const routing::ClusterView& view() const;
  // The view's route of a generation that is not lost, as far as is known here.
  [[nodiscard]] std::optional<routing::Route> route_of(routing::ReplicaGeneration replica) const;
  [[nodiscard]] admission::AdmissionStats admission() const;  // parked sequences count as waiting
  // What the first token of a prompt of kTypicalPromptTokens, which nobody has cached, would take from now on: what waits here, then what
  // is before it at the replica that has least. nullopt: no replica that serves has said how fast it is.
  [[nodiscard]] std::optional<double> first_token_seconds() const;
  static constexpr std::uint64_t kTypicalPromptTokens = 512;
  [[nodiscard]] RequestLedgerStats ledger() const;
  // How often a replica was found to be far slower than another one (routing/slow_replicas.h).
  [[nodiscard]] std::uint64_t replica_ejections() const { return dispatcher_.router().ejections(); }
  [[nodiscard]] routing::RoutingStats routing() const { return dispatcher_.router().stats(); }
  // Who holds which blocks, as far as is known here.
  [[nodiscard]] const routing::PrefixDirectory& directory() const { return dispatcher_.router().directory(); }
  [[nodiscard]] std::size_t open_requests() const;
  void check_integrity() const;

 private:
  using Requests = std::map<RequestId, OpenRequest>;
  using End = RequestEnd::Kind;

  // After each event: what is overdue or without hope ends, what is parked and what waits runs as far as there is room.
  void advance(Instant now, GatewayEffects& effects);
  void end_overdue(Instant now, GatewayEffects& effects);
  void end_hopeless(Instant now, GatewayEffects& effects);
  void start_waiting(Instant now, GatewayEffects& effects);
  void say_wake(Instant now, GatewayEffects& effects);
  void on_delta(routing::ReplicaGeneration from, const step::TokenDelta& delta, Instant now, GatewayEffects& effects);
  void deliver(Requests::iterator request, RequestLedger::Verdict verdict, Instant now, GatewayEffects& effects);
  // Its choices that may run and were held back are the dispatcher's from here on. Ends the request where one is not accepted, or
  // ranks died of its prompt meanwhile.
  void run_allowed(Requests::iterator request, Instant now, GatewayEffects& effects);
  void close_choice(Requests::iterator request, std::uint32_t choice, Instant now, GatewayEffects& effects);
  void end(const std::vector<Dispatcher::Failure>& failures, Instant now, GatewayEffects& effects);
  // Stops what runs of it, says how it ended, and forgets it.
  void end(Requests::iterator request, End kind, Status why, Instant now, GatewayEffects& effects);
  void end(Requests::iterator request, RequestEnd how, Instant now, GatewayEffects& effects);
  void refuse(RequestId request, admission::AdmissionRefusal refusal, GatewayEffects& effects) const;
  // One that was taken and of which nothing ran, as no replica can run it: as if it had not been taken.
  void refuse_taken(Requests::iterator request, std::string why, Instant now, GatewayEffects& effects);

  admission::AdmissionQueue admission_;
  Dispatcher dispatcher_;
  PoisonList poison_;
  Requests requests_;
  std::set<std::pair<Instant, RequestId>> deadlines_;  // of all of them
  std::set<RequestId> starting_;                       // StartRequest was said, on_started has not come
  bool hopes_changed_ = false;                         // what may serve one day is perhaps less than before
  bool shut_down_ = false;
  std::optional<Instant> woken_at_;  // the last WakeAt that was said and has not come
};

}  // namespace herd::gateway
