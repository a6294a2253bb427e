#pragma once
// Router: which replica takes the next sequence of this gateway. Pure. It knows the last ClusterView, what this gateway
// runs on each replica, and what happened since that view: generations that were lost, links that were cut, replicas that
// had no room.
//
// Among those that have room the one where the sequence would be done first: its queued work, the tokens of the prompt that its cache
// does not hold (prefix_directory.h), at its measured rate, and the steps of an answer (replica_load.h). Among those about as fast the
// one that holds most of the prompt, then the one that was sent its beginning last, then the one with the fewest sequences, then in
// turn. As long as one of them has not said how fast it is, numbers of sequences decide, but for a few. What another replica's cache
// has of the prompt may come from there, at the rate at which blocks came to that replica before.
//
//   serving ──on_refused──> resting ──a place got free, its rest is over──> serving
//      │  ──on_link_lost──> resting ──on_link_open, a newer view says serving, its rest is over──> serving
//      │  ──on_draining, a view says so──> draining: it takes nothing new in this generation
//      │  ──on_token────> slow, as others are far faster (slow_replicas.h)
//      └────on_lost───────> never again; the replica comes back under a later epoch

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "cluster/routing/cluster_view.h"
#include "cluster/routing/prompt_holders.h"
#include "cluster/routing/prompt_prefix.h"
#include "cluster/routing/replica_generation.h"
#include "cluster/routing/replica_load.h"
#include "cluster/routing/route_choice.h"
#include "cluster/routing/routing_stats.h"
#include "cluster/routing/slow_replicas.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/step/submission.h"

namespace herd::routing {

// What one sequence asks of a replica.
struct RouteQuestion {
  NumericsId numerics{}; // empty: any
  bool alone = false;    // a suspect: a replica takes one of them at a time, so that a death names the guilty one
  bool orphan = false;   // has run elsewhere: its context is computed again
  bool to_faster = false;  // it leaves a replica that is slow: for none that is
  std::uint64_t tokens = 0;                   // that are computed before its next one
  const PromptPrefix* prefix = nullptr;       // Router::prefix_of() these; null: none
};

enum class RoutingPolicy : std::uint8_t {
  kPredicted,   // where it would be done first
  kRoundRobin,  // in turn, whatever they have to do and hold
};

class Router {
 public:
  explicit Router(RoutingPolicy policy = RoutingPolicy::kPredicted) : policy_(policy) {}

  // Takes a newer view; false: it is not newer, and nothing changed.
  [[nodiscard]] bool on_view(const ClusterView& view);
  // Gone for good, and every older epoch with it.
  void on_lost(ReplicaGeneration generation);
  // That generation is not asked before `until`.
  void on_link_lost(ReplicaGeneration generation, Instant until);
  void on_refused(ReplicaGeneration generation, Instant until);
  // It can be reached (again): its rest is over.
  void on_link_open(ReplicaGeneration generation);
  // It takes nothing new. False: that was known, or it is not in the view.
  bool on_draining(ReplicaGeneration generation);
  // What it says of itself.
  void on_load(ReplicaGeneration generation, const ReplicaLoad& load);
  // What its prefix cache holds now. False, once until it does: something was missed, and it is to tell all.
  [[nodiscard]] bool on_news(ReplicaGeneration generation, const kv::BlockNews& news);
  // Names of a prompt's beginnings, in the blocks of the replicas.
  [[nodiscard]] PromptPrefix prefix_of(std::span<const TokenId> tokens, std::uint64_t salt) const {
    return holders_.prefix_of(tokens, salt);
  }
  // A token of that sequence came from there. True: the replica is slow, and what runs there is to go on elsewhere.
  [[nodiscard]] bool on_token(ReplicaGeneration from, SequenceId sequence, Instant now);
  // It has ended, or waits for another replica.
  void on_no_tokens(SequenceId sequence) { slow_.on_left(sequence); }
  // Both together, since a sequence ended there.
  [[nodiscard]] std::uint32_t failures_in_a_row(ReplicaGeneration generation) const;

  // A sequence runs there / has ended there or was stopped / must go elsewhere. Generations that the view does not have
  // are ignored, but for the first.
  // `held`: as pick() said.
  void on_sent(ReplicaGeneration generation, const RouteQuestion& question, std::uint64_t held, Instant now);
  void on_ended(ReplicaGeneration generation, bool alone);
  void on_left(ReplicaGeneration generation, bool alone);
  void on_suspicion_cleared(ReplicaGeneration generation);

  // A round of orphans begins: until the next one a replica takes so many for at most half of its free places (at least
  // one) and for each place that gets free, so that the survivor of a loss is not flooded.
  void begin_round();
  struct Destination {
    Route route;
    std::uint64_t held = 0;  // of the question's tokens, those that the replica's cache has, or has soon
    // Another replica whose cache has more, so that blocks may come from there; it may drain or be full. nullopt: none has so much
    // more that it is worth asking.
    std::optional<step::KvSource> source{};
  };
  // The replica that shall take it; nullopt: none now.
  [[nodiscard]] std::optional<Destination> pick(const RouteQuestion& question, Instant now);
  [[nodiscard]] bool takes(const RouteQuestion& question, Instant now) const;  // pick() would find one
  // There is one that would take it in the next round.
  [[nodiscard]] bool takes_next_round(RouteQuestion question, Instant now) const;

  template <class Look>
  void for_each_load(Look look) const {  // LoadEstimates of the replicas that serve
    for (const auto& [id, replica] : replicas_) serves(replica) ? look(replica.load) : void();
  }
  // Some serving replica that does not rest has a free place.
  [[nodiscard]] bool has_room(Instant now) const;
  // Some replica of these numerics (empty: any) serves, whether it has room or not.
  [[nodiscard]] bool serves(const NumericsId& numerics = {}) const;
  // A replica of these numerics (empty: any) serves or may serve one day. True before the first view.
  [[nodiscard]] bool may_serve(const NumericsId& numerics) const;
  [[nodiscard]] bool drains(ReplicaGeneration generation) const;
  [[nodiscard]] bool has_draining() const;
  [[nodiscard]] bool is_slow(ReplicaGeneration generation) const { return slow_.is_slow(generation); }
  [[nodiscard]] bool has_slow() const { return !slow_.empty(); }
  [[nodiscard]] std::uint64_t ejections() const { return slow_.ejections(); }  // replicas that were found slow
  // Neither lost nor replaced nor absent, as far as is known here.
  [[nodiscard]] bool is_alive(ReplicaGeneration generation) const;
  [[nodiscard]] bool is_known_lost(ReplicaGeneration generation) const;
  [[nodiscard]] bool rests(ReplicaGeneration generation, Instant now) const;
  // When the first rest ends that is not over at `now`.
  [[nodiscard]] std::optional<Instant> next_rest_end(Instant now) const;

  [[nodiscard]] const ClusterView& view() const { return view_; }
  [[nodiscard]] const PrefixDirectory& directory() const { return holders_.directory(); }
  [[nodiscard]] RoutingStats stats() const;
  [[nodiscard]] std::size_t running(ReplicaGeneration generation) const;  // of this gateway
  void check_integrity() const;

 private:
  struct Replica {
    ReplicaView view;
    std::uint32_t running = 0;
    std::uint32_t suspects = 0;   // of the running
    std::uint32_t failures = 0;   // refusals and cut links in a row
    Instant rests_until;
    bool cut = false;             // why it rests
    bool said_draining = false;   // itself: it keeps to that
    std::uint32_t crowd_left = 0; // orphans that it takes in this round
    LoadEstimate load;
    // A view may take it back: of a coordinator that started again, or whose order never reached the replica.
    [[nodiscard]] bool draining() const { return said_draining || view.state == ReplicaState::kDraining; }
  };
  struct Lost {
    Epoch epoch;
    Epoch cluster_epoch;  // of the view that this gateway had
  };
  using Replicas = std::map<ReplicaId, Replica>;

  [[nodiscard]] const Replica* find(ReplicaGeneration generation) const;
  [[nodiscard]] Replica* find(ReplicaGeneration generation);
  [[nodiscard]] bool serves(const Replica& replica) const;
  [[nodiscard]] bool takes(const Replica& replica, Instant now) const;  // has a free place
  [[nodiscard]] bool takes(const Replica& replica, const RouteQuestion& question, Instant now) const;
  // As takes(), but for those that are left alone as others are faster.
  [[nodiscard]] bool may_have(const Replica& replica, const RouteQuestion& question, bool slow_are_spared, Instant now) const;
  // One that is not slow has room for it, in this round or the next.
  [[nodiscard]] bool slow_are_spared(RouteQuestion question, Instant now) const;
  void rest(ReplicaGeneration generation, Instant until, bool cut);
  [[nodiscard]] static Candidate candidate(const Replica& replica) { return {&replica.view, &replica.load, replica.running}; }
  [[nodiscard]] RouteChoice choice_for(const RouteQuestion& question, Instant now) const;
  [[nodiscard]] Destination destination(const Replica& replica, const RouteChoice& choice) const;

  RoutingPolicy policy_;
  ClusterView view_;
  bool has_view_ = false;
  Replicas replicas_;                // of the view
  std::map<ReplicaId, Lost> lost_;   // the last of each replica; when many, only of the view's
  ReplicaId next_;                   // whose turn it is among equals
  PromptHolders holders_;
  RoutingStats stats_;
  SlowReplicas slow_;
};

}  // namespace herd::routing
