#pragma once
// GpuPlaces: the GPU of every rank, where its weights go, and what it computes with: a Device of its own and its seat in
// the replica's group. Places are numbered through the replicas, see RankCounts.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actors/ranks/gpu_choice.h"
#include "actors/ranks/group_seats.h"
#include "actors/ranks/rank_host.h"
#include "kernels/collective.h"
#include "kernels/device.h"
#include "kernels/gpu_backend.h"
#include "kernels/status.h"

namespace herd::actors {

class GpuPlaces {
 public:
  // Makes a Device for every place's weights on the calling thread. kMissing: no library, driver or GPU, too few GPUs,
  // GPUs of different classes of arithmetic.
  static Expected<std::unique_ptr<GpuPlaces>> open(const GpuOptions& options, RankCounts counts);

  // For weights; they may be freed on any thread, but before this.
  [[nodiscard]] Device& loader(std::size_t place) { return *loaders_[place]; }
  [[nodiscard]] const GpuInfo& gpu(std::size_t place) const { return gpus_[place]; }
  [[nodiscard]] const std::vector<GpuInfo>& gpus() const { return gpus_; }
  [[nodiscard]] std::size_t places() const { return gpus_.size(); }
  [[nodiscard]] RankCounts counts() const { return counts_; }
  [[nodiscard]] std::size_t place(int replica, int rank) const {
    return static_cast<std::size_t>(replica * counts_.ranks + rank);
  }
  [[nodiscard]] std::string numerics_class() const { return loaders_.front()->numerics_class(); }

  // One round of all ranks: every place is entered once, from its own thread, by all at the same time.
  class Round {
   public:
    Round(const GpuPlaces& gpus, std::vector<GpuGroupId> ids, std::int64_t deadline_ms);
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

    const GpuPlaces& gpus_;
    const std::vector<GpuGroupId> ids_;  // a replica each; none for groups of one
    const std::int64_t deadline_ms_;     // of joining, and of every collective
    const std::shared_ptr<GroupSeats> seats_;
  };
  // Must not outlive this.
  [[nodiscard]] Expected<std::unique_ptr<const Round>> new_round(std::int64_t deadline_ms) const;

 private:
  GpuPlaces() = default;

  GpuBackend* backend_ = nullptr;
  GpuOptions options_;
  RankCounts counts_;
  std::vector<GpuInfo> gpus_;                     // a place each
  std::vector<std::unique_ptr<Device>> loaders_;  // a place each
};

}  // namespace herd::actors
