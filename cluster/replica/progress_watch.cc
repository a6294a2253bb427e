#include "cluster/replica/progress_watch.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>

#include "kernels/check.h"

namespace herd::replica {
namespace {

// -1, 0, 1: which of two numbers that are kept modulo 2^bits came first, when they are less than half of that apart.
int order(std::uint32_t a, std::uint32_t b, int bits) {
  const std::uint32_t ahead = (a - b) & ((1U << bits) - 1);
  if (ahead == 0) return 0;
  return ahead < (1U << (bits - 1)) ? 1 : -1;
}

bool is_behind(const Progress& a, const Progress& b) {
  if (const int epochs = order(a.epoch, b.epoch, 16); epochs != 0) return epochs < 0;
  if (const int steps = order(a.step, b.step, 24); steps != 0) return steps < 0;
  return order(a.number, b.number, 16) < 0;
}

}  // namespace

std::string describe(const Suspicion& suspicion) {
  std::array<char, 160> text{};
  if (suspicion.at.operation == Operation::kIdle) {
    std::snprintf(text.data(), text.size(), "rank %u has made no progress for %.1f s: it is idle after step %u", suspicion.rank,
                  suspicion.silent_s, suspicion.at.step);
  } else {
    std::snprintf(text.data(), text.size(), "rank %u has made no progress for %.1f s in %s (operation %u of step %u)",
                  suspicion.rank, suspicion.silent_s, operation_name(suspicion.at.operation), suspicion.at.number,
                  suspicion.at.step);
  }
  return std::string(text.data()) + (suspicion.sure ? "" : ", unless it is another that waits with it");
}

ProgressWatch::ProgressWatch(const WatchConfig& config, std::uint32_t ranks, Judge judge)
    : config_(config), judge_(judge), ranks_(ranks) {}

void ProgressWatch::restart(Instant now) {
  last_look_ = now;
  for (Rank& rank : ranks_) rank.since = now;
}

std::optional<Suspicion> ProgressWatch::look(std::span<const Progress> progress, std::span<const double> predicted_s,
                                             const std::vector<bool>& watched, Instant now) {
  HERD_CHECK(progress.size() == ranks_.size() && predicted_s.size() == ranks_.size() && watched.size() == ranks_.size(),
             "a look is at every rank");
  const bool gap = !last_look_ || seconds_between(*last_look_, now) > config_.gap_s;
  last_look_ = now;
  for (std::size_t i = 0; i < ranks_.size(); ++i) {
    Rank& rank = ranks_[i];
    if (gap || rank.at != progress[i] || (watched[i] && !rank.watched)) rank.since = now;
    rank.at = progress[i];
    rank.watched = watched[i];
    rank.silent_max_s = std::max(config_.least_s, config_.factor * predicted_s[i]);
  }
  if (gap) return std::nullopt;
  if (const auto overdue = longest_overdue(now)) return overdue;
  return judge_ == Judge::kAsGroup ? missing_in_collective(now) : std::nullopt;
}

bool ProgressWatch::waits(const Rank& rank) const {
  if (judge_ != Judge::kAsGroup) return false;
  // A device's step holds its collectives: it may wait in one of them.
  return rank.at.operation == Operation::kCollective || (rank.at.operation == Operation::kDevice && ranks_.size() > 1);
}

std::optional<Suspicion> ProgressWatch::longest_overdue(Instant now) const {
  std::optional<Suspicion> found;
  for (std::uint32_t i = 0; i < ranks_.size(); ++i) {
    const Rank& rank = ranks_[i];
    const double silent_s = seconds_between(rank.since, now);
    if (!rank.watched || waits(rank) || silent_s < rank.silent_max_s) continue;
    if (!found || silent_s > found->silent_s) found = Suspicion{i, rank.at, silent_s};
  }
  return found;
}

// All that are watched wait in collectives. Somebody has not come: one that is through with its steps may have left this one
// out; else one that is behind.
std::optional<Suspicion> ProgressWatch::missing_in_collective(Instant now) const {
  std::optional<std::uint32_t> idle, last;
  std::size_t idle_ranks = 0, waiting_ranks = 0;
  double waited_s = 0.0;
  bool is_alone = true;  // behind all others
  for (std::uint32_t i = 0; i < ranks_.size(); ++i) {
    const Rank& rank = ranks_[i];
    if (!rank.watched) {
      if (rank.at.operation != Operation::kIdle) continue;
      ++idle_ranks;
      if (!idle) idle = i;
      continue;
    }
    if (!waits(rank)) return std::nullopt;  // it computes, within its time
    const double silent_s = seconds_between(rank.since, now);
    waited_s = waiting_ranks++ == 0 ? silent_s : std::min(silent_s, waited_s);
    if (!last || is_behind(rank.at, ranks_[*last].at)) {
      is_alone = true;
      last = i;
    } else if (!is_behind(ranks_[*last].at, rank.at)) {
      is_alone = false;
    }
  }
  if (!last) return std::nullopt;
  const bool blame_idle = idle && idle_ranks <= waiting_ranks;
  const std::uint32_t suspect = blame_idle ? *idle : *last;
  if (waited_s < ranks_[suspect].silent_max_s) return std::nullopt;
  const bool sure = blame_idle ? idle_ranks < waiting_ranks : is_alone && ranks_.size() > 1;
  return Suspicion{suspect, ranks_[suspect].at, waited_s, sure};
}

}  // namespace herd::replica
