#pragma once
// A small model with random weights as one rank of it has it, on any device, and the plans of its steps. Two layers,
// grouped queries, a head of its own, float32 unless told: the arithmetic in which CPUs and GPUs agree bit for bit.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/device.h"
#include "kernels/local_collective.h"
#include "runtime/kv/kv_storage.h"
#include "runtime/model/llama.h"
#include "runtime/shard/shard_executor.h"
#include "runtime/shard/step_runner.h"

namespace herd::shard::testing {

inline constexpr std::int32_t kVocab = 160;
inline constexpr int kPositions = 64;

inline model::LlamaConfig tiny_config() {
  model::LlamaConfig config;
  config.hidden_size = 64;
  config.layers = 2;
  config.heads = 8;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.intermediate_size = 256;
  config.vocab_size = kVocab;
  return config;
}

// What rank `rank` of `ranks` computes.
inline ShardConfig tiny_shard(int ranks = 1, int rank = 0) {
  ShardConfig config;
  config.model = tiny_config();
  config.encoding.weights = WeightFormat::kF32;
  config.plan = *model::plan_shard(config.model, ranks, rank);
  config.blocks = 16;
  config.rows_max = 48;
  config.sequences_max = 6;
  config.logit_rows_max = 6;
  config.hash_logits = true;
  return config;
}

inline std::unique_ptr<Device> cpu(CpuIsa isa = CpuIsa::kReference, std::shared_ptr<ProgressWord> progress = nullptr) {
  return std::move(*make_cpu_device({isa, 1, 0, std::move(progress)}));
}

// A group of one.
inline std::shared_ptr<Collective> alone() { return std::move(make_local_group(1).front()); }

inline std::shared_ptr<const model::RopeTable> tiny_rope() {
  const model::LlamaConfig config = tiny_config();
  return std::make_shared<const model::RopeTable>(config.rope, config.head_dim, kPositions);
}

// The same values on every device and for every rank.
inline std::shared_ptr<const model::LlamaWeights> tiny_weights(const ShardConfig& config, Device& device) {
  model::LoadReport report;
  const auto source = model::random_source(config.model, 11);
  auto weights = model::load_weights(config.model, *source, {config.plan}, device, {config.encoding, {}}, report);
  HERD_CHECK(weights.has_value(), "there is room for a small model");
  return weights->front();
}

inline std::unique_ptr<ShardExecutor> make_executor(const ShardConfig& config, std::unique_ptr<Device> device,
                                                    std::shared_ptr<Collective> group = alone()) {
  auto weights = tiny_weights(config, *device);
  auto executor =
      std::make_unique<ShardExecutor>(config, std::move(weights), tiny_rope(), std::move(device), std::move(group));
  return executor;
}

// What an executor makes of a ShardConfig, without one: for tests of the parts below it.
class TinyRank {
 public:
  TinyRank(const ShardConfig& given, std::unique_ptr<Device> own)
      : config(given), device(std::move(own)), group(alone()) {
    const KvLayout layout{config.encoding.activations(), config.block_size, config.plan.kv_heads.size(),
                          config.model.head_dim};
    kv = std::move(*kv::KvStorage::make(*device, layout, config.model.layers, config.blocks));
    llama = std::move(*model::Llama::make({config.model, config.plan, config.encoding, tiny_weights(config, *device),
                                           tiny_rope(), config.rows_max, config.logit_rows_max},
                                          *device, *group));
  }
  [[nodiscard]] RankParts parts() { return {config, kPositions, *device, *group, *llama, *kv}; }
  [[nodiscard]] StepLimits limits() const {
    return {kVocab, config.block_size, config.blocks, config.rows_max, kPositions};
  }

  const ShardConfig config;
  const std::unique_ptr<Device> device;
  const std::shared_ptr<Collective> group;
  std::unique_ptr<kv::KvStorage> kv;
  std::unique_ptr<model::Llama> llama;
};

inline std::vector<TokenId> prompt(std::size_t tokens, TokenId first) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < tokens; ++i) ids.push_back((first + static_cast<TokenId>(i) * 37) % kVocab);
  return ids;
}

// One plan after the other, with steps counted.
class Plans {
 public:
  explicit Plans(Epoch epoch = Epoch{}) : epoch_(epoch) {}
  [[nodiscard]] step::StepPlan next() {
    step::StepPlan plan;
    plan.epoch = epoch_;
    plan.step = StepId{++step_};
    return plan;
  }

 private:
  const Epoch epoch_;
  std::uint64_t step_ = 0;
};

inline step::SequenceStart start_of(std::uint64_t id, std::vector<TokenId> tokens) {
  step::SequenceStart start;
  start.sequence = SequenceId{id};
  start.prompt_tokens = static_cast<std::uint32_t>(tokens.size());
  start.tokens = std::move(tokens);
  return start;
}

inline step::SequenceSlice slice_of(std::uint64_t id, std::uint32_t position, std::uint32_t rows,
                                    std::vector<BlockId> blocks, bool sample, std::uint32_t output_index = 0) {
  return {SequenceId{id}, position, rows, std::move(blocks), sample, output_index};
}

}  // namespace herd::shard::testing
