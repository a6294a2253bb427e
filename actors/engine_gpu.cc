// Engine on GPUs: weights a rank and GPU each, the KV cache sized by what is free beside ranks in place, ranks on
// devices of their own.

#include <algorithm>
#include <cstdio>
#include <utility>

#include "actors/engine.h"
#include "runtime/kv/kv_storage.h"
#include "runtime/shard/replica_sizing.h"

namespace herd::actors {
namespace {

std::string gpu_name(const GpuInfo& gpu) {
  return std::string("gpu-").append(std::to_string(gpu.index)).append(" ").append(gpu.name);
}

std::string gigabytes(std::size_t bytes) { return shard::gigabytes(static_cast<double>(bytes)); }

}  // namespace

Status Engine::open_gpus(const EngineOptions& options) {
  if (!options.gpu.use) return {};
  auto gpus = GpuRanks::open(options.gpu, options.data_parallel, options.tensor_parallel);
  if (!gpus) return gpus.error();
  gpus_ = std::move(*gpus);
  numerics_class_ = gpus_->numerics_class();
  for (std::size_t place = 0; place < gpus_->places(); ++place) {
    facts_.gpus.push_back(gpus_->gpu(place));
    facts_.devices.push_back(gpus_->loader(place).description());
  }
  facts_.device = facts_.devices.front();
  if (options.gpu.matmul == GpuMatmul::kCublasLt)
    options.note("--cuda-matmul cublaslt is a yardstick, not repeatable: the same request may give other bytes in "
                 "another batch");
  return {};
}

Status Engine::load_on_gpus(const EngineOptions& options, const model::WeightSource& source) {
  model::LoadReport report;  // names each tensor once, whatever rank met it
  for (std::size_t place = 0; place < gpus_->places(); ++place) {
    Device& device = gpus_->loader(place);
    auto weights = model::load_weights(model_.config(), source, {plans_[place % plans_.size()]}, facts_.encoding,
                                       device, options.load_progress, report);
    if (!weights) return weights.error();
    if (Status status = device.wait(); !status.ok()) return status;  // the ranks read them on other streams
    weights_.push_back(std::move(weights->front()));
  }
  warn_of(report, options);
  return {};
}

MakeGpuRank Engine::gpu_rank(const shard::ShardConfig& config, std::shared_ptr<const model::RopeTable> rope) const {
  return [config, rope = std::move(rope), gpus = gpus_, plans = plans_, weights = weights_](
             const GpuRanks::Round& round, int replica,
             int rank) -> Expected<std::unique_ptr<shard::ShardExecutor>> {
    auto place = round.enter(replica, rank);
    if (!place) return fail(place.error());
    shard::ShardConfig mine = config;
    mine.plan = plans[static_cast<std::size_t>(rank)];
    auto executor = std::make_unique<shard::ShardExecutor>(mine, weights[gpus->place(replica, rank)], rope,
                                                           std::move(place->device), std::move(place->group));
    if (Status status = executor->prepare(); !status.ok()) return fail(round.abort(replica, std::move(status)));
    return executor;
  };
}

// Ranks as they will be, but with KV for one long chunk: what is free beside them, and what that chunk took, is KV's.
Expected<std::int64_t> Engine::measure_kv_memory(const EngineOptions& options, std::int64_t longest) {
  const std::int64_t rows = std::min<std::int64_t>(options.scheduler.max_num_batched_tokens, longest);
  const std::int64_t blocks = std::max<std::int64_t>(1, (rows + options.block_size - 1) / options.block_size);
  const model::LlamaConfig& config = model_.config();
  auto rope = std::make_shared<model::RopeTable>(
      model::make_rope_table(config.rope, config.head_dim, static_cast<int>(longest)));
  std::vector<shard::GpuMemory> gpus(gpus_->places());
  std::vector<std::int64_t> free_before(gpus_->places());
  std::int64_t replica_block_bytes = 0;
  for (std::size_t rank = 0; rank < plans_.size(); ++rank) replica_block_bytes += block_bytes(options, rank);
  for (std::size_t place = 0; place < gpus_->places(); ++place)
    free_before[place] = static_cast<std::int64_t>(gpus_->loader(place).free_bytes());
  const auto free_bytes =
      free_beside_ranks(*gpus_, options.data_parallel, options.tensor_parallel, step_timeout(options).count(),
                        gpu_rank(shard_config(options, blocks), std::move(rope)));
  if (!free_bytes) return fail(free_bytes.error());
  for (std::size_t place = 0; place < gpus_->places(); ++place) {
    shard::GpuMemory& gpu = gpus[place];
    gpu.name = gpu_name(gpus_->gpu(place));
    gpu.total_bytes = static_cast<std::int64_t>(gpus_->gpu(place).total_bytes);
    gpu.block_bytes = block_bytes(options, place % plans_.size());
    gpu.free_bytes = static_cast<std::int64_t>((*free_bytes)[place]) + blocks * gpu.block_bytes;
    gpu.weight_bytes = static_cast<std::int64_t>(weights_[place]->bytes());
    gpu.step_bytes = std::max<std::int64_t>(0, free_before[place] - gpu.free_bytes);
    gpu_step_bytes_.push_back(gpu.step_bytes);
  }
  const auto fitting = shard::kv_blocks_on_gpus(gpus, options.gpu.memory_utilization);
  if (!fitting) return fail(fitting.error());
  return *fitting * replica_block_bytes;
}

void Engine::note_gpus(const EngineOptions& options) const {
  for (std::size_t place = 0; place < gpus_->places(); ++place) {
    const std::int64_t kv = facts_.num_blocks * block_bytes(options, place % plans_.size());
    std::string line = gpu_name(gpus_->gpu(place)) + ": weights " + gigabytes(weights_[place]->bytes());
    if (!gpu_step_bytes_.empty())
      line += ", step buffers " + gigabytes(static_cast<std::size_t>(gpu_step_bytes_[place]));
    options.note(line + ", KV cache " + gigabytes(static_cast<std::size_t>(kv)) + " of " +
                 gigabytes(gpus_->gpu(place).total_bytes));
  }
}

// A rank's thread hands over work and looks whether it is done: it is not made nicer, so that the GPU need not wait.
Status Engine::place_on_gpus(const EngineOptions& options, StandaloneConfig& cluster) {
  auto round = gpus_->new_round(cluster.step_timeout.count());
  if (!round) return round.error();
  cluster.make_rank = [make = gpu_rank(shard_config(options, facts_.num_blocks), rope_), gpus = gpus_, round = *round](
                          ReplicaId replica,
                          std::uint32_t rank) -> Expected<std::unique_ptr<shard::RankExecutor>> {
    return make(*round, static_cast<int>(replica.value), static_cast<int>(rank));
  };
  cluster.abort_replica = [gpus = gpus_, round = *round](ReplicaId replica, const Status& why) {
    (void)round->abort(static_cast<int>(replica.value), why);
  };
  return {};
}

}  // namespace herd::actors
