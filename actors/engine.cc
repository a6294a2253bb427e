#include "actors/engine.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "kernels/local_collective.h"
#include "runtime/model/gguf_file.h"
#include "runtime/shard/shard_executor.h"
#include "runtime/tokenizer/gguf_vocabulary.h"
#include "runtime/tokenizer/tiktoken_model.h"
#include "runtime/tokenizer/tokenizer_json.h"

namespace herd::actors {
namespace {

// A config may claim any length; past this the caller must ask for it (the RoPE table grows with it).
constexpr std::int64_t kDefaultModelLenMax = std::int64_t{1} << 18;
// A step that computes slower than this hangs. Pessimistic: a loaded machine, one thread a rank.
constexpr double kSlowestFlops = 2e9;
constexpr double kSlowestFlopsReference = 1e8;
constexpr double kKvShareOfFreeMemory = 0.5;  // when neither --num-blocks nor --kv-cache-memory says otherwise

// Far above any honest step of this model: the largest step's multiply-adds at the slowest rate, at least two minutes.
std::chrono::milliseconds step_timeout(const model::LlamaConfig& config, std::int64_t rows, CpuIsa isa) {
  const double hidden = config.hidden_size;
  const double layer = hidden * (2.0 * config.query_size() + 2.0 * config.kv_size() + 3.0 * config.intermediate_size);
  const double flops = 2.0 * static_cast<double>(rows) * (config.layers * layer + hidden * config.vocab_size);
  const double seconds = flops / (isa == CpuIsa::kReference ? kSlowestFlopsReference : kSlowestFlops);
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::max(120.0, seconds) * 1e3));
}

std::string gigabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, bytes >= 1e8 ? "%.2f GB" : "%.4f GB", bytes / 1e9);
  return text;
}

}  // namespace

// `model` names the checkpoint in messages about the vocabulary inside it.
Expected<std::optional<tokenizer::Tokenizer>> open_tokenizer(const std::string& model, const model::TextParts& text,
                                                             const model::GgufFile* gguf, const std::string& path,
                                                             int vocab_size) {
  const bool tiktoken = path.ends_with(".model");
  const std::string json = path.empty() || tiktoken ? text.tokenizer_json : path;
  const std::string ranks = tiktoken ? path : text.tokenizer_model;
  Expected<tokenizer::Tokenizer> loaded = fail(missing(""));
  if (!path.empty() && !tiktoken) {
    loaded = tokenizer::load_tokenizer_json(path);
  } else if (tiktoken || (json.empty() && !ranks.empty())) {
    loaded = tokenizer::load_tiktoken_model(ranks);
  } else if (!json.empty()) {
    loaded = tokenizer::load_tokenizer_json(json);
  } else if (gguf != nullptr && gguf->value("tokenizer.ggml.model") != nullptr) {
    auto vocabulary = model::gguf_vocabulary(*gguf);
    if (!vocabulary) return fail(vocabulary.error());
    loaded = tokenizer::tokenizer_from_vocabulary(*vocabulary);
    if (!loaded) return fail({loaded.error().code(), model + ": " + loaded.error().message()});
  } else {
    return std::optional<tokenizer::Tokenizer>{};
  }
  if (!loaded) return fail(loaded.error());
  if (loaded->vocab_size() > static_cast<std::size_t>(vocab_size))
    return fail(bad_input(model + ": the tokenizer has " + std::to_string(loaded->vocab_size()) +
                          " tokens but the model's vocab_size is " + std::to_string(vocab_size)));
  return std::optional<tokenizer::Tokenizer>{std::move(*loaded)};
}

Expected<std::unique_ptr<Engine>> Engine::start(EngineOptions options) {
  if (!options.note) options.note = [](const std::string&) {};
  if (!options.warn) options.warn = options.note;
  if (!options.make_device) options.make_device = make_cpu_device;
  std::unique_ptr<Engine> engine(new Engine);
  Status status = engine->open(options);
  if (status.ok()) status = engine->choose_encoding(options);
  if (status.ok()) status = engine->load(options);
  if (status.ok()) status = engine->size_kv(options);
  if (status.ok()) status = engine->start_cluster(options);
  if (!status.ok()) return fail(std::move(status));
  return engine;
}

Status Engine::open(const EngineOptions& options) {
  if (options.random_weights) {
    auto description = model::open_config_only(options.model_path);
    if (!description) return description.error();
    description_ = std::move(*description);
    if (options.layers > 0) description_.config.layers = std::min(options.layers, description_.config.layers);
  } else {
    auto checkpoint = model::open_checkpoint(options.model_path, {options.weight_path, options.layers});
    if (!checkpoint) return checkpoint.error();
    checkpoint_ = std::move(*checkpoint);
    description_ = {checkpoint_->config(), checkpoint_->generation(), checkpoint_->text()};
  }
  if (options.compute_nice < 0 || options.compute_nice > 19)
    return usage_error("niceness of compute threads: " + std::to_string(options.compute_nice) +
                       " is not within [0, 19]");
  if (options.tensor_parallel < 1)
    return usage_error("--tensor-parallel-size must be 1, 2, 4 or 8, not " + std::to_string(options.tensor_parallel));
  for (int rank = 0; rank < options.tensor_parallel; ++rank) {
    auto plan = parallel::plan_shard(description_.config, options.tensor_parallel, rank);
    if (!plan) return plan.error();
    plans_.push_back(std::move(*plan));
  }
  auto opened = open_tokenizer(options.model_path, description_.text, checkpoint_ ? checkpoint_->gguf() : nullptr, options.tokenizer_path,
                               description_.config.vocab_size);
  if (!opened) return opened.error();
  tokenizer_ = std::move(*opened);
  return {};
}

Status Engine::choose_encoding(const EngineOptions& options) {
  const std::string own = checkpoint_ ? checkpoint_->default_encoding() : dtype_name(description_.config.torch_dtype);
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
  return {};
}

Status Engine::load(const EngineOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  auto device = make_cpu_device({options.isa, options.threads});
  if (!device) return device.error();
  const auto source = checkpoint_ ? model::checkpoint_source(*checkpoint_)
                                  : model::random_source(description_.config, options.random_weights_seed);
  model::LoadReport report;
  auto weights = model::load_weights(description_.config, *source, plans_, facts_.encoding, **device,
                                     options.load_progress, report);
  if (!weights) return weights.error();
  weights_ = std::move(*weights);
  for (const std::string& tensor : report.non_finite)
    options.warn("warning: " + options.model_path + ": tensor " + tensor + " holds NaN or infinite values");
  facts_.weights_bytes = weights_.front()->bytes();
  for (const auto& rank : weights_) facts_.weight_bytes_per_token += rank->bytes_read_per_token();
  for (std::size_t rank = 1; rank < weights_.size(); ++rank)
    facts_.weights_bytes += weights_[rank]->bytes() - static_cast<std::size_t>(weights_[rank]->embedding.bytes());
  facts_.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return {};
}

// How many KV blocks a replica gets and how long a sequence may be: said, never guessed silently.
Status Engine::size_kv(EngineOptions& options) {
  const model::LlamaConfig& config = description_.config;
  const std::int32_t block_size = options.block_size;
  if (block_size < 16 || block_size % 16 != 0 || 512 % block_size != 0)
    return usage_error("--block-size must be 16, 32, 64, 128, 256 or 512, not " + std::to_string(block_size));
  std::int64_t block_bytes = 0;
  for (const parallel::ShardPlan& plan : plans_)
    block_bytes += kv::KvStorage::bytes_per_block(
        {facts_.encoding.activations(), block_size, plan.kv_heads.size(), config.head_dim}, config.layers);
  facts_.kv_bytes_per_token = block_bytes / block_size;

  const bool chosen = options.max_model_len > 0;
  if (chosen && options.max_model_len > config.max_position_embeddings)
    return usage_error("--max-model-len " + std::to_string(options.max_model_len) + " is more than the model's maximum, " +
                       std::to_string(config.max_position_embeddings));
  std::int64_t length =
      chosen ? options.max_model_len : std::min<std::int64_t>(config.max_position_embeddings, kDefaultModelLenMax);
  const std::int64_t blocks_per_sequence = (length + block_size - 1) / block_size;

  std::int64_t blocks = options.num_blocks;
  if (blocks == 0) {
    auto device = make_cpu_device({options.isa, 1});
    if (!device) return device.error();
    const auto free_share = static_cast<std::int64_t>(kKvShareOfFreeMemory * static_cast<double>((*device)->free_bytes())) /
                            options.data_parallel;
    const std::int64_t budget = options.kv_cache_memory > 0 ? options.kv_cache_memory : free_share;
    const std::int64_t useful = blocks_per_sequence * options.scheduler.max_num_seqs;
    blocks = std::min(budget / block_bytes, useful);
    if (blocks < 1)
      return missing("KV cache: one block of " + std::to_string(block_size) + " tokens takes " +
                     gigabytes(static_cast<double>(block_bytes)) + ", there are " +
                     gigabytes(static_cast<double>(budget)) +
                     "; give more with --kv-cache-memory, or take a smaller model or --block-size");
  }
  if (blocks * block_size < length) {
    const std::string room = std::to_string(blocks * block_size) + " tokens (" + std::to_string(blocks) + " blocks of " +
                             std::to_string(block_size) + ", " +
                             gigabytes(static_cast<double>(blocks * block_bytes)) + ")";
    if (chosen)
      return missing("KV cache: room for " + room + ", --max-model-len " + std::to_string(length) + " needs " +
                     gigabytes(static_cast<double>(blocks_per_sequence * block_bytes)) +
                     "; lower --max-model-len or raise --kv-cache-memory or --num-blocks");
    length = blocks * block_size;
  }
  if (!chosen && length < config.max_position_embeddings)
    options.note("max length lowered from " + std::to_string(config.max_position_embeddings) + " to " +
                 std::to_string(length) + " tokens" +
                 (length < kDefaultModelLenMax ? " to fit the KV cache" : "; more with --max-model-len"));
  facts_.max_model_len = length;
  facts_.num_blocks = blocks;
  options.note("KV cache: " + std::to_string(blocks * block_size) + " tokens, " +
               std::to_string(blocks * block_size / length) + " sequences of " + std::to_string(length) + " (" +
               gigabytes(static_cast<double>(blocks * block_bytes)) + ", up to)");
  rope_ = std::make_shared<model::RopeTable>(
      model::make_rope_table(config.rope, config.head_dim, static_cast<int>(length)));
  return {};
}

Status Engine::start_cluster(const EngineOptions& options) {
  InProcessClusterConfig cluster;
  cluster.scheduler = options.scheduler;
  cluster.scheduler.block_size = static_cast<std::uint32_t>(options.block_size);
  cluster.scheduler.num_blocks = static_cast<std::uint32_t>(facts_.num_blocks);
  cluster.scheduler.max_model_len = static_cast<std::uint32_t>(facts_.max_model_len);
  cluster.scheduler.queue_tokens_max =
      std::max<std::uint64_t>(cluster.scheduler.queue_tokens_max, cluster.scheduler.max_model_len);
  if (Status status = cluster.scheduler.validate(); !status.ok()) return status;
  cluster.replicas = static_cast<std::uint32_t>(options.data_parallel);
  cluster.ranks = static_cast<std::uint32_t>(options.tensor_parallel);
  cluster.wire_roundtrip = options.wire_roundtrip;
  cluster.on_step = options.on_step;
  cluster.step_timeout =
      step_timeout(description_.config, cluster.scheduler.max_num_batched_tokens, options.isa);

  const int threads = options.threads > 0 ? options.threads : usable_cpus();
  facts_.threads_per_rank = std::max(1, threads / (options.tensor_parallel * options.data_parallel));

  shard::ShardConfig shard;
  shard.model = description_.config;
  shard.encoding = facts_.encoding;
  shard.block_size = options.block_size;
  shard.blocks = facts_.num_blocks;
  shard.rows_max = options.scheduler.max_num_batched_tokens;
  shard.logit_rows_max = std::min<std::int64_t>(options.scheduler.max_num_seqs, shard.rows_max);
  shard.hash_logits = options.hash_logits;

  using Group = std::vector<std::shared_ptr<Collective>>;
  auto groups = std::make_shared<std::vector<Group>>();  // [replica][rank]; aborted from any thread, never changed
  for (int replica = 0; replica < options.data_parallel; ++replica) {
    Group group;
    for (auto& member : make_local_group(options.tensor_parallel, {.deadline_ms = cluster.step_timeout.count()}))
      group.emplace_back(std::move(member));
    groups->push_back(std::move(group));
  }
  const CpuDeviceConfig device_config{options.isa, facts_.threads_per_rank, options.compute_nice};
  cluster.make_rank = [shard, device_config, groups, make_device = options.make_device, plans = plans_, weights = weights_, rope = rope_](
                          ReplicaId replica, std::uint32_t rank) -> Expected<ExecuteStep> {
    lower_thread_priority(device_config.nice);  // this thread is the rank's own and computes too
    auto device = make_device(device_config);
    if (!device) return fail(device.error());
    shard::ShardConfig config = shard;
    config.plan = plans[rank];
    auto executor = shard::ShardExecutor::make(config, weights[rank], rope, std::move(*device),
                                               (*groups)[replica.value][rank]);
    if (!executor) return fail(executor.error());
    return [owned = std::shared_ptr<shard::ShardExecutor>(std::move(*executor))](const scheduler::StepPlan& plan) {
      return owned->execute(plan);
    };
  };
  cluster.abort_replica = [groups](ReplicaId replica, const std::string& reason) {
    for (const auto& member : (*groups)[replica.value]) member->abort(reason.c_str());
  };

  auto device = make_cpu_device(device_config);
  if (!device) return device.error();
  facts_.device = (*device)->description();
  options.note(facts_.device + (options.tensor_parallel > 1 ? " a rank, " + std::to_string(options.tensor_parallel) +
                                                                  " tensor-parallel ranks"
                                                            : std::string()) +
               (options.data_parallel > 1 ? ", " + std::to_string(options.data_parallel) + " replicas" : std::string()) +
               "; weights " + gigabytes(static_cast<double>(facts_.weights_bytes)) + " " +
               dtype_name(facts_.encoding.weights));
  auto started = InProcessCluster::start(std::move(cluster));
  if (!started) return started.error();
  cluster_ = std::move(*started);
  return {};
}

Expected<tokenizer::ChatFormat> Engine::chat_format() const {
  if (!tokenizer_) return fail(bad_input("this checkpoint has no tokenizer, so no chat format"));
  return tokenizer::detect_chat_format(description_.text.chat_template, *tokenizer_);
}

std::vector<TokenId> Engine::eos_ids() const {
  if (!description_.generation.eos_ids.empty()) return description_.generation.eos_ids;
  if (!description_.config.eos_ids.empty()) return description_.config.eos_ids;
  if (!tokenizer_) return {};
  return {tokenizer_->eos_ids().begin(), tokenizer_->eos_ids().end()};
}

}  // namespace herd::actors
