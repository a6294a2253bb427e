#pragma once
// ProgressWatch: which rank hangs, from readings of progress words (kernels/progress.h). Pure. Time is the watcher's own: how
// long it has seen no change. A gap in it (the machine was paused, a debugger held the process) starts every rank anew.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/progress.h"
#include "runtime/clock.h"

namespace herd::replica {

struct WatchConfig {
  double look_every_s = 0.1;  // between two readings
  double least_s = 1.5;       // a rank is never suspected sooner
  double factor = 4.0;        // nor before this many times its operation's predicted time
  double gap_s = 0.75;        // between two readings, that is a gap
};

// Who made no progress for too long.
struct Suspicion {
  std::uint32_t rank = 0;
  Progress at;               // what it was doing
  double silent_s = 0.0;     // for so long
};

class ProgressWatch {
 public:
  ProgressWatch(const WatchConfig& config, std::uint32_t ranks);

  // Everything that happened before does not count.
  void restart(Instant now);
  // One reading of every rank, with the seconds that the operation each is in was predicted to take. A rank in kCollective waits
  // for others: it is suspected only when no rank computes, and then after those that came furthest behind. Ranks not `watched`
  // (they owe nothing) are not suspected.
  [[nodiscard]] std::optional<Suspicion> look(std::span<const Progress> progress, std::span<const double> predicted_s,
                                              const std::vector<bool>& watched, Instant now);
};

}  // namespace herd::replica
