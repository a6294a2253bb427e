#pragma once
// RankRoster: what a node reports of its rank processes, as those who watch them write it down. Any thread.

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cluster/report/process_report.h"
#include "runtime/ids.h"

namespace herd::actors {

// "replica-0/rank-1"
[[nodiscard]] inline std::string rank_name(ReplicaId replica, std::uint32_t rank) {
  return "replica-" + std::to_string(replica.value) + "/rank-" + std::to_string(rank);
}

class RankRoster {
 public:
  explicit RankRoster(std::string node) : node_(std::move(node)) {}
  // Called after each change, on the thread that made it; it must not wait. Before the first change.
  void set_listener(std::function<void()> on_change) { on_change_ = std::move(on_change); }

  // `change(report)`: the rank's report is made by the first of them.
  template <class Change>
  void update(ReplicaId replica, std::uint32_t rank, Change change) {
    {
      const std::scoped_lock lock(mutex_);
      auto [entry, is_new] = ranks_.try_emplace({replica, rank});
      if (is_new) entry->second = first(replica, rank);
      change(entry->second);
    }
    on_change_();
  }
  // All ranks of that replica that are known.
  template <class Change>
  void update_all(ReplicaId replica, Change change) {
    {
      const std::scoped_lock lock(mutex_);
      for (auto& [key, report] : ranks_)
        if (key.first == replica) change(report);
    }
    on_change_();
  }
  // It was ended, or is held no more.
  void erase(ReplicaId replica) {
    {
      const std::scoped_lock lock(mutex_);
      std::erase_if(ranks_, [&](const auto& entry) { return entry.first.first == replica; });
    }
    on_change_();
  }
  void count_death(const std::string& how) {
    const std::scoped_lock lock(mutex_);
    ++deaths_[how];
  }

  // By replica and rank.
  [[nodiscard]] std::vector<report::ProcessReport> ranks() const {
    const std::scoped_lock lock(mutex_);
    std::vector<report::ProcessReport> all;
    for (const auto& [key, report] : ranks_) all.push_back(report);
    return all;
  }
  // How often ranks died so, of all lives.
  [[nodiscard]] std::map<std::string, std::uint64_t> deaths() const {
    const std::scoped_lock lock(mutex_);
    return deaths_;
  }

 private:
  [[nodiscard]] report::ProcessReport first(ReplicaId replica, std::uint32_t rank) const {
    report::ProcessReport report;
    report.role = handshake::Role::kRank;
    report.name = rank_name(replica, rank);
    report.node = node_;
    report.leader = rank == 0;
    return report;
  }

  const std::string node_;
  std::function<void()> on_change_ = [] {};
  mutable std::mutex mutex_;  // of the below
  std::map<std::pair<ReplicaId, std::uint32_t>, report::ProcessReport> ranks_;
  std::map<std::string, std::uint64_t> deaths_;
};

}  // namespace herd::actors
