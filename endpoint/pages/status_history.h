#pragma once
// StatusHistory: the last two minutes of a cluster as a point a second, and what each replica makes at the moment. Pure.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "actors/client/cluster_status.h"
#include "observability/stats_line.h"

namespace herd::pages {

struct HistoryPoint {
  double generation = 0;  // tokens/s
  double prompt = 0;      // tokens/s, computed: cached ones are not counted
  std::uint64_t running = 0;
  std::uint64_t waiting = 0;
  double kv_usage = 0;    // [0, 1]
};

struct ReplicaRates {
  double generation = 0;  // tokens/s
  double prompt = 0;
};

class StatusHistory {
 public:
  static constexpr std::size_t kPointsMax = 120;
  static constexpr double kBetween_s = 1.0;  // the caller looks so often

  // What was counted since the last call makes the rates; a counter that fell, as a replica began anew, makes none.
  void add(const observability::StatsSample& sample, const actors::ClusterStatus& status);

  [[nodiscard]] const std::deque<HistoryPoint>& points() const { return points_; }  // the newest last
  [[nodiscard]] ReplicaRates rates_of(ReplicaId replica) const;

 private:
  struct Counted {
    std::uint64_t generation = 0;
    std::uint64_t prompt = 0;
    ReplicaRates rates;
  };

  std::deque<HistoryPoint> points_;
  std::map<ReplicaId, Counted> replicas_;
  std::optional<observability::StatsSample> last_;
};

}  // namespace herd::pages
