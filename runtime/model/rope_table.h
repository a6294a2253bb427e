#pragma once
// The RoPE table: cos and sin of every position, computed in double, stored as float (rule 2 of docs/numerics.md).

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/model/rope_frequencies.h"

namespace herd::model {

// [positions, head_dim] floats, at a fixed address: cos of D/2 frequencies, then sin. A row costs about a microsecond, and few
// requests come near the longest context: rows are computed when they are first asked for, or before by who has the time.
// Resource; all calls are thread-safe.
class RopeTable {
 public:
  RopeTable(const RopeConfig& rope, int head_dim, int positions);

  [[nodiscard]] int positions() const { return positions_; }
  // The rows that ready() counts hold their values, the others nothing yet.
  [[nodiscard]] const float* values() const { return values_.get(); }
  [[nodiscard]] std::size_t size() const { return frequencies_.size() * 2 * static_cast<std::size_t>(positions_); }
  [[nodiscard]] int ready() const { return ready_.load(std::memory_order_acquire); }

  // Returns when the first `positions` rows are there; at most a fraction of a millisecond's work more is waited for.
  void fill(int positions) const;
  // Some of the rows that are not there yet, if any; false: all were. For who has the time; others may do the same meanwhile.
  bool fill_more() const;

 private:
  const int positions_;
  const std::vector<double> frequencies_;
  const std::unique_ptr<float[]> values_;
  mutable std::mutex mutex_;  // of who computes rows
  mutable std::atomic<int> ready_{0};
};

}  // namespace herd::model
