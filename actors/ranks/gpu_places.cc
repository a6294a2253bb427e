#include "actors/ranks/gpu_places.h"

#include <set>
#include <utility>

#include "kernels/local_collective.h"

namespace herd::actors {

Expected<std::unique_ptr<GpuPlaces>> GpuPlaces::open(const GpuOptions& options, RankCounts counts) {
  std::unique_ptr<GpuPlaces> gpus(new GpuPlaces);
  gpus->options_ = options;
  gpus->counts_ = counts;
  std::vector<GpuInfo> there;
  auto backend = open_gpus(there);
  if (!backend) return fail(backend.error());
  gpus->backend_ = *backend;
  auto chosen = choose_gpus(there, options.indices, counts.replicas * counts.ranks);
  if (!chosen) return fail(chosen.error());
  gpus->gpus_ = std::move(*chosen);
  std::set<std::string> classes;
  for (std::size_t place = 0; place < gpus->gpus_.size(); ++place) {
    auto device = gpus->backend_->make_device({.gpu = gpus->gpus_[place].index,
                                               .rank = static_cast<int>(place) % counts.ranks,
                                               .matmul = options.matmul,
                                               .graphs = false});
    if (!device) return fail(named_by_flag(device.error()));
    classes.insert((*device)->numerics_class());
    gpus->loaders_.push_back(std::move(*device));
  }
  if (classes.size() > 1) {
    std::string names;
    for (const std::string& name : classes) names += (names.empty() ? "" : ", ") + name;
    return fail(missing("--devices: these GPUs compute in different classes of arithmetic (" + names +
                        "), so that they would not give the same bytes; choose GPUs of one kind"));
  }
  return gpus;
}

Expected<std::unique_ptr<const GpuPlaces::Round>> GpuPlaces::new_round(std::int64_t deadline_ms) const {
  std::vector<GpuGroupId> ids;
  for (int replica = 0; counts_.ranks > 1 && replica < counts_.replicas; ++replica) {
    auto id = backend_->new_group();
    if (!id) return fail(id.error());
    ids.push_back(*id);
  }
  return std::make_unique<const Round>(*this, std::move(ids), deadline_ms);
}

GpuPlaces::Round::Round(const GpuPlaces& gpus, std::vector<GpuGroupId> ids, std::int64_t deadline_ms)
    : gpus_(gpus),
      ids_(std::move(ids)),
      deadline_ms_(deadline_ms),
      seats_(std::make_shared<GroupSeats>(gpus.counts_.replicas, gpus.counts_.ranks)) {}

Expected<GpuPlaces::Round::Place> GpuPlaces::Round::enter(int replica, int rank) const {
  auto place = sit_down(replica, rank);
  if (!place) return fail(abort(replica, place.error()));
  return place;
}

Expected<GpuPlaces::Round::Place> GpuPlaces::Round::sit_down(int replica, int rank) const {
  const GpuOptions& options = gpus_.options_;
  auto device = gpus_.backend_->make_device({.gpu = gpus_.gpu(gpus_.place(replica, rank)).index,
                                             .rank = rank,
                                             .matmul = options.matmul,
                                             .graphs = options.graphs});
  if (!device) return fail(device.error());
  const auto given_up = [this, replica] { return seats_->aborted(replica); };
  if (Status why = given_up(); !why.ok()) return fail(std::move(why));  // nobody is left to wait for
  std::unique_ptr<Collective> member;
  if (gpus_.counts_.ranks == 1) {
    member = std::move(make_local_group(1, {.deadline_ms = deadline_ms_}).front());
  } else {
    auto joined = gpus_.backend_->join_group(ids_[static_cast<std::size_t>(replica)],
                                             {rank, gpus_.counts_.ranks, deadline_ms_, deadline_ms_, given_up}, **device);
    if (!joined) return fail(joined.error());
    member = std::move(*joined);
  }
  auto group = seats_->take(replica, rank, std::move(member));
  return Place{std::move(*device), std::move(group)};
}

}  // namespace herd::actors
