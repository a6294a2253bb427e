#include "actors/ranks/gpu_places.h"

#include <set>
#include <utility>

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

placement::RankDevice GpuPlaces::device_of(std::size_t place) const {
  return {.on_gpu = true, .gpu = gpu(place).index, .matmul = options_.matmul, .graphs = options_.graphs};
}

Expected<std::unique_ptr<Device>> GpuPlaces::make_device(const placement::RankDevice& device, int rank,
                                                         std::shared_ptr<ProgressWord> progress) const {
  GpuDeviceConfig config{.gpu = device.gpu, .rank = rank, .matmul = device.matmul, .graphs = device.graphs};
  config.progress = std::move(progress);
  return backend_->make_device(config);
}

Expected<RankGroup::MakeMember> GpuPlaces::make_members(std::int64_t deadline_ms) const {
  if (counts_.ranks == 1) return local_members(1, deadline_ms);
  const auto id = backend_->new_group();
  if (!id) return fail(id.error());
  return [backend = backend_, id = *id, size = counts_.ranks, deadline_ms](int rank, Device& device,
                                                                           const std::function<Status()>& given_up) {
    return backend->join_group(id, {rank, size, deadline_ms, deadline_ms, given_up}, device);
  };
}

}  // namespace herd::actors
