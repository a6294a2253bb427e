#include "actors/ranks/gpu_rank_site.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "actors/ranks/gpu_places.h"
#include "actors/ranks/rank_host.h"
#include "cluster/placement/replica_sizing.h"
#include "kernels/process_limits.h"

namespace herd::actors {
namespace {

constexpr Epoch kTrialEpoch{0};  // no generation has it

std::string gpu_name(const GpuInfo& gpu) {
  return std::string("gpu-").append(std::to_string(gpu.index)).append(" ").append(gpu.name);
}

std::string gigabytes(std::size_t bytes) { return placement::gigabytes(static_cast<double>(bytes)); }

class GpuRankSite final : public RankSite {
 public:
  GpuRankSite(std::unique_ptr<GpuPlaces> gpus, double memory_utilization, RankHooks hooks)
      : RankSite(gpus->counts(), std::move(hooks)), gpus_(std::move(gpus)), memory_utilization_(memory_utilization) {}

  placement::StepSpeed speed(const model::Encoding& encoding) const override {
    return encoding.weights == WeightFormat::kBF16 ? placement::StepSpeed::kGpuTensorCores
                                            : placement::StepSpeed::kGpuOrdinaryCores;
  }

  WeightSizes weights() const override {
    return sizes_of(std::span(weights_).first(static_cast<std::size_t>(counts().ranks)), false);
  }
  std::string numerics_class() const override { return gpus_->numerics_class(); }

  // What is free beside the ranks of the trial, and what their one chunk of KV took, is KV's.
  Expected<placement::DeviceMemory> measure(const placement::RankSpec& trial) override {
    std::vector<std::int64_t> free_before(gpus_->places());
    for (std::size_t place = 0; place < gpus_->places(); ++place)
      free_before[place] = static_cast<std::int64_t>(gpus_->loader(place).free_bytes());
    const auto free_beside = free_beside_ranks(trial);
    if (!free_beside) return fail(free_beside.error());
    placement::DeviceMemory memory;
    memory.gpu_utilization = memory_utilization_;
    for (std::size_t place = 0; place < gpus_->places(); ++place) {
      placement::GpuMemory& gpu = memory.gpus.emplace_back();
      gpu.name = gpu_name(gpus_->gpu(place));
      gpu.total_bytes = static_cast<std::int64_t>(gpus_->gpu(place).total_bytes);
      gpu.block_bytes = model().block_bytes(rank_of(place), trial.shape.block_size);
      gpu.free_bytes = static_cast<std::int64_t>((*free_beside)[place]) + trial.shape.blocks * gpu.block_bytes;
      gpu.weight_bytes = static_cast<std::int64_t>(weights_[place]->bytes());
      gpu.step_bytes = std::max<std::int64_t>(0, free_before[place] - gpu.free_bytes);
      step_bytes_.push_back(static_cast<std::size_t>(gpu.step_bytes));
    }
    return memory;
  }

  SiteFacts facts() const override {
    SiteFacts facts;
    for (std::size_t place = 0; place < gpus_->places(); ++place)
      facts.devices.push_back(gpus_->loader(place).description());
    facts.gpus = gpus_->gpus();
    return facts;
  }

  std::vector<std::string> memory_notes() const override {
    std::vector<std::string> notes;
    for (std::size_t place = 0; place < gpus_->places(); ++place) {
      const std::int64_t kv = spec().shape.blocks * model().block_bytes(rank_of(place), spec().shape.block_size);
      std::string line = gpu_name(gpus_->gpu(place)) + ": weights " + gigabytes(weights_[place]->bytes());
      if (!step_bytes_.empty()) line += ", step buffers " + gigabytes(step_bytes_[place]);
      notes.push_back(line + ", KV cache " + gigabytes(static_cast<std::size_t>(kv)) + " of " +
                      gigabytes(gpus_->gpu(place).total_bytes));
    }
    return notes;
  }

  // A rank's thread hands over work and looks whether it is done: it is not made nicer, so that the GPU need not wait.
  Expected<std::unique_ptr<Device>> make_device(const placement::RankSpec& spec,
                                                std::shared_ptr<ProgressWord> progress) override {
    return gpus_->make_device(spec.device, static_cast<int>(spec.rank), std::move(progress));
  }

  // A place's weights are its rank's alone: only the thread of that rank reads or writes them.
  Expected<std::shared_ptr<const model::LlamaWeights>> weights_of(const placement::RankSpec& spec, bool read_again) override {
    const std::size_t at = place(spec);
    if (read_again) {
      weights_[at].reset();  // there may be no room for both
      model::LoadReport report;
      if (Status status = load_place(at, {}, report); !status.ok()) return fail(std::move(status));
    }
    if (weights_[at] == nullptr) return fail(missing(gpu_name(gpus_->gpu(at)) + ": its weights could not be read again"));
    return weights_[at];
  }

 private:
  [[nodiscard]] std::size_t rank_of(std::size_t place) const {
    return place % static_cast<std::size_t>(counts().ranks);
  }

  Status load_all(const LoadProgress& progress, model::LoadReport& report) override {
    weights_.resize(gpus_->places());
    for (std::size_t place = 0; place < gpus_->places(); ++place) {
      if (Status status = load_place(place, progress, report); !status.ok()) return status;
    }
    return {};
  }

  Status load_place(std::size_t place, const LoadProgress& progress, model::LoadReport& report) {
    Device& device = gpus_->loader(place);
    auto weights = model::load_weights(model().config, source(), {model().shards[rank_of(place)]}, device,
                                       {model().encoding, progress, gpus_->places() > 1}, report);
    if (!weights) return weights.error();
    if (Status status = device.wait(); !status.ok()) return status;  // the ranks read them on other streams
    weights_[place] = std::move(weights->front());
    return {};
  }

  placement::RankDevice device_of(ReplicaId replica, std::uint32_t rank) const override {
    return gpus_->device_of(gpus_->place(static_cast<int>(replica.value), static_cast<int>(rank)));
  }

  Expected<RankGroup::MakeMember> make_members(std::int64_t deadline_ms) const override {
    return gpus_->make_members(deadline_ms);
  }

  // One rank of the trial: how many bytes are free on its GPU while all of them are there.
  Status measure_rank(ReplicaId replica, std::uint32_t rank, const Rendezvous& rendezvous, std::size_t& free_bytes) {
    const auto host = make_host({replica, rank, false, std::make_shared<ProgressWord>()});
    if (const auto rates = host->prepare(); !rates) return rates.error();
    if (Status status = host->join(kTrialEpoch, rendezvous); !status.ok()) {
      abort_group(replica, kTrialEpoch, status);  // before it is destroyed: that may wait for GPUs that wait for this rank
      return status;
    }
    free_bytes = host->device().free_bytes();
    return {};
  }

  // Makes every rank, lets all of them go again, and returns how many bytes were free on each place's GPU meanwhile.
  [[nodiscard]] Expected<std::vector<std::size_t>> free_beside_ranks(const placement::RankSpec& trial) {
    if (Status status = open(trial); !status.ok()) return fail(std::move(status));
    std::vector<Rendezvous> groups;
    for (int replica = 0; replica < counts().replicas; ++replica) {
      auto group = open_group(ReplicaId(static_cast<std::uint32_t>(replica)), kTrialEpoch);
      if (!group) return fail(group.error());
      groups.push_back(std::move(*group));
    }
    std::vector<std::size_t> free_bytes(gpus_->places());
    std::mutex mutex;
    Status first;  // in time, of any replica
    const auto measure_place = [&](ReplicaId replica, std::uint32_t rank) {
      Status status;
      try {
        status = measure_rank(replica, rank, groups[replica.value],
                              free_bytes[gpus_->place(static_cast<int>(replica.value), static_cast<int>(rank))]);
      } catch (const std::exception& exception) {
        status = {StatusCode::kInternal, exception.what()};
      }
      if (status.ok()) return;
      abort_group(replica, kTrialEpoch, status);
      const std::scoped_lock lock(mutex);
      if (first.ok()) first = std::move(status);
    };
    const auto abort_all = [&](const Status& why) {
      for (int replica = 0; replica < counts().replicas; ++replica)
        abort_group(ReplicaId(static_cast<std::uint32_t>(replica)), kTrialEpoch, why);
    };
    {
      std::vector<std::jthread> threads;  // joined at the end of this block
      try {
        for (std::size_t place = 0; place < gpus_->places(); ++place)
          threads.emplace_back(measure_place, ReplicaId(static_cast<std::uint32_t>(place / static_cast<std::size_t>(counts().ranks))),
                               static_cast<std::uint32_t>(rank_of(place)));
      } catch (const std::system_error& error) {
        const Status refused = no_thread(error);
        abort_all(refused);  // those that were started wait for the ones that were not
        const std::scoped_lock lock(mutex);
        if (first.ok()) first = refused;
      }
    }
    abort_all({StatusCode::kAborted, "the trial is over"});
    if (!first.ok()) return fail(std::move(first));
    return free_bytes;
  }

  const std::unique_ptr<GpuPlaces> gpus_;  // outlives the weights
  const double memory_utilization_;
  std::vector<std::shared_ptr<const model::LlamaWeights>> weights_;  // a place each
  std::vector<std::size_t> step_bytes_;                              // a place each, where it was measured
};

}  // namespace

Expected<std::shared_ptr<RankSite>> site_on_gpus(const GpuOptions& options, RankCounts counts, RankHooks hooks) {
  auto gpus = GpuPlaces::open(options, counts);
  if (!gpus) return fail(gpus.error());
  return std::make_shared<GpuRankSite>(std::move(*gpus), options.memory_utilization, std::move(hooks));
}

}  // namespace herd::actors
