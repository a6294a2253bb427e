#include "actors/engine.h"

#include <algorithm>
#include <chrono>

#include "kernels/local_collective.h"
#include "kernels/process_limits.h"
#include "runtime/shard/numerics_fingerprint.h"
#include "runtime/shard/replica_sizing.h"
#include "runtime/shard/shard_executor.h"

namespace herd::actors {

namespace {

constexpr int kClusterThreads = 9;  // CAF's workers, clock and helpers, the gateway, and what a rank's start needs for a moment

constexpr const char* kMemoryAdvice =
    "; lower --kv-cache-memory, --max-model-len, --max-num-batched-tokens or --threads, or raise the limit (a container's "
    "memory, ulimit -v)";

// A refusal of memory by a rank that is being prepared, with what helps.
Status with_advice(Status status) {
  if (status.code() != StatusCode::kMissing) return status;
  return {status.code(), status.message() + kMemoryAdvice};
}

}  // namespace

int threads_needed(const EngineOptions& options) {
  const int ranks = options.tensor_parallel * options.data_parallel;
  const int computing = options.threads > 0 ? options.threads : usable_cpus();
  return kClusterThreads + ranks + std::max(computing, ranks);
}

namespace {

void complete(EngineOptions& options) {
  if (!options.note) options.note = [](const std::string&) {};
  if (!options.warn) options.warn = options.note;
  if (!options.make_device) options.make_device = make_cpu_device;
}

// One a rank of a replica.
Expected<std::vector<model::ShardPlan>> plan_ranks(const model::LlamaConfig& config, int ranks) {
  if (ranks < 1)
    return fail(usage_error("--tensor-parallel-size must be 1, 2, 4 or 8, not " + std::to_string(ranks)));
  std::vector<model::ShardPlan> plans;
  for (int rank = 0; rank < ranks; ++rank) {
    auto plan = model::plan_shard(config, ranks, rank);
    if (!plan) return fail(plan.error());
    plans.push_back(std::move(*plan));
  }
  return plans;
}

}  // namespace

Expected<model::OpenedModel> Engine::open(const EngineOptions& given) {
  EngineOptions options = given;
  complete(options);
  options.note("model: " + options.model.path);
  auto model = model::open_model(options.model);
  if (!model) return fail(model.error());
  for (const std::string& warning : model->warnings) options.warn("warning: " + warning);
  if (options.compute_nice < 0 || options.compute_nice > 19)
    return fail(usage_error("niceness of compute threads: " + std::to_string(options.compute_nice) +
                            " is not within [0, 19]"));
  if (auto plans = plan_ranks(model->config(), options.tensor_parallel); !plans) return fail(plans.error());
  for (const std::string& warning : model->description.generation.warnings) options.warn("warning: " + warning);
  return model;
}

Expected<std::unique_ptr<Engine>> Engine::start(EngineOptions options) {
  auto model = open(options);
  if (!model) return fail(model.error());
  return start(std::move(options), std::move(*model));
}

Expected<std::unique_ptr<Engine>> Engine::start(EngineOptions options, model::OpenedModel model) {
  complete(options);
  std::unique_ptr<Engine> engine(new Engine);
  auto plans = plan_ranks(model.config(), options.tensor_parallel);
  if (!plans) return fail(plans.error());
  engine->plans_ = std::move(*plans);
  engine->model_ = std::move(model);
  Status status = engine->check_threads(options);
  if (status.ok()) status = engine->open_gpus(options);
  if (status.ok()) status = engine->choose_encoding(options);
  if (status.ok()) status = engine->load(options);
  if (status.ok()) status = engine->name_numerics(options);
  if (status.ok()) status = engine->size_kv(options);
  if (status.ok()) status = engine->start_cluster(options);
  if (!status.ok()) return fail(std::move(status));
  return engine;
}

// Before anything starts one: the actors' library ends the process when a thread is refused.
Status Engine::check_threads(const EngineOptions& options) const { return probe_threads(threads_needed(options)); }

Status Engine::choose_encoding(const EngineOptions& options) {
  const std::string own = model_.own_encoding();
  const std::string wanted = options.encoding.empty() ? own : options.encoding;
  if (wanted == "float32") {
    facts_.encoding.weights = DType::kF32;
  } else if (wanted == "bfloat16") {
    facts_.encoding.weights = DType::kBF16;
  } else if (wanted == "float16") {
    facts_.encoding.weights = DType::kF16;
  } else if (wanted == own) {
    facts_.encoding.weights = DType::kBF16;
    options.note("encoding: " + own + " weights are widened to bfloat16 (no native " + own + " compute yet)");
  } else {
    return usage_error("--quantization-encoding " + wanted + ": not supported yet for this checkpoint (its weights are " +
                       own + "); float32, float16 and bfloat16 are");
  }
  if (options.gpu.use && facts_.encoding.weights != DType::kBF16)
    options.note(std::string("encoding: a GPU computes ") + dtype_name(facts_.encoding.weights) +
                 " weights in the CPU's order, right but slow; --quantization-encoding bfloat16 is fast");
  return {};
}

Status Engine::load(const EngineOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  std::unique_ptr<model::WeightSource> random;
  if (!model_.checkpoint) random = model::random_source(model_.config(), options.model.random_seed);
  const model::WeightSource& source =
      model_.checkpoint ? static_cast<const model::WeightSource&>(*model_.checkpoint) : *random;
  if (gpus_ != nullptr) {
    if (Status status = load_on_gpus(options, source); !status.ok()) return status;
  } else {
    auto device = make_cpu_device({options.isa, options.threads});
    if (!device) return device.error();
    model::LoadReport report;
    auto weights = model::load_weights(model_.config(), source, plans_, facts_.encoding, **device,
                                       options.load_progress, report);
    if (!weights) return weights.error();
    weights_ = std::move(*weights);
    numerics_class_ = (*device)->numerics_class();
    warn_of(report, options);
  }
  facts_.weights_bytes = weights_.front()->bytes();
  for (std::size_t rank = 0; rank < plans_.size(); ++rank) {
    facts_.weight_bytes_per_token += weights_[rank]->bytes_read_per_token();
    if (rank == 0) continue;
    const auto embedding = static_cast<std::size_t>(weights_[rank]->embedding.bytes());
    facts_.weights_bytes += weights_[rank]->bytes() - (gpus_ != nullptr ? 0 : embedding);  // CPUs share it
  }
  facts_.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return {};
}

void Engine::warn_of(const model::LoadReport& report, const EngineOptions& options) const {
  for (const std::string& tensor : report.non_finite)
    options.warn("warning: " + options.model.path + ": tensor " + tensor + " holds NaN or infinite values");
}

// Of a KV block on one rank.
std::int64_t Engine::block_bytes(const EngineOptions& options, std::size_t rank) const {
  const model::LlamaConfig& config = model_.config();
  return kv::KvStorage::bytes_per_block(
      {facts_.encoding.activations(), options.block_size, plans_[rank].kv_heads.size(), config.head_dim},
      config.layers);
}

Status Engine::size_kv(const EngineOptions& options) {
  const model::LlamaConfig& config = model_.config();
  if (Status status = shard::check_block_size(options.block_size); !status.ok()) return status;
  shard::KvWishes wishes{.block_size = options.block_size,
                         .model_len_max = config.max_position_embeddings,
                         .max_model_len = options.max_model_len,
                         .num_blocks = options.num_blocks,
                         .kv_cache_memory = options.kv_cache_memory,
                         .replicas = options.data_parallel,
                         .max_num_seqs = options.scheduler.max_num_seqs};
  for (std::size_t rank = 0; rank < plans_.size(); ++rank) wishes.block_bytes += block_bytes(options, rank);
  facts_.kv_bytes_per_token = wishes.block_bytes / options.block_size;
  if (gpus_ == nullptr) {
    auto device = make_cpu_device({options.isa, 1});
    if (!device) return device.error();
    wishes.free_bytes = static_cast<std::int64_t>((*device)->free_bytes());
    // Stacks take address space that no memory is behind.
    if (const auto left = address_space_left()) {
      const auto stacks = static_cast<std::int64_t>(thread_stack_bytes()) * threads_needed(options);
      wishes.free_bytes =
          std::clamp<std::int64_t>(static_cast<std::int64_t>(*left) - stacks, 0, wishes.free_bytes);
    }
  } else if (wishes.num_blocks == 0 && wishes.kv_cache_memory == 0) {
    auto memory = measure_kv_memory(options, shard::longest_model_len(wishes));
    if (!memory) return memory.error();
    wishes.kv_cache_memory = *memory;
    wishes.memory_flags = "--gpu-memory-utilization";
  }
  const auto sizes = shard::size_kv(wishes);
  if (!sizes) return sizes.error();
  for (const std::string& note : sizes->notes) options.note(note);
  facts_.max_model_len = sizes->max_model_len;
  facts_.num_blocks = sizes->num_blocks;
  rope_ = std::make_shared<model::RopeTable>(
      model::make_rope_table(config.rope, config.head_dim, static_cast<int>(sizes->max_model_len)));
  return {};
}

Status Engine::name_numerics(const EngineOptions& options) {
  auto fingerprint = shard::numerics_fingerprint({.numerics_class = numerics_class_,
                                                  .config = &model_.config(),
                                                  .encoding = facts_.encoding,
                                                  .checkpoint = model_.checkpoint.get(),
                                                  .random_seed = options.model.random_seed});
  if (!fingerprint) return fingerprint.error();
  fingerprint_ = std::move(*fingerprint);
  return {};
}

Status Engine::start_cluster(const EngineOptions& options) {
  StandaloneConfig cluster;
  cluster.scheduler = options.scheduler;
  cluster.scheduler.block_size = static_cast<std::uint32_t>(options.block_size);
  cluster.scheduler.num_blocks = static_cast<std::uint32_t>(facts_.num_blocks);
  cluster.scheduler.max_model_len = static_cast<std::uint32_t>(facts_.max_model_len);
  cluster.scheduler.vocab_size = model_.config().vocab_size;
  cluster.scheduler_probe = options.scheduler_probe;
  cluster.scheduler.queue_tokens_max =
      std::max<std::uint64_t>(cluster.scheduler.queue_tokens_max, cluster.scheduler.max_model_len);
  if (Status status = cluster.scheduler.validate(); !status.ok()) return status;
  cluster.replicas = static_cast<std::uint32_t>(options.data_parallel);
  cluster.ranks = static_cast<std::uint32_t>(options.tensor_parallel);
  cluster.numerics = fingerprint_;
  cluster.gateway = options.gateway;
  if (options.make_on_step) cluster.on_step = options.make_on_step(facts_);
  cluster.step_timeout = step_timeout(options);
  Status status = gpus_ != nullptr ? place_on_gpus(options, cluster) : place_on_cpus(options, cluster);
  if (!status.ok()) return status;
  if (options.wrap_rank) {
    cluster.make_rank = [make = std::move(cluster.make_rank), wrap = options.wrap_rank](
                            ReplicaId replica, std::uint32_t rank) -> Expected<std::unique_ptr<shard::RankExecutor>> {
      auto executor = make(replica, rank);
      if (!executor) return executor;
      return wrap(std::move(*executor));
    };
  }
  options.note(facts_.device + (options.tensor_parallel > 1 ? " a rank, " + std::to_string(options.tensor_parallel) +
                                                                  " tensor-parallel ranks"
                                                            : std::string()) +
               (options.data_parallel > 1 ? ", " + std::to_string(options.data_parallel) + " replicas" : std::string()) +
               "; weights " + shard::gigabytes(static_cast<double>(facts_.weights_bytes)) + " " +
               dtype_name(facts_.encoding.weights));
  if (gpus_ != nullptr) note_gpus(options);
  auto started = StandaloneCluster::start(std::move(cluster));
  if (!started) return started.error();
  cluster_ = std::move(*started);
  return {};
}

std::chrono::milliseconds Engine::step_timeout(const EngineOptions& options) const {
  using shard::StepSpeed;
  StepSpeed speed = options.isa == CpuIsa::kReference ? StepSpeed::kCpuReference : StepSpeed::kCpu;
  if (gpus_ != nullptr)
    speed = facts_.encoding.weights == DType::kBF16 ? StepSpeed::kGpuTensorCores : StepSpeed::kGpuOrdinaryCores;
  return shard::step_timeout(model_.config(), options.scheduler.max_num_batched_tokens, speed);
}

shard::ShardConfig Engine::shard_config(const EngineOptions& options, std::int64_t blocks) const {
  shard::ShardConfig shard;
  shard.model = model_.config();
  shard.encoding = facts_.encoding;
  shard.block_size = options.block_size;
  shard.blocks = blocks;
  shard.rows_max = options.scheduler.max_num_batched_tokens;
  shard.sequences_max = std::min<std::int64_t>(options.scheduler.max_num_seqs, shard.rows_max);
  shard.logit_rows_max = shard.sequences_max;
  shard.hash_logits = options.hash_logits;
  return shard;
}

Status Engine::place_on_cpus(const EngineOptions& options, StandaloneConfig& cluster) {
  const int ranks = options.tensor_parallel * options.data_parallel;
  const int threads = options.threads > 0 ? options.threads : usable_cpus();
  facts_.threads_per_rank = std::max(1, threads / ranks);
  const CpuDeviceConfig device_config{options.isa, facts_.threads_per_rank, options.compute_nice};
  auto device = make_cpu_device(device_config);
  if (!device) return device.error();
  facts_.device = (*device)->description();
  facts_.devices.assign(static_cast<std::size_t>(ranks), facts_.device);

  using Group = std::vector<std::shared_ptr<Collective>>;
  auto groups = std::make_shared<std::vector<Group>>();  // [replica][rank]; aborted from any thread, never changed
  for (int replica = 0; replica < options.data_parallel; ++replica) {
    Group group;
    for (auto& member : make_local_group(options.tensor_parallel, {.deadline_ms = cluster.step_timeout.count()}))
      group.emplace_back(std::move(member));
    groups->push_back(std::move(group));
  }
  cluster.make_rank = [shard = shard_config(options, facts_.num_blocks), device_config, groups,
                       make_device = options.make_device, plans = plans_, weights = weights_, rope = rope_](
                          ReplicaId replica,
                          std::uint32_t rank) -> Expected<std::unique_ptr<shard::RankExecutor>> {
    lower_thread_priority(device_config.nice);  // this thread is the rank's own and computes too
    auto device = make_device(device_config);
    if (!device) return fail(device.error());
    shard::ShardConfig config = shard;
    config.plan = plans[rank];
    auto executor = std::make_unique<shard::ShardExecutor>(config, weights[rank], rope, std::move(*device),
                                                           (*groups)[replica.value][rank]);
    if (Status status = executor->prepare(); !status.ok()) return fail(with_advice(std::move(status)));
    return executor;
  };
  cluster.abort_replica = [groups](ReplicaId replica, const Status& why) {
    for (const auto& member : (*groups)[replica.value]) member->abort(why.message().c_str());
  };
  return {};
}

}  // namespace herd::actors
