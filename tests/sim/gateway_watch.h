#pragma once
// GatewayWatch: stands beside one life of a gateway, is told what the gateway is told, and checks what it says: where
// attempts go, what is stopped, what starts, and above all how each request ends.
//
// A request may end as anything but finished only if
//   late, timed out: its deadline has come, in this very moment, and no replica that may run it had been whole and within
//     reach for as long as all the work of the seed would take;
//   refused: a bound of the queue was reached, a limit of its tenant was used up, its deadline lies nearer than the work of
//     the seed, no replica of its numerics is left or will ever be, or it asks for numerics that were not whole and within reach
//     for as long as all the work of the seed would take;
//   failed: no replica can take it by what it asks for, a NaN was planted in it, it was in a step of two ranks that died of
//     themselves, the second time alone, or no replica of its numerics is left or will ever be;
//   slow, gone, shut down: its client had left that many deltas unread, its client said so, its gateway was told to stop.

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cluster/gateway/gateway_core.h"
#include "tests/sim/request_book.h"
#include "tests/sim/truth.h"
#include "tests/sim/world.h"

namespace herd::sim {

// What the tenants of a seed may do; the last ones have the larger weight.
[[nodiscard]] admission::TenantLimits tenant_limits(const SimOptions& options, admission::TenantId tenant);

class GatewayWatch {
 public:
  GatewayWatch(World& world, const Truth& truth, std::uint32_t slot, GatewayId id)
      : world_(world), truth_(truth), slot_(slot), id_(id), began_(world.now()) {}

  // What the gateway is told. All but the first: after it was told, and before its effects are carried out.
  void before_request(SimRequest& request);
  void on_deltas(routing::ReplicaGeneration from, const std::vector<step::TokenDelta>& deltas);
  void on_view(const routing::ClusterView& taken);
  void on_loss(const routing::ReplicaLoss& loss);
  void on_link_lost(routing::ReplicaGeneration replica);
  // It says so itself, and keeps to that.
  void on_draining(routing::ReplicaGeneration replica) {
    draining_.try_emplace(replica, world_.now());
    said_draining_.insert(replica);
  }
  // It was told to run there, but there was no way.
  void on_unsent(routing::ReplicaGeneration to, const step::AttemptKey& attempt);
  void on_shutdown() { shut_down_ = true; }
  // It does nothing until then.
  void on_sleep(Instant until) { awake_from_ = std::max(awake_from_, until); }
  // It has taken the request that has just arrived.
  void check_taken(const SimRequest& request);

  // What it says.
  void on_start(SimRequest& request);
  void on_run(SimChoice& choice, const gateway::RunOn& effect, const routing::ClusterView& view);
  void on_stop(const gateway::StopOn& effect);
  void on_deliver(SimRequest& request, SimChoice& choice, const step::TokenDelta& delta);
  void on_end(SimRequest& request, const gateway::RequestEnd& end);
  void on_choice_stopped(const SimRequest& request, const SimChoice& choice) {
    parked_.erase({request.asked.id, choice.number});
  }

  // After each event.
  void check();
  [[nodiscard]] bool idle() const { return open_.empty() && running_.empty(); }

 private:
  struct Running {
    routing::Route on;
    step::AttemptKey attempt;
    SimChoice* choice;
    std::uint32_t follow = 0;  // tokens that one that drains has of it, until its first one here
  };
  struct TenantUse {
    std::uint64_t requests = 0, prompt_tokens = 0, output_tokens = 0, in_flight = 0;
    // Starts of each tenant since this one waits without a start of its own.
    std::map<admission::TenantId, std::uint64_t> overtaken_by;
  };
  struct Queue {
    std::size_t requests = 0;
    std::uint64_t tokens = 0;
  };
  using ChoiceId = std::pair<RequestId, std::uint32_t>;

  // What waits, as far as can be seen from outside. A choice of a started request that was never sent may be parked, which counts, or may
  // have no place yet, which does not: `with_unsent` counts it.
  [[nodiscard]] Queue queue(bool with_unsent) const;  // waiting and parked
  void park(const SimChoice& choice);
  template <class Gone>
  void move_if(Gone gone);
  void check_move(routing::ReplicaGeneration from);
  void check_end(SimRequest& request, const gateway::RequestEnd& end);
  void check_late(const SimRequest& request);
  void check_failed(const SimRequest& request, const gateway::RequestEnd& end);
  void check_known_poison(const SimRequest& request);
  [[nodiscard]] static std::vector<TokenId> prompt_of(const SimChoice& choice);
  void check_refused(const SimRequest& request, const gateway::RequestEnd& end);
  void check_quota(const SimRequest& taken);
  void check_not_running(const SimChoice& choice);
  void check_parked();
  void check_moved_off();
  // A replica takes the choice, as far as this gateway can know, and has taken it for longer than anybody waits.
  [[nodiscard]] bool was_free(const SimRequest& request, const SimChoice& choice, ReplicaId replica, Instant since, std::size_t crowd) const;
  void check_fair(const SimRequest& started);
  [[nodiscard]] bool hopeless(const SimRequest& request) const;
  // A replica that may run the choice has been whole for so long, up to now.
  [[nodiscard]] bool had_replica(const SimRequest& request, const SimChoice& choice, std::int64_t us) const;
  // A replica of these numerics served long enough to be known.
  [[nodiscard]] bool had_replica_of(const routing::NumericsId& numerics) const;
  void violate(const std::string& what) { world_.violate("gateway " + std::to_string(slot_) + ": " + what); }
  void violate(const SimRequest& request, const std::string& what);

  World& world_;
  const Truth& truth_;
  std::uint32_t slot_;
  GatewayId id_;
  Instant began_;
  Instant awake_from_;
  std::uint64_t checks_ = 0;
  bool shut_down_ = false;
  std::map<RequestId, SimRequest*> open_;
  std::map<SequenceId, Running> running_;
  std::map<ChoiceId, Instant> parked_;  // since when
  std::map<SequenceId, SimChoice*> sequences_;  // ever sent
  std::map<routing::ReplicaGeneration, std::map<step::AttemptKey, SimChoice*>> sent_;
  std::set<step::AttemptKey> just_ended_;  // by the deltas of this event
  Epoch cluster_epoch_;  // of its view
  std::map<ReplicaId, std::pair<Epoch, Epoch>> lost_;  // the last of each replica, and the cluster epoch under which that was heard
  std::map<ReplicaId, Instant> full_;  // when it last had no room
  std::map<routing::ReplicaGeneration, Instant> draining_;  // since when that is known here
  std::set<routing::ReplicaGeneration> said_draining_;
  std::map<admission::TenantId, TenantUse> tenants_;
  std::set<std::vector<TokenId>> poison_;  // prompts of which two replicas died
};

}  // namespace herd::sim
