#include "actors/ranks/gpu_rank_host.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "actors/ranks/gpu_places.h"
#include "actors/ranks/rank_parts.h"
#include "cluster/placement/replica_sizing.h"

namespace herd::actors {
namespace {

std::string gpu_name(const GpuInfo& gpu) {
  return std::string("gpu-").append(std::to_string(gpu.index)).append(" ").append(gpu.name);
}

std::string gigabytes(std::size_t bytes) { return placement::gigabytes(static_cast<double>(bytes)); }

// Calls `work` for every rank, each on a thread of its own; the first refusal in time, of any replica. A refusal aborts
// the round of its replica.
Status on_every_rank(RankCounts counts, const GpuPlaces::Round& round, const std::function<Status(int, int)>& work) {
  std::mutex mutex;
  Status first;
  const auto run = [&](int replica, int rank) {
    Status status;
    try {
      status = work(replica, rank);
    } catch (const std::exception& exception) {
      status = {StatusCode::kInternal, exception.what()};
    }
    if (status.ok()) return;
    status = round.abort(replica, std::move(status));
    const std::scoped_lock lock(mutex);
    if (first.ok()) first = std::move(status);
  };
  std::vector<std::thread> threads;
  for (int replica = 0; replica < counts.replicas; ++replica) {
    for (int rank = 0; rank < counts.ranks; ++rank) threads.emplace_back(run, replica, rank);
  }
  for (std::thread& thread : threads) thread.join();
  return first;
}

class GpuRankHost final : public RankHost {
 public:
  GpuRankHost(std::unique_ptr<GpuPlaces> gpus, double memory_utilization)
      : gpus_(std::move(gpus)), memory_utilization_(memory_utilization) {}

  placement::StepSpeed speed(const model::Encoding& encoding) const override {
    return encoding.weights == DType::kBF16 ? placement::StepSpeed::kGpuTensorCores
                                            : placement::StepSpeed::kGpuOrdinaryCores;
  }

  Status load(const placement::ShardedModel& model, const model::WeightSource& source, const LoadProgress& progress,
              model::LoadReport& report) override {
    for (std::size_t place = 0; place < gpus_->places(); ++place) {
      Device& device = gpus_->loader(place);
      auto weights = model::load_weights(model.config, source, {model.shards[rank_of(place)]}, device,
                                         {model.encoding, progress, gpus_->places() > 1}, report);
      if (!weights) return weights.error();
      if (Status status = device.wait(); !status.ok()) return status;  // the ranks read them on other streams
      weights_.push_back(std::move(weights->front()));
    }
    return {};
  }

  WeightSizes weights() const override {
    return sizes_of(std::span(weights_).first(static_cast<std::size_t>(gpus_->counts().ranks)), false);
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
      gpu.block_bytes = trial.model.block_bytes(rank_of(place), trial.block_size);
      gpu.free_bytes = static_cast<std::int64_t>((*free_beside)[place]) + trial.blocks * gpu.block_bytes;
      gpu.weight_bytes = static_cast<std::int64_t>(weights_[place]->bytes());
      gpu.step_bytes = std::max<std::int64_t>(0, free_before[place] - gpu.free_bytes);
      step_bytes_.push_back(static_cast<std::size_t>(gpu.step_bytes));
    }
    return memory;
  }

  Status open(const placement::RankSpec& spec) override {
    auto round = gpus_->new_round(spec.step_timeout.count());
    if (!round) return round.error();
    spec_ = spec;
    rope_ = make_rope(spec);
    round_ = std::move(*round);
    return {};
  }

  HostFacts facts() const override {
    HostFacts facts;
    for (std::size_t place = 0; place < gpus_->places(); ++place)
      facts.devices.push_back(gpus_->loader(place).description());
    facts.gpus = gpus_->gpus();
    return facts;
  }

  std::vector<std::string> memory_notes() const override {
    std::vector<std::string> notes;
    for (std::size_t place = 0; place < gpus_->places(); ++place) {
      const std::int64_t kv = spec_.blocks * spec_.model.block_bytes(rank_of(place), spec_.block_size);
      std::string line = gpu_name(gpus_->gpu(place)) + ": weights " + gigabytes(weights_[place]->bytes());
      if (!step_bytes_.empty()) line += ", step buffers " + gigabytes(step_bytes_[place]);
      notes.push_back(line + ", KV cache " + gigabytes(static_cast<std::size_t>(kv)) + " of " +
                      gigabytes(gpus_->gpu(place).total_bytes));
    }
    return notes;
  }

  // A rank's thread hands over work and looks whether it is done: it is not made nicer, so that the GPU need not wait.
  Expected<std::unique_ptr<shard::RankExecutor>> make_rank(ReplicaId replica, std::uint32_t rank) override {
    return make_in(*round_, spec_, rope_, static_cast<int>(replica.value), static_cast<int>(rank));
  }

  void abort(ReplicaId replica, const Status& why) override {
    (void)round_->abort(static_cast<int>(replica.value), why);
  }

 private:
  [[nodiscard]] std::size_t rank_of(std::size_t place) const {
    return place % static_cast<std::size_t>(gpus_->counts().ranks);
  }

  // A rank in its place, prepared. A failure has aborted the round of its replica.
  [[nodiscard]] Expected<std::unique_ptr<shard::ShardExecutor>> make_in(
      const GpuPlaces::Round& round, const placement::RankSpec& spec,
      const std::shared_ptr<const model::RopeTable>& rope, int replica, int rank) const {
    auto place = round.enter(replica, rank);
    if (!place) return fail(place.error());
    auto executor = assemble(spec, static_cast<std::size_t>(rank), weights_[gpus_->place(replica, rank)], rope,
                             std::move(place->device), std::move(place->group));
    if (Status status = executor->prepare(); !status.ok()) return fail(round.abort(replica, std::move(status)));
    return executor;
  }

  // Makes every rank, lets all of them go again, and returns how many bytes were free on each place's GPU meanwhile.
  [[nodiscard]] Expected<std::vector<std::size_t>> free_beside_ranks(const placement::RankSpec& trial) const {
    const auto round = gpus_->new_round(trial.step_timeout.count());
    if (!round) return fail(round.error());
    const auto rope = make_rope(trial);
    std::vector<std::size_t> free_bytes(gpus_->places());
    Status status = on_every_rank(gpus_->counts(), **round, [&](int replica, int rank) -> Status {
      auto executor = make_in(**round, trial, rope, replica, rank);
      if (!executor) return executor.error();
      free_bytes[gpus_->place(replica, rank)] = (*executor)->device().free_bytes();
      return {};
    });
    if (!status.ok()) return fail(std::move(status));
    return free_bytes;
  }

  const std::unique_ptr<GpuPlaces> gpus_;  // outlives the weights
  const double memory_utilization_;
  std::vector<std::shared_ptr<const model::LlamaWeights>> weights_;  // a place each
  std::vector<std::size_t> step_bytes_;                              // a place each, where it was measured
  // Unchanged since open(), read by the threads of all ranks:
  placement::RankSpec spec_;
  std::shared_ptr<const model::RopeTable> rope_;
  std::unique_ptr<const GpuPlaces::Round> round_;
};

}  // namespace

Expected<std::shared_ptr<RankHost>> host_on_gpus(const GpuOptions& options, RankCounts counts) {
  auto gpus = GpuPlaces::open(options, counts);
  if (!gpus) return fail(gpus.error());
  return std::make_shared<GpuRankHost>(std::move(*gpus), options.memory_utilization);
}

}  // namespace herd::actors
