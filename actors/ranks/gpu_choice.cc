#include "actors/ranks/gpu_choice.h"

#include <algorithm>
#include <utility>

namespace herd::actors {
namespace {

std::string count_of_gpus(std::size_t count) {
  return count == 1 ? "there is 1 GPU" : std::string("there are ").append(std::to_string(count)).append(" GPUs");
}

}  // namespace

Status named_by_flag(const Status& error) { return {error.code(), "--devices gpu: " + error.message()}; }

Expected<std::vector<GpuInfo>> choose_gpus(const std::vector<GpuInfo>& there, const std::vector<int>& wanted,
                                           int places) {
  const auto needed = static_cast<std::size_t>(places);
  if (!wanted.empty() && wanted.size() < needed)
    return fail(missing("--devices: " + std::to_string(places) + " ranks need as many GPUs, " +
                        std::to_string(wanted.size()) + " named"));
  if (wanted.empty() && there.size() < needed)
    return fail(missing("--devices gpu: " + std::to_string(places) + " ranks need as many GPUs, " +
                        count_of_gpus(there.size())));
  std::vector<GpuInfo> chosen;
  for (std::size_t place = 0; place < needed; ++place) {
    const int index = wanted.empty() ? there[place].index : wanted[place];
    const auto found = std::ranges::find(there, index, &GpuInfo::index);
    if (found == there.end())
      return fail(missing("--devices gpu-" + std::to_string(index) + ": no such GPU, " + count_of_gpus(there.size())));
    chosen.push_back(*found);
  }
  return chosen;
}

Expected<GpuBackend*> open_gpus(std::vector<GpuInfo>& there) {
  auto backend = load_gpu_backend();
  if (!backend) return fail(named_by_flag(backend.error()));
  auto devices = (*backend)->devices();
  if (!devices) return fail(named_by_flag(devices.error()));
  there = std::move(*devices);
  return *backend;
}

}  // namespace herd::actors
