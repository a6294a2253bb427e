#pragma once
// GroupSupervisor: the ranks of one replica through all its generations: which of them are there, when they form a group
// again, when that is given up. Pure; events in, effects out. A ReplicaCore lives for one generation; this outlives them.
//
//   starting --on_rank_ready (all)--> forming (FormGroup) --on_serving--> serving
//   serving  --on_generation_lost---> leaving (LeaveGroup to the ranks that live) --all left or started again--> forming
//   serving  --on_rank_leaving------> serving (DrainGeneration) --on_generation_lost, as stopped--> leaving
//   any      --no rank can be had---> given up (GiveUp, the last effect)
// Ranks that live keep weights, KV memory and step buffers; only a rank that died (its thread or process ended), or one whose
// tokens differ for the second time, is started again and loads. What ends before it ever served is not started again, as
// whoever waits for it hears why; unless nobody waits (`keeps_trying`).
//
// The budget counts what went wrong: generations that were lost, whatever became of their ranks meanwhile, and ranks that were
// lost outside of any. One that was stopped on purpose forms again for nothing. What ends before it ever served counts however long
// ago it was: who fails slowly would never spend a budget of so many within a window.
//
// A rank whose process was told to end (on_rank_leaving) leaves in order: its generation drains, then it is ended and started again.
//
// A rank that does not leave its group hangs in what it computes: where ranks are processes it is ended and started again, a
// thread cannot be ended, so its replica is given up. A process whose own progress word was found overdue is not waited for: it is
// ended when its generation is lost.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cluster/membership/restart_budget.h"
#include "cluster/replica/progress_watch.h"
#include "cluster/replica/replica_core.h"
#include "cluster/routing/replica_loss.h"
#include "kernels/progress.h"
#include "kernels/status.h"
#include "runtime/clock.h"

namespace herd::membership {

// Effects, to be carried out in order.
struct StartRank {             // a thread or a process; answered by on_rank_ready or on_rank_lost
  std::uint32_t rank = 0;
  bool read_weights_again = false;  // not those that other ranks of this process have in memory: they may be damaged
};
struct FormGroup {};           // get a generation, open what the ranks meet in, have them join; answered by on_formed
struct LeaveGroup {            // to a rank: forget the group, answer when no step of it is under way (on_rank_left)
  std::uint32_t rank = 0;
};
struct DrainGeneration {};     // to the generation that was formed last: take nothing new, stop once nothing is left
struct EndRank {               // its thread or process; answered by on_rank_lost. A thread: only one that is in no group
  std::uint32_t rank = 0;
  bool in_order = false;       // it has time for last words; else at once
};
struct GiveUp { Status why; };  // for good
struct WakeSupervisorAt { Instant at; };  // call on_timer then; the last one said holds

enum class NoteKind : std::uint8_t {
  kRankLost,       // its thread or process ended
  kRankLeaves,     // it was told to end
  kRankSuspected,  // it makes no progress, its group is given up for that; no rank: it is not known which
  kRankHangs,      // nor does it leave its group
  kTokensDiffer,   // `rank` sampled other tokens than most
  kGenerationLost,
  kForming,
  kServing,       // again; pause_s is set
  kRestartSpent,  // of the budget; restarts is set
  kGivenUp,
  kTaken,         // a node is to hold the replica from here on, whatever became of it before; its supervisor says no such thing
};
// For the log and for counters: what happened, why, what happens next. In plain words.
struct Note {
  NoteKind kind = NoteKind::kForming;
  std::optional<std::uint32_t> rank;
  std::string text;
  double pause_s = 0.0;
  Epoch epoch{};         // of the generation that was formed last; 0: none was
  bool overdue = false;  // kGenerationLost: a rank hung, a step took too long, or ranks did not come together
  std::optional<RestartLog> restarts{};
};

using SupervisorEffect = std::variant<StartRank, FormGroup, LeaveGroup, DrainGeneration, EndRank, GiveUp, WakeSupervisorAt, Note>;
using SupervisorEffects = std::vector<SupervisorEffect>;

struct GroupSupervisorConfig {
  ReplicaId replica;
  std::uint32_t ranks = 1;        // at least 1
  bool ranks_can_be_ended = false;  // processes can, threads cannot
  bool keeps_trying = false;        // what ends before it ever served is started again too, as far as the budget goes
  RestartBudget budget;
  replica::WatchConfig watch;
  // For a rank that is started to load and prepare; its first start is the caller's to bound, unless the supervisor keeps trying.
  double start_s_max = 600.0;
  double end_s_max = 60.0;          // for one that was told to end
};

class GroupSupervisor {
 public:
  explicit GroupSupervisor(const GroupSupervisorConfig& config);

  void on_start(Instant now, SupervisorEffects& effects);
  // It is loaded and prepared, and in no group. Not ok: it could not be, and is gone.
  void on_rank_ready(std::uint32_t rank, const Status& status, Instant now, SupervisorEffects& effects);
  // Once for each life of a rank. One that was in a group: its generation's loss is told too, before or after.
  void on_rank_lost(std::uint32_t rank, const Status& why, Instant now, SupervisorEffects& effects);
  // It was told to end, and says so. Repeatable.
  void on_rank_leaving(std::uint32_t rank, Instant now, SupervisorEffects& effects);
  // FormGroup was carried out: that generation is being made.
  void on_formed(routing::ReplicaGeneration generation, Instant now, SupervisorEffects& effects);
  void on_serving(routing::ReplicaGeneration generation, Instant now, SupervisorEffects& effects);
  // Of an older generation than the last formed: dropped. A rank may be in an operation of `last` when it is to leave, and is not
  // suspected before WatchConfig::factor times what that was predicted to take.
  void on_generation_lost(const routing::ReplicaLoss& loss, const replica::LastSteps& last, Instant now, SupervisorEffects& effects);
  void on_rank_left(std::uint32_t rank, Epoch epoch, Instant now, SupervisorEffects& effects);
  // `progress`: a reading of every rank.
  void on_timer(Instant now, std::span<const Progress> progress, SupervisorEffects& effects);
  // Another budget, from the next end on; what was spent stays spent.
  void set_budget(const RestartBudget& budget);
  // From here on nothing is started again.
  void on_stop(SupervisorEffects& effects);

  [[nodiscard]] bool serving() const { return phase_ == Phase::kServing; }
  [[nodiscard]] bool given_up() const { return phase_ == Phase::kGivenUp; }

 private:
  enum class Phase : std::uint8_t { kStarting, kForming, kServing, kGathering, kGivenUp, kStopped };
  enum class RankState : std::uint8_t { kGone, kStarting, kFree, kInGroup, kLeaving, kEnding };
  struct Rank {
    RankState state = RankState::kGone;
    std::uint32_t mismatches = 0;    // since it last read its weights for that reason
    bool read_weights_again = false;
    bool suspected = false;          // when its generation was lost
    bool leaving = false;            // it is ended once it is in no group
    Instant due;                     // kStarting, kEnding: it has come so far by then, or never will
  };

  [[nodiscard]] bool over() const { return phase_ == Phase::kGivenUp || phase_ == Phase::kStopped; }
  [[nodiscard]] bool is_stale(routing::ReplicaGeneration lost) const;
  // What was lost is started, what is there forms a group, as far as the time for it has come.
  void gather(Instant now, SupervisorEffects& effects);
  void form(SupervisorEffects& effects);
  void say_wake(Instant now, SupervisorEffects& effects);
  void count_mismatches(const std::vector<std::uint32_t>& blamed, SupervisorEffects& effects);
  void note_suspects(const routing::ReplicaLoss& loss, SupervisorEffects& effects);
  // Given up for a rank that neither starts nor ends. False: for none.
  bool give_up_on_late(Instant now, SupervisorEffects& effects);
  void on_hang(const replica::Suspicion& suspicion, Instant now, SupervisorEffects& effects);
  void end_rank(std::uint32_t rank, bool in_order, Instant now, SupervisorEffects& effects);
  // Counts against the budget. False: given up.
  bool spend(const Status& why, Instant now, SupervisorEffects& effects);
  void give_up(const Status& why, SupervisorEffects& effects);
  // The last effect.
  Note& note(NoteKind kind, std::optional<std::uint32_t> rank, const std::string& text, SupervisorEffects& effects) const;
  [[nodiscard]] std::size_t count(RankState state) const;
  [[nodiscard]] std::string name() const;  // "replica 3"

  GroupSupervisorConfig config_;
  Phase phase_ = Phase::kStarting;
  std::vector<Rank> ranks_;
  RestartLog restarts_;
  replica::ProgressWatch leaving_watch_;
  replica::LastSteps last_;                               // of the generation that was lost
  std::optional<routing::ReplicaGeneration> generation_;  // the last formed
  bool is_formed_ = false;                                // kForming: generation_ is the one being formed
  bool has_served_ = false;
  std::uint32_t ends_unserved_ = 0;  // before it first served
  std::optional<Instant> lost_at_;     // it serves no more since then
  std::optional<Instant> waits_until_;  // before that nothing is started
  std::optional<Instant> wakes_at_;
};

}  // namespace herd::membership
