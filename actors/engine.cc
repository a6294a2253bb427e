#include "actors/engine.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include "cluster/wire/generate_codec.h"
#include "kernels/local_collective.h"
#include "kernels/process_limits.h"
#include "runtime/files/file_bytes.h"
#include "runtime/checkpoint/end_ids.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/json_object.h"
#include "runtime/checkpoint/shard_index.h"
#include "runtime/shard/numerics_fingerprint.h"
#include "runtime/shard/replica_sizing.h"
#include "runtime/shard/shard_executor.h"
#include "runtime/tokenizer/gguf_vocabulary.h"
#include "runtime/tokenizer/tiktoken_model.h"
#include "runtime/tokenizer/tokenizer_json.h"

namespace herd::actors {

namespace {

constexpr std::size_t kTokenizerBytesMax = std::size_t{32} << 20;
constexpr int kClusterThreads = 8;  // CAF's workers, clock and helpers, and what a rank's start needs for a moment

// What a JSON parser refuses was cut or overwritten on its way here.
bool is_damaged(const std::string& json_file) {
  const auto text = files::read_text_file(json_file, kTokenizerBytesMax);
  return !text || !model::JsonObject::parse(*text, json_file);
}

Expected<tokenizer::Tokenizer> tokenizer_in(const std::string& model, const model::GgufFile& gguf) {
  auto vocabulary = model::gguf_vocabulary(gguf);
  if (!vocabulary) return fail(vocabulary.error());
  auto loaded = tokenizer::tokenizer_from_vocabulary(*vocabulary);
  if (!loaded) return fail({loaded.error().code(), model + ": " + loaded.error().message()});
  return loaded;
}

// Ids of `names` where the tokenizer spells each as one token.
void add_named(const tokenizer::Tokenizer& tokenizer, const std::set<std::string>& names, std::vector<TokenId>& ids) {
  for (const std::string& name : names) {
    const std::vector<TokenId> spelled = tokenizer.encode(name, {.add_bos = false, .parse_special = true});
    if (spelled.size() == 1) ids.push_back(spelled.front());
  }
}

// Control tokens of GGUF metadata that end something by their name, whether or not herd can use the vocabulary.
std::vector<TokenId> end_tokens_in(const model::GgufFile& gguf) {
  constexpr std::int32_t kControl = 3;
  std::vector<TokenId> ids;
  const auto vocabulary = model::gguf_vocabulary(gguf);
  if (!vocabulary || vocabulary->token_types.size() != vocabulary->tokens.size()) return ids;
  for (std::size_t i = 0; i < vocabulary->tokens.size(); ++i)
    if (vocabulary->token_types[i] == kControl && tokenizer::is_end_name(vocabulary->tokens[i]))
      ids.push_back(static_cast<TokenId>(i));
  return ids;
}

constexpr const char* kMemoryAdvice =
    "; lower --kv-cache-memory, --max-model-len, --max-num-batched-tokens or --threads, or raise the limit (a container's "
    "memory, ulimit -v)";

// A refusal of memory by a rank that is being prepared, with what helps.
Status with_advice(Status status) {
  if (status.code() != StatusCode::kMissing) return status;
  return {status.code(), status.message() + kMemoryAdvice};
}

}  // namespace

// `model` names the checkpoint in messages about the vocabulary inside it.
Expected<OpenedText> open_tokenizer(const std::string& model, const model::TextParts& text, const model::GgufFile* gguf,
                                    const std::string& path, int vocab_size) {
  const bool tiktoken = path.ends_with(".model");
  const std::string json = path.empty() || tiktoken ? text.tokenizer_json : path;
  const std::string ranks = tiktoken ? path : text.tokenizer_model;
  const bool from_json = !tiktoken && !json.empty();
  Expected<tokenizer::Tokenizer> loaded = fail(missing(""));
  if (from_json) {
    loaded = tokenizer::load_tokenizer_json(json);
  } else if (!ranks.empty()) {
    loaded = tokenizer::load_tiktoken_model(ranks);
  } else if (gguf != nullptr && gguf->value("tokenizer.ggml.model") != nullptr) {
    loaded = tokenizer_in(model, *gguf);
  } else {
    return OpenedText{};
  }
  Status refused = loaded ? Status() : loaded.error();
  if (loaded && loaded->ordinary_size() > static_cast<std::size_t>(vocab_size))
    refused = bad_input(model + ": the tokenizer has " + std::to_string(loaded->ordinary_size()) +
                        " tokens but the model's vocab_size is " + std::to_string(vocab_size));
  if (refused.ok()) return OpenedText{std::move(*loaded), {}};
  if (!path.empty() || refused.code() == StatusCode::kMissing || (from_json && is_damaged(json)))
    return fail(std::move(refused));
  return OpenedText{std::nullopt, std::move(refused)};
}

int threads_needed(const EngineOptions& options) {
  const int ranks = options.tensor_parallel * options.data_parallel;
  const int computing = options.threads > 0 ? options.threads : usable_cpus();
  return kClusterThreads + ranks + std::max(computing, ranks);
}

Expected<tokenizer::ChatRenderer> open_chat(const model::TextParts& text, const std::optional<tokenizer::Tokenizer>& tokenizer,
                                            const std::string& format_name,
                                            const std::function<void(const std::string&)>& warn) {
  if (!tokenizer) return fail(bad_input("this checkpoint has no tokenizer, so no chat"));
  if (!format_name.empty() && format_name != "auto") {
    const auto format = tokenizer::find_chat_format(format_name);
    if (!format)
      return fail(usage_error("--chat-format must be auto, " + std::string(tokenizer::kChatFormatNames) + ", not " + format_name));
    if (text.chat_template.empty()) {
      warn("chat format " + format_name + ", as --chat-format says: the checkpoint has no chat template");
    } else {
      warn("warning: chat format " + format_name + ", as --chat-format says; the checkpoint's own chat template is not asked");
    }
    return tokenizer::ChatRenderer::of_format(*format, *tokenizer);
  }
  if (!text.chat_problem.empty()) return fail(bad_input(text.chat_problem));
  if (text.chat_template.empty())
    return fail(bad_input("this checkpoint has no chat template; --chat-format " + std::string(tokenizer::kChatFormatNames) +
                          " names a format"));
  return tokenizer::ChatRenderer::of_template(text.chat_template, text.special_tokens, *tokenizer);
}

Expected<std::unique_ptr<Engine>> Engine::start(EngineOptions options) {
  if (!options.note) options.note = [](const std::string&) {};
  if (!options.warn) options.warn = options.note;
  if (!options.make_device) options.make_device = make_cpu_device;
  options.note("model: " + options.model_path);
  std::unique_ptr<Engine> engine(new Engine);
  Status status = engine->open(options);
  if (status.ok()) status = engine->check_threads(options);
  if (status.ok()) status = engine->open_gpus(options);
  if (status.ok()) status = engine->choose_encoding(options);
  if (status.ok()) status = engine->load(options);
  if (status.ok()) status = engine->name_numerics(options);
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
    for (const std::string& warning : checkpoint_->warnings()) options.warn("warning: " + warning);
    description_ = {checkpoint_->config(), checkpoint_->generation(), checkpoint_->text()};
  }
  if (options.compute_nice < 0 || options.compute_nice > 19)
    return usage_error("niceness of compute threads: " + std::to_string(options.compute_nice) +
                       " is not within [0, 19]");
  if (options.tensor_parallel < 1)
    return usage_error("--tensor-parallel-size must be 1, 2, 4 or 8, not " + std::to_string(options.tensor_parallel));
  for (int rank = 0; rank < options.tensor_parallel; ++rank) {
    auto plan = model::plan_shard(description_.config, options.tensor_parallel, rank);
    if (!plan) return plan.error();
    plans_.push_back(std::move(*plan));
  }
  for (const std::string& warning : description_.generation.warnings) options.warn("warning: " + warning);
  if (Status status = open_text(options); !status.ok()) return status;
  return settle_end_ids(options);
}

Status Engine::open_text(const EngineOptions& options) {
  const int vocab_size = description_.config.vocab_size;
  auto opened = open_tokenizer(options.model_path, description_.text, checkpoint_ ? checkpoint_->gguf() : nullptr,
                               options.tokenizer_path, vocab_size);
  if (!opened) return opened.error();
  tokenizer_ = std::move(opened->tokenizer);
  if (tokenizer_) {
    if (tokenizer_->vocab_size() > static_cast<std::size_t>(vocab_size))
      options.warn("warning: " + options.model_path + ": the tokenizer has added tokens up to " +
                   std::to_string(tokenizer_->vocab_size() - 1) + ", the model's vocabulary ends at " +
                   std::to_string(vocab_size - 1) + "; prompts that hold one are refused");
    chat_ = open_chat(description_.text, tokenizer_, options.chat_format, options.warn);
    return {};
  }
  no_text_ = opened->refused.ok()
                 ? bad_input("this checkpoint has no tokenizer; give prompts as token ids, or --tokenizer-path")
                 : std::move(opened->refused);
  options.note("no text, token ids only: " + no_text_.message());
  chat_ = fail(no_text_);
  return {};
}

Status Engine::settle_end_ids(const EngineOptions& options) {
  namespace fs = std::filesystem;
  std::vector<TokenId> named;
  std::vector<std::string> folders = {options.model_path};
  if (!options.tokenizer_path.empty()) folders.push_back(fs::path(options.tokenizer_path).parent_path().string());
  for (const std::string& folder : folders) {
    const auto declared = model::read_declared_ends(folder);
    if (!declared) {
      options.warn("warning: " + declared.error().message() + "; the end tokens it may name are not known");
      continue;
    }
    const std::set<std::string> names(declared->names.begin(), declared->names.end());
    if (tokenizer_) add_named(*tokenizer_, names, named);
    for (const auto& [id, name] : declared->special_tokens)
      if (tokenizer::is_end_name(name) || names.contains(name)) named.push_back(id);
  }
  if (tokenizer_) named.insert(named.end(), tokenizer_->eos_ids().begin(), tokenizer_->eos_ids().end());
  if (!tokenizer_ && !description_.text.tokenizer_json.empty()) {
    for (const auto& [id, name] : model::read_special_tokens(description_.text.tokenizer_json))
      if (tokenizer::is_end_name(name)) named.push_back(id);
  }
  if (!tokenizer_ && checkpoint_ && checkpoint_->gguf() != nullptr) {
    const std::vector<TokenId> ids = end_tokens_in(*checkpoint_->gguf());
    named.insert(named.end(), ids.begin(), ids.end());
  }
  const model::LlamaConfig& config = description_.config;
  model::EndIds ends = model::join_end_ids({description_.generation.eos_ids, config.eos_ids, named}, config.vocab_size);
  if (ends.ids.size() > wire::kEosIdsMax)
    return bad_input(options.model_path + ": names " + std::to_string(ends.ids.size()) + " end ids; at most " +
                     std::to_string(wire::kEosIdsMax) + " are supported");
  eos_ids_ = std::move(ends.ids);
  std::vector<std::string> dropped;
  for (const TokenId id : ends.dropped) dropped.push_back(std::to_string(id));
  if (!dropped.empty())
    options.warn("warning: " + options.model_path + ": end id " + model::some_of(dropped) +
                 " is beyond the model's vocabulary of " + std::to_string(config.vocab_size) + " and ends nothing");
  if (config.bos_id && *config.bos_id >= config.vocab_size)
    options.warn("warning: " + options.model_path + ": bos_token_id " + std::to_string(*config.bos_id) +
                 " is beyond the model's vocabulary of " + std::to_string(config.vocab_size) + " and is not used");
  return {};
}

// Before anything starts one: the actors' library ends the process when a thread is refused.
Status Engine::check_threads(const EngineOptions& options) const { return probe_threads(threads_needed(options)); }

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
  if (options.gpu.use && facts_.encoding.weights != DType::kBF16)
    options.note(std::string("encoding: a GPU computes ") + dtype_name(facts_.encoding.weights) +
                 " weights in the CPU's order, right but slow; --quantization-encoding bfloat16 is fast");
  return {};
}

Status Engine::load(const EngineOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  std::unique_ptr<model::WeightSource> random;
  if (!checkpoint_) random = model::random_source(description_.config, options.random_weights_seed);
  const model::WeightSource& source = checkpoint_ ? static_cast<const model::WeightSource&>(*checkpoint_) : *random;
  if (gpus_ != nullptr) {
    if (Status status = load_on_gpus(options, source); !status.ok()) return status;
  } else {
    auto device = make_cpu_device({options.isa, options.threads});
    if (!device) return device.error();
    model::LoadReport report;
    auto weights = model::load_weights(description_.config, source, plans_, facts_.encoding, **device,
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
    options.warn("warning: " + options.model_path + ": tensor " + tensor + " holds NaN or infinite values");
}

// Of a KV block on one rank.
std::int64_t Engine::block_bytes(const EngineOptions& options, std::size_t rank) const {
  const model::LlamaConfig& config = description_.config;
  return kv::KvStorage::bytes_per_block(
      {facts_.encoding.activations(), options.block_size, plans_[rank].kv_heads.size(), config.head_dim},
      config.layers);
}

Status Engine::size_kv(const EngineOptions& options) {
  const model::LlamaConfig& config = description_.config;
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
                                                  .config = &description_.config,
                                                  .encoding = facts_.encoding,
                                                  .tokenizer_vocab_size = tokenizer_ ? tokenizer_->vocab_size() : 0,
                                                  .checkpoint = checkpoint_.get(),
                                                  .random_seed = options.random_weights_seed});
  if (!fingerprint) return fingerprint.error();
  fingerprint_ = std::move(*fingerprint);
  return {};
}

Status Engine::start_cluster(const EngineOptions& options) {
  InProcessClusterConfig cluster;
  cluster.scheduler = options.scheduler;
  cluster.scheduler.block_size = static_cast<std::uint32_t>(options.block_size);
  cluster.scheduler.num_blocks = static_cast<std::uint32_t>(facts_.num_blocks);
  cluster.scheduler.max_model_len = static_cast<std::uint32_t>(facts_.max_model_len);
  cluster.scheduler.vocab_size = static_cast<TokenId>(description_.config.vocab_size);
  cluster.scheduler_probe = options.scheduler_probe;
  cluster.scheduler.queue_tokens_max =
      std::max<std::uint64_t>(cluster.scheduler.queue_tokens_max, cluster.scheduler.max_model_len);
  if (Status status = cluster.scheduler.validate(); !status.ok()) return status;
  cluster.replicas = static_cast<std::uint32_t>(options.data_parallel);
  cluster.ranks = static_cast<std::uint32_t>(options.tensor_parallel);
  cluster.wire_roundtrip = options.wire_roundtrip;
  cluster.on_step = options.on_step;
  cluster.step_timeout = step_timeout(options);
  Status status = gpus_ != nullptr ? place_on_gpus(options, cluster) : place_on_cpus(options, cluster);
  if (!status.ok()) return status;
  options.note(facts_.device + (options.tensor_parallel > 1 ? " a rank, " + std::to_string(options.tensor_parallel) +
                                                                  " tensor-parallel ranks"
                                                            : std::string()) +
               (options.data_parallel > 1 ? ", " + std::to_string(options.data_parallel) + " replicas" : std::string()) +
               "; weights " + shard::gigabytes(static_cast<double>(facts_.weights_bytes)) + " " +
               dtype_name(facts_.encoding.weights));
  if (gpus_ != nullptr) note_gpus(options);
  auto started = InProcessCluster::start(std::move(cluster));
  if (!started) return started.error();
  cluster_ = std::move(*started);
  return {};
}

std::chrono::milliseconds Engine::step_timeout(const EngineOptions& options) const {
  using shard::StepSpeed;
  StepSpeed speed = options.isa == CpuIsa::kReference ? StepSpeed::kCpuReference : StepSpeed::kCpu;
  if (gpus_ != nullptr)
    speed = facts_.encoding.weights == DType::kBF16 ? StepSpeed::kGpuTensorCores : StepSpeed::kGpuOrdinaryCores;
  return shard::step_timeout(description_.config, options.scheduler.max_num_batched_tokens, speed);
}

shard::ShardConfig Engine::shard_config(const EngineOptions& options, std::int64_t blocks) const {
  shard::ShardConfig shard;
  shard.model = description_.config;
  shard.encoding = facts_.encoding;
  shard.block_size = options.block_size;
  shard.blocks = blocks;
  shard.rows_max = options.scheduler.max_num_batched_tokens;
  shard.sequences_max = std::min<std::int64_t>(options.scheduler.max_num_seqs, shard.rows_max);
  shard.logit_rows_max = shard.sequences_max;
  shard.hash_logits = options.hash_logits;
  return shard;
}

Status Engine::place_on_cpus(const EngineOptions& options, InProcessClusterConfig& cluster) {
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
