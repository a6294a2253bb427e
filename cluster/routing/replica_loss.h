#pragma once
// ReplicaLoss: that one generation of a replica is gone with all it was running, and why. Values.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cluster/routing/replica_generation.h"
#include "kernels/status.h"
#include "runtime/step/attempt_key.h"

namespace herd::routing {

enum class LossCause : std::uint8_t {
  kKilled = 0,    // from outside, or nobody knows: SIGKILL, a machine that went away
  kDiedOfItself,  // a signal of its own, a failed check, a failed step: what it computed may have been fatal
  kOverdue,       // a rank hung, a step took too long, or ranks did not come together in a collective
  kTokensDiffer,  // its ranks sampled different tokens
  kStopped,       // on purpose: drained, shut down
};

// An attempt in a step that was under way, and how many tokens it will have emitted after that step, or, where that computes a part
// of its prompt only, after its next token; those that it began with included. Gateways hear of the last tokens later than of the
// death, if at all.
struct AttemptInStep {
  step::AttemptKey attempt;
  std::uint32_t emitted = 0;
  constexpr auto operator<=>(const AttemptInStep&) const = default;
};

// How a rank came to its end.
struct RankLoss {
  LossCause cause = LossCause::kKilled;
  Status why;  // not ok; "rank 1 was killed by signal 9 (SIGKILL)"
  bool operator==(const RankLoss&) const = default;
};

struct ReplicaLoss {
  ReplicaGeneration replica;
  LossCause cause = LossCause::kKilled;
  Status why;  // not ok; names the replica, and the rank where one is to blame
  // The attempts in steps that were under way; nullopt when nobody is left to say. Those are suspects of kDiedOfItself.
  std::optional<std::vector<AttemptInStep>> in_step;
  // The ranks that died, failed, hang, or whose tokens differ; of two nobody knows which, so both. Rising; empty: none of them
  // is to blame more than another.
  std::vector<std::uint32_t> blamed{};
  // The attempts that the ranks that died of themselves were working on when they did, as far as their progress words say; of two
  // ranks perhaps two. Empty: nobody knows. Of kDiedOfItself, and then among in_step. Rising.
  std::vector<step::AttemptKey> at_work{};
  bool operator==(const ReplicaLoss&) const = default;
};

// What each rank, by its number, says it was working on when it died of itself: whoever left a mark is to blame, whoever of them was
// heard of first. A loss of another cause stays as it is, as marks are of deaths that nobody from outside brought about.
void lay_at(ReplicaLoss& loss, std::span<const std::optional<step::AttemptKey>> marks);

}  // namespace herd::routing
