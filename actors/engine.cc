#include "actors/engine.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <span>
#include <utility>

#include "actors/ranks/gpu_rank_site.h"
#include "actors/ranks/model_source.h"
#include "actors/ranks/move_config.h"
#include "kernels/process_limits.h"
#include "runtime/model/source_digest.h"
#include "runtime/model/stoppable_source.h"
#include "runtime/shard/numerics_id.h"

namespace herd::actors {
namespace {

constexpr int kClusterThreads = 9;  // CAF's workers, clock and helpers, the gateway, and what a rank's start needs for a moment

void complete(EngineOptions& options) {
  if (!options.note) options.note = [](const std::string&) {};
  if (!options.warn) options.warn = options.note;
  if (!options.make_device) options.make_device = make_cpu_device;
}

Expected<std::shared_ptr<RankSite>> make_site(const EngineOptions& options) {
  const RankCounts counts{options.data_parallel, options.tensor_parallel};
  RankHooks hooks{options.wrap_rank, options.wrap_group, options.warn, options.commit_memory};
  if (!options.gpu.use)
    return site_on_cpus({.isa = options.isa,
                         .threads = options.threads,
                         .nice = options.compute_nice,
                         .process_threads = threads_needed(options),
                         .make_device = options.make_device},
                        counts, std::move(hooks));
  auto site = site_on_gpus(options.gpu, counts, std::move(hooks));
  if (site && options.gpu.matmul == GpuMatmul::kCublasLt)
    options.note("--cuda-matmul cublaslt is a yardstick, not repeatable: the same request may give other bytes in "
                 "another batch");
  return site;
}

// ", loaded in 0.31 s"
std::string loaded_in(double seconds) {
  char text[48];
  std::snprintf(text, sizeof text, ", loaded in %.2f s", seconds);
  return text;
}

}  // namespace

placement::ReplicaWishes wishes_of(const EngineOptions& options) {
  return {.data_parallel = options.data_parallel,
          .max_model_len = options.max_model_len,
          .block_size = options.block_size,
          .num_blocks = options.num_blocks,
          .kv_cache_memory = options.kv_cache_memory,
          .scheduler = options.scheduler,
          .hash_logits = options.hash_logits};
}

int threads_needed(const EngineOptions& options) {
  const int ranks = options.tensor_parallel * options.data_parallel;
  const int computing = options.threads > 0 ? options.threads : usable_cpus();
  // Each rank has a thread of its own, and one that commits its memory: that one can be done without, other threads cannot.
  return kClusterThreads + 2 * ranks + std::max(computing, ranks);
}

Expected<model::OpenedModel> Engine::open(const EngineOptions& given) {
  EngineOptions options = given;
  complete(options);
  options.note("model: " + options.model.path);
  auto model = model::open_model(options.model, options.encoding);
  if (!model) return fail(model.error());
  if (model->files.weight_path != options.model.weight_path) options.note("weights: " + model->files.weight_path);
  for (const std::string& warning : model->warnings) options.warn("warning: " + warning);
  if (options.compute_nice < 0 || options.compute_nice > 19)
    return fail(usage_error("niceness of compute threads: " + std::to_string(options.compute_nice) +
                            " is not within [0, 19]"));
  if (auto shards = placement::plan_shards(model->config(), options.tensor_parallel); !shards)
    return fail(shards.error());
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
  engine->model_ = std::move(model);
  if (Status status = engine->start_on(options); !status.ok()) return fail(std::move(status));
  return engine;
}

Status Engine::start_on(const EngineOptions& options) {
  // Before anything starts one: the actors' library ends the process when a thread is refused.
  if (Status status = probe_threads(threads_needed(options)); !status.ok()) return status;
  auto site = make_site(options);
  if (!site) return site.error();
  site_ = std::move(*site);
  const auto sharded = shard_model(options);
  if (!sharded) return sharded.error();
  if (Status status = load(options, *sharded); !status.ok()) return status;
  const auto planned = plan(options, *sharded);
  if (!planned) return planned.error();
  if (Status status = planned->scheduler.validate(); !status.ok()) return status;
  if (Status status = site_->open(rank_spec(options, *sharded, planned->rank)); !status.ok()) return status;
  keep_facts(*planned);
  note_start(options);
  return start_cluster(options, *planned);
}

Expected<placement::ShardedModel> Engine::shard_model(const EngineOptions& options) const {
  auto cut = placement::cut_model(config(), options.tensor_parallel,
                                  {model_.own_encoding(), model_.is_gguf(), options.encoding, options.gpu.use});
  if (!cut) return fail(cut.error());
  cut->model.encoding = encoding_of(model_, cut->model.encoding.weights);
  for (const std::string& note : cut->notes) options.note(note);
  return std::move(cut->model);
}

Status Engine::load(const EngineOptions& options, const placement::ShardedModel& sharded) {
  const auto begin = std::chrono::steady_clock::now();
  model::LoadReport report;  // names each tensor once, whatever rank met it
  const auto source = std::make_shared<const model::StoppableSource>(source_of(model_, sharded.encoding.weights), options.stop);
  if (Status status = site_->load(sharded, source, options.load_progress, report); !status.ok()) return status;
  for (const std::string& tensor : report.non_finite)
    options.warn("warning: " + options.model.path + ": tensor " + tensor + " holds NaN or infinite values");
  facts_.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return compare_readings(report.digests, sharded.shards.size());
}

placement::RankSpec Engine::rank_spec(const EngineOptions& options, const placement::ShardedModel& sharded,
                                      const placement::RankShape& shape) const {
  placement::RankSpec spec;
  spec.ranks = static_cast<std::uint32_t>(options.tensor_parallel);
  spec.model = model_.files;
  spec.weights = sharded.encoding.weights;
  spec.shape = shape;
  return spec;
}

Status Engine::compare_readings(std::span<const model::WeightsDigest> ranks, std::size_t ranks_of_replica) {
  for (std::size_t first = 0; first < ranks.size(); first += ranks_of_replica) {
    const auto weights = model::join(ranks.subspan(first, ranks_of_replica));
    if (!weights) return weights.error();
    if (!loaded_weights_) loaded_weights_ = *weights;
    if (*weights != *loaded_weights_)
      return bad_input(model_.files.path + ": read twice, with different values: weights " + digest::hex(*loaded_weights_) +
                       " and " + digest::hex(*weights));
  }
  return {};
}

Expected<std::string> Engine::numerics_id(const std::stop_token& stop) const {
  Expected<digest::Digest128> weights;
  weights = loaded_weights_ ? *loaded_weights_ : model::digest_source(config(), *source_of(model_, facts_.encoding.weights), stop);
  if (!weights) return fail(weights.error());
  return shard::numerics_id({.numerics_class = site_->numerics_class(),
                             .config = &config(),
                             .encoding = facts_.encoding,
                             .weights = *weights});
}

Expected<placement::ReplicaPlan> Engine::plan(const EngineOptions& options, const placement::ShardedModel& sharded) {
  const placement::ReplicaWishes wishes = wishes_of(options);
  const placement::StepSpeed speed = site_->speed(sharded.encoding);
  const auto trial = placement::plan_trial(sharded, wishes, speed);
  if (!trial) return fail(trial.error());
  placement::DeviceMemory memory;
  if (placement::memory_decides(wishes) || !options.gpu.use) {  // a look at free memory costs nothing, a trial on GPUs does
    auto measured = site_->measure(rank_spec(options, sharded, *trial));
    if (!measured) return fail(measured.error());
    memory = std::move(*measured);
  }
  auto plan = placement::plan_replicas(sharded, wishes, memory, speed);
  if (!plan) return plan;
  for (const std::string& note : plan->notes) options.note(note);
  return plan;
}

void Engine::keep_facts(const placement::ReplicaPlan& plan) {
  SiteFacts site = site_->facts();
  const WeightSizes weights = site_->weights();
  facts_.encoding = site_->model().encoding;
  facts_.max_model_len = plan.rank.positions_max;
  facts_.num_blocks = plan.rank.blocks;
  facts_.weights_bytes = weights.bytes;
  facts_.weight_bytes_per_token = weights.read_per_token;
  facts_.kv_bytes_per_token = plan.kv_bytes_per_token;
  facts_.device = site.devices.front();
  facts_.devices = std::move(site.devices);
  facts_.gpus = std::move(site.gpus);
  facts_.threads_per_rank = site.threads_per_rank;
}

void Engine::note_start(const EngineOptions& options) const {
  std::string line = facts_.device;
  if (options.tensor_parallel > 1)
    line += " a rank, " + std::to_string(options.tensor_parallel) + " tensor-parallel ranks";
  if (options.data_parallel > 1) line += ", " + std::to_string(options.data_parallel) + " replicas";
  options.note(line + "; weights " + placement::gigabytes(static_cast<double>(facts_.weights_bytes)) + " " +
               facts_.encoding.name() + loaded_in(facts_.load_seconds));
  for (const std::string& note : site_->memory_notes()) options.note(note);
}

Status Engine::start_cluster(const EngineOptions& options, const placement::ReplicaPlan& plan) {
  StandaloneConfig cluster;
  cluster.scheduler = plan.scheduler;
  cluster.replicas = static_cast<std::uint32_t>(options.data_parallel);
  cluster.moves = move_config(site_->model(), plan.scheduler, site_->numerics_class(), cluster.numerics);
  cluster.ranks = static_cast<std::uint32_t>(options.tensor_parallel);
  cluster.scheduler_probe = options.scheduler_probe;
  cluster.gateway = options.gateway;
  cluster.gateway_has_own_thread = options.gateway_has_own_thread;
  if (options.make_on_step) cluster.on_step = options.make_on_step(facts_);
  cluster.step_timeout = plan.rank.step_timeout;
  cluster.ground = site_;
  cluster.restart_budget = options.restart_budget;
  cluster.watch = options.watch;
  cluster.on_note = options.on_note;
  cluster.make_cost = [config = config(), encoding = facts_.encoding,
                       ranks = options.tensor_parallel](const scheduler::DeviceRates& rates) {
    return scheduler::StepCost(config, encoding, ranks, rates);
  };
  auto started = StandaloneCluster::start(std::move(cluster));
  if (!started) return started.error();
  cluster_ = std::move(*started);
  return {};
}

}  // namespace herd::actors
