#pragma once
// ProgressWatch: which rank hangs, from readings of progress words (kernels/progress.h). Pure. Time is the watcher's own: how
// long it has seen no change. A gap in it (the machine was paused, a debugger held the process) starts every rank anew.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/progress.h"
#include "runtime/clock.h"

namespace herd::replica {

struct WatchConfig {
  double look_every_s = 0.1;  // between two readings
  double least_s = 1.5;       // a rank is never suspected sooner
  double factor = 4.0;        // nor before this many times its operation's predicted time
  double gap_s = 0.75;        // between two readings, that is a gap
  bool operator==(const WatchConfig&) const = default;
};

// Who made no progress for too long.
struct Suspicion {
  std::uint32_t rank = 0;
  Progress at;               // what it was doing
  double silent_s = 0.0;     // for so long; of a rank that others wait for: they do
  bool sure = true;          // false: it may as well be another rank, of those that have come as far or wait for it
};
// "rank 1 has made no progress for 1.6 s in matmul (operation 17 of step 12)"
[[nodiscard]] std::string describe(const Suspicion& suspicion);

class ProgressWatch {
 public:
  enum class Judge : std::uint8_t {
    kAsGroup,    // a rank in kCollective waits for others: it is the victim of those that do not come
    kEachAlone,  // their group was aborted: nobody waits for anybody
  };
  ProgressWatch(const WatchConfig& config, std::uint32_t ranks, Judge judge = Judge::kAsGroup);

  // Everything that happened before does not count.
  void restart(Instant now);
  // One reading of every rank, with the seconds that the operation each is in was predicted to take. A rank in kCollective waits
  // for others: it is suspected only when no rank computes, and then after those that came furthest behind. Ranks not `watched`
  // (they owe nothing) are not suspected, but for those that are through with their steps while others wait in a collective:
  // either they left it out, or the others hang there; the fewer are suspected.
  [[nodiscard]] std::optional<Suspicion> look(std::span<const Progress> progress, std::span<const double> predicted_s,
                                              const std::vector<bool>& watched, Instant now);

 private:
  struct Rank {
    Progress at;
    Instant since;  // it is there, and watched
    bool watched = false;
    double silent_max_s = 0.0;
  };
  [[nodiscard]] std::optional<Suspicion> longest_overdue(Instant now) const;
  [[nodiscard]] std::optional<Suspicion> missing_in_collective(Instant now) const;
  [[nodiscard]] bool waits(const Rank& rank) const;

  WatchConfig config_;
  Judge judge_;
  std::vector<Rank> ranks_;
  std::optional<Instant> last_look_;
};

}  // namespace herd::replica
