#pragma once
// GroupSupervisor: the ranks of one replica through all its generations: which of them are there, when they form a group
// again, when that is given up. Pure; events in, effects out. A ReplicaCore lives for one generation; this outlives them.
//
//   starting --on_rank_ready (all)--> forming (FormGroup) --on_serving--> serving
//   serving  --on_generation_lost---> leaving (LeaveGroup to the ranks that live) --all left or started again--> forming
//   any      --no rank can be had---> given up (GiveUp, the last effect but for notes)
// Ranks that live keep weights, KV memory and step buffers; only a rank that died (its thread or process ended), or one whose
// tokens differ for the second time, is started again and loads. The first start is not repeated: a rank that fails then says
// why, and everything is given up.
//
// A rank that does not leave its group hangs in what it computes: where ranks are processes it is ended and started again, a
// thread cannot be ended, so its replica is given up.

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cluster/membership/restart_budget.h"
#include "cluster/replica/progress_watch.h"
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
struct EndRank {               // it does not answer; answered by on_rank_lost
  std::uint32_t rank = 0;
};
struct GiveUp { Status why; };  // for good
struct WakeSupervisorAt { Instant at; };  // call on_timer then; the last one said holds

enum class NoteKind : std::uint8_t {
  kRankLost,      // its thread or process ended
  kRankHangs,     // it makes no progress
  kTokensDiffer,  // `rank` sampled other tokens than most
  kGenerationLost,
  kForming,
  kServing,       // again; pause_s is set
  kGivenUp,
};
// For the log and for counters: what happened, why, what happens next. In plain words.
struct Note {
  NoteKind kind = NoteKind::kForming;
  std::optional<std::uint32_t> rank;
  std::string text;
  double pause_s = 0.0;
};

using SupervisorEffect = std::variant<StartRank, FormGroup, LeaveGroup, EndRank, GiveUp, WakeSupervisorAt, Note>;
using SupervisorEffects = std::vector<SupervisorEffect>;

struct GroupSupervisorConfig {
  ReplicaId replica;
  std::uint32_t ranks = 1;        // at least 1
  bool ranks_can_be_ended = false;  // processes can, threads cannot
  RestartBudget budget;
  replica::WatchConfig watch;
};

class GroupSupervisor {
 public:
  explicit GroupSupervisor(const GroupSupervisorConfig& config);

  void on_start(Instant now, SupervisorEffects& effects);
  // It is loaded and prepared, and in no group. Not ok: it could not be, and is gone.
  void on_rank_ready(std::uint32_t rank, const Status& status, Instant now, SupervisorEffects& effects);
  void on_rank_lost(std::uint32_t rank, const Status& why, Instant now, SupervisorEffects& effects);
  // FormGroup was carried out: that generation is being made.
  void on_formed(routing::ReplicaGeneration generation, Instant now, SupervisorEffects& effects);
  void on_serving(routing::ReplicaGeneration generation, Instant now, SupervisorEffects& effects);
  // Of an older generation than the last formed: dropped.
  void on_generation_lost(const routing::ReplicaLoss& loss, Instant now, SupervisorEffects& effects);
  void on_rank_left(std::uint32_t rank, Epoch epoch, Instant now, SupervisorEffects& effects);
  // `progress`: a reading of every rank.
  void on_timer(Instant now, std::span<const Progress> progress, SupervisorEffects& effects);
  // From here on nothing is started again.
  void on_stop(SupervisorEffects& effects);
};

}  // namespace herd::membership
