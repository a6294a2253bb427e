#pragma once
// Engine: a model opened, loaded and started as an in-process cluster, from one struct of options. What every command
// that computes stands on. Glue only: sizes and choices are made here once and said through `note`.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/gpu_ranks.h"
#include "actors/in_process_cluster.h"
#include "kernels/device.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/model/llama_weights.h"
#include "runtime/model/rope_table.h"
#include "runtime/tokenizer/chat_renderer.h"
#include "runtime/tokenizer/tokenizer.h"

namespace herd::actors {

struct EngineOptions {
  std::string model_path;                  // HF directory, .gguf file
  std::string weight_path;                 // weights elsewhere
  std::string tokenizer_path;              // tokenizer.json or tokenizer.model elsewhere
  std::string chat_format;                 // "auto" or empty: the checkpoint's; else a name, see chat_template.h
  bool random_weights = false;             // --load-format random: config.json is enough
  std::uint64_t random_weights_seed = 0;
  std::string encoding;                    // empty: the checkpoint's own
  int layers = 0;                          // > 0: only the first N layers
  int tensor_parallel = 1;
  int data_parallel = 1;
  int threads = 0;                         // of all ranks together; 0: what this process may use
  int compute_nice = 0;                    // niceness of the threads that compute, [0, 19]; see kernels/device.h
  CpuIsa isa = CpuIsa::kAuto;
  GpuOptions gpu;                          // gpu.use: ranks compute there, and threads, compute_nice, isa do not count
  std::int64_t max_model_len = 0;          // 0: the model's maximum, lowered to fit the KV memory
  std::int32_t block_size = 16;
  std::int64_t num_blocks = 0;             // of one replica; 0: from the memory there is
  std::int64_t kv_cache_memory = 0;        // bytes of one replica; 0: from the memory there is
  scheduler::SchedulerConfig scheduler;    // block_size, num_blocks, max_model_len, vocab_size are filled in here
  scheduler::SchedulerProbe scheduler_probe;  // tests
  bool hash_logits = false;
  bool wire_roundtrip = false;
  OnStep on_step;                          // see actors/messages/rank_factory.h; may be empty
  // Where ranks compute that are not on GPUs; empty: make_cpu_device. Called on each rank's own thread.
  std::function<Expected<std::unique_ptr<Device>>(const CpuDeviceConfig&)> make_device;
  // What a person should know, a line each; may be empty. Warnings are not silenced with the notes.
  std::function<void(const std::string&)> note;
  std::function<void(const std::string&)> warn;
  std::function<void(std::size_t, std::size_t)> load_progress;  // bytes done, bytes in all; may be empty
};

// What was decided, for reports.
struct EngineFacts {
  model::Encoding encoding;
  std::int64_t max_model_len = 0;
  std::int64_t num_blocks = 0;             // of one replica
  std::size_t weights_bytes = 0;           // of one replica
  std::size_t weight_bytes_per_token = 0;  // read by one decode step, all ranks
  std::int64_t kv_bytes_per_token = 0;     // all ranks
  double load_seconds = 0.0;
  std::string device;                      // of rank 0
  std::vector<std::string> devices;        // of each rank, replica by replica
  std::vector<GpuInfo> gpus;               // likewise; empty on CPUs
  int threads_per_rank = 1;                // that compute
};

class Engine {
 public:
  static Expected<std::unique_ptr<Engine>> start(EngineOptions options);

  [[nodiscard]] const model::LlamaConfig& config() const { return description_.config; }
  [[nodiscard]] const model::GenerationConfig& generation() const { return description_.generation; }
  [[nodiscard]] const EngineFacts& facts() const { return facts_; }
  // Absent for a checkpoint without a tokenizer, or with one that herd cannot use: token ids still work.
  [[nodiscard]] const std::optional<tokenizer::Tokenizer>& maybe_tokenizer() const { return tokenizer_; }
  // Why it is absent, for whoever asks for text. Not ok while there is none.
  [[nodiscard]] const Status& no_text() const { return no_text_; }
  // How conversations become prompts, or why they do not.
  [[nodiscard]] const Expected<tokenizer::ChatRenderer>& chat() const { return chat_; }
  // Ids that end a sequence, of chats and plain text alike: all that generation_config.json, config.json, GGUF's keys,
  // tokenizer_config.json or special_tokens_map.json name, and the control tokens of well-known names.
  [[nodiscard]] const std::vector<TokenId>& eos_ids() const { return eos_ids_; }
  // 32 hexadecimal digits: two processes with the same ones give the same bytes for the same request
  // (runtime/shard/numerics_fingerprint.h).
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
  [[nodiscard]] InProcessCluster& cluster() { return *cluster_; }

 private:
  Engine() = default;
  Status open(const EngineOptions& options);
  Status open_text(const EngineOptions& options);
  Status settle_end_ids(const EngineOptions& options);
  Status check_threads(const EngineOptions& options) const;
  Status choose_encoding(const EngineOptions& options);
  Status load(const EngineOptions& options);
  Status size_kv(const EngineOptions& options);
  Status name_numerics(const EngineOptions& options);
  Status start_cluster(const EngineOptions& options);
  [[nodiscard]] shard::ShardConfig shard_config(const EngineOptions& options, std::int64_t blocks) const;
  [[nodiscard]] std::chrono::milliseconds step_timeout(const EngineOptions& options) const;
  [[nodiscard]] std::int64_t block_bytes(const EngineOptions& options, std::size_t rank) const;
  Status place_on_cpus(const EngineOptions& options, InProcessClusterConfig& cluster);
  void warn_of(const model::LoadReport& report, const EngineOptions& options) const;

  // engine_gpu.cc
  Status open_gpus(const EngineOptions& options);
  Status load_on_gpus(const EngineOptions& options, const model::WeightSource& source);
  Expected<std::int64_t> measure_kv_memory(const EngineOptions& options, std::int64_t longest);  // bytes of a replica
  void note_gpus(const EngineOptions& options) const;
  [[nodiscard]] MakeGpuRank gpu_rank(const shard::ShardConfig& config,
                                     std::shared_ptr<const model::RopeTable> rope) const;
  Status place_on_gpus(const EngineOptions& options, InProcessClusterConfig& cluster);

  model::ModelDescription description_;
  std::unique_ptr<model::Checkpoint> checkpoint_;  // null with random weights
  std::optional<tokenizer::Tokenizer> tokenizer_;
  Expected<tokenizer::ChatRenderer> chat_ = fail(bad_input("no model is open"));
  Status no_text_;
  std::vector<TokenId> eos_ids_;
  std::string numerics_class_;
  std::string fingerprint_;
  EngineFacts facts_;
  std::vector<model::ShardPlan> plans_;
  std::shared_ptr<GpuRanks> gpus_;                                   // null on CPUs; outlives the weights
  std::vector<std::int64_t> gpu_step_bytes_;                         // a place each, where it was measured
  std::vector<std::shared_ptr<const model::LlamaWeights>> weights_;  // a rank each, shared by replicas; GPUs: a place
  std::shared_ptr<const model::RopeTable> rope_;
  std::unique_ptr<InProcessCluster> cluster_;
};

// A checkpoint's text side: a tokenizer, or why there is none.
struct OpenedText {
  std::optional<tokenizer::Tokenizer> tokenizer;
  Status refused;  // what herd cannot use; ok when the checkpoint has no tokenizer at all
};

// The tokenizer a checkpoint (or `path`, when not empty) has. A definition that herd cannot use costs the text only; a
// file that cannot be read, or is no JSON at all, is damaged and an error, as is anything wrong with `path`, which was
// asked for. Messages name `model`.
Expected<OpenedText> open_tokenizer(const std::string& model, const model::TextParts& text, const model::GgufFile* gguf,
                                    const std::string& path, int vocab_size);

// Threads that a process of these options runs beside the main one, at the most.
[[nodiscard]] int threads_needed(const EngineOptions& options);

// How a checkpoint's conversations become prompts: as its chat template says, or in the format of this name ("auto" or
// empty: none is named), which `warn` then hears of. Not an error of the checkpoint: whoever chats shows it.
Expected<tokenizer::ChatRenderer> open_chat(const model::TextParts& text, const std::optional<tokenizer::Tokenizer>& tokenizer,
                                            const std::string& format_name,
                                            const std::function<void(const std::string&)>& warn);

}  // namespace herd::actors
