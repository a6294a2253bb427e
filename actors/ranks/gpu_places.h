#pragma once
// GpuPlaces: the GPU of every rank, where its weights go, and what it computes with: a Device of its own and its member of
// the replica's group. Places are numbered through the replicas, see RankCounts.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "actors/ranks/gpu_choice.h"
#include "actors/ranks/rank_groups.h"
#include "actors/ranks/rank_site.h"
#include "cluster/placement/rank_spec.h"
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

  // What the rank of that place computes on.
  [[nodiscard]] placement::RankDevice device_of(std::size_t place) const;
  // On the rank's own thread.
  [[nodiscard]] Expected<std::unique_ptr<Device>> make_device(const placement::RankDevice& device, int rank,
                                                              std::shared_ptr<ProgressWord> progress) const;
  // Of a new group over the GPUs of one replica's ranks. deadline_ms: of joining, and of every collective.
  [[nodiscard]] Expected<RankGroup::MakeMember> make_members(std::int64_t deadline_ms) const;

 private:
  GpuPlaces() = default;

  GpuBackend* backend_ = nullptr;
  GpuOptions options_;
  RankCounts counts_;
  std::vector<GpuInfo> gpus_;                     // a place each
  std::vector<std::unique_ptr<Device>> loaders_;  // a place each
};

}  // namespace herd::actors
