#pragma once
// Ranks on GPUs: which GPU each gets, where its weights go, and the place it computes at: a Device of its own and its
// seat in the replica's group. Ranks are numbered through the replicas: place(replica, rank) = replica * ranks + rank.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kernels/gpu_backend.h"
#include "kernels/status.h"
#include "runtime/shard/shard_executor.h"

namespace herd::actors {

// --devices gpu and what belongs to it.
struct GpuOptions {
  bool use = false;
  std::vector<int> indices;           // empty: 0, 1, … as many as there are ranks
  double memory_utilization = 0.9;    // of a GPU's whole memory, for weights, step buffers and KV; in (0, 1]
  GpuMatmul matmul = GpuMatmul::kOrdered;
  bool graphs = true;
};

// The GPU of every place. kMissing: an index that is not there, fewer GPUs than places (says how many there are).
[[nodiscard]] Expected<std::vector<GpuInfo>> choose_gpus(const std::vector<GpuInfo>& there,
                                                         const std::vector<int>& wanted, int places);
// load_gpu_backend() and its devices(), with errors that name the flag.
[[nodiscard]] Expected<GpuBackend*> open_gpus(std::vector<GpuInfo>& there);

// The ranks of all replicas that are in a collective now, so that anybody may abort those of one replica. Thread-safe.
class GroupSeats : public std::enable_shared_from_this<GroupSeats> {
 public:
  GroupSeats(int replicas, int ranks)
      : ranks_(ranks), members_(static_cast<std::size_t>(replicas * ranks)),
        reasons_(static_cast<std::size_t>(replicas)) {}

  // The member sits there until the last owner lets go of it; abort() no longer reaches it then. A replica that was
  // aborted before has its new member aborted at once.
  [[nodiscard]] std::shared_ptr<Collective> take(int replica, int rank, std::unique_ptr<Collective> member);
  // The first reason counts, and is returned.
  Status abort(int replica, Status why);
  // Why the replica was aborted; ok when it was not.
  [[nodiscard]] Status aborted(int replica) const;

 private:
  void leave(std::size_t seat);

  const int ranks_;
  mutable std::mutex mutex_;  // held while members are aborted, so that none of them is destroyed meanwhile
  std::vector<Collective*> members_;
  std::vector<Status> reasons_;
};

class GpuRanks {
 public:
  // Makes a Device for every place's weights on the calling thread. kMissing: no library, driver or GPU, too few GPUs,
  // GPUs of different classes of arithmetic.
  static Expected<std::shared_ptr<GpuRanks>> open(const GpuOptions& options, int replicas, int ranks);

  // For weights; they may be freed on any thread, but before this.
  [[nodiscard]] Device& loader(std::size_t place) { return *loaders_[place]; }
  [[nodiscard]] const GpuInfo& gpu(std::size_t place) const { return gpus_[place]; }
  [[nodiscard]] std::size_t places() const { return gpus_.size(); }
  [[nodiscard]] std::size_t place(int replica, int rank) const {
    return static_cast<std::size_t>(replica * ranks_ + rank);
  }
  [[nodiscard]] std::string numerics_class() const { return loaders_.front()->numerics_class(); }

  // One round of all ranks: every place is entered once, from its own thread, by all at the same time.
  class Round {
   public:
    Round(const GpuRanks& gpus, std::vector<GpuGroupId> ids, std::int64_t deadline_ms);
    struct Place {
      std::unique_ptr<Device> device;      // outlives
      std::shared_ptr<Collective> group;   // this
    };
    // Waits for the other ranks of the replica, at most deadline_ms. A failure aborts the replica.
    [[nodiscard]] Expected<Place> enter(int replica, int rank) const;
    // Ranks in a collective of this replica return, now and later. Any thread. The first reason counts: it is returned,
    // and what the ranks then fail of follows from it.
    Status abort(int replica, Status why) const { return seats_->abort(replica, std::move(why)); }

   private:
    [[nodiscard]] Expected<Place> sit_down(int replica, int rank) const;

    const GpuRanks& gpus_;
    const std::vector<GpuGroupId> ids_;  // a replica each; none for groups of one
    const std::int64_t deadline_ms_;     // of joining, and of every collective
    const std::shared_ptr<GroupSeats> seats_;
  };
  // Must not outlive this.
  [[nodiscard]] Expected<std::shared_ptr<const Round>> new_round(std::int64_t deadline_ms) const;

 private:
  GpuRanks() = default;

  GpuBackend* backend_ = nullptr;
  GpuOptions options_;
  int replicas_ = 1;
  int ranks_ = 1;
  std::vector<GpuInfo> gpus_;                     // a place each
  std::vector<std::unique_ptr<Device>> loaders_;  // a place each
};

// A rank's executor in its place, prepared. A failure has aborted the round of its replica.
using MakeGpuRank = std::function<Expected<std::unique_ptr<shard::ShardExecutor>>(const GpuRanks::Round& round,
                                                                                  int replica, int rank)>;

// Makes every rank, each on a thread of its own, lets all of them go again, and returns how many bytes were free on
// each place's GPU while they were there. The first rank's refusal otherwise.
[[nodiscard]] Expected<std::vector<std::size_t>> free_beside_ranks(const GpuRanks& gpus, int replicas, int ranks,
                                                                   std::int64_t deadline_ms, const MakeGpuRank& make);

}  // namespace herd::actors
