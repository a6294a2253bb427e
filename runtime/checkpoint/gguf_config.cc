#include "runtime/checkpoint/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include "runtime/checkpoint/checkpoint_source.h"
#include "runtime/checkpoint/gguf_metadata.h"
#include "runtime/checkpoint/gguf_parts.h"
#include "runtime/model/rope_frequencies.h"

namespace herd::model {
namespace {

// A number that changes the computation, and the two values of it that do not.
struct NeutralKey {
  const char* key;
  double neutral;
  double also_neutral;  // often 0, which stands for "none stated"
};
constexpr NeutralKey kNeutralKeys[] = {
    {"llama.attention.clamp_kqv", 0.0, 0.0},
    {"llama.attention.kv_lora_rank", 0.0, 0.0},
    {"llama.attention.max_alibi_bias", 0.0, 0.0},
    {"llama.attention.output_scale", 1.0, 0.0},
    {"llama.attention.q_lora_rank", 0.0, 0.0},
    {"llama.attention.shared_kv_layers", 0.0, 0.0},
    {"llama.attention.temperature_length", 0.0, 0.0},
    {"llama.attention.temperature_scale", 0.0, 0.0},
    {"llama.attn_logit_softcapping", 0.0, 0.0},
    {"llama.embedding_length_per_layer_input", 0.0, 0.0},
    {"llama.embedding_scale", 1.0, 0.0},
    {"llama.expert_count", 0.0, 0.0},
    {"llama.final_logit_softcapping", 0.0, 0.0},
    {"llama.logit_scale", 1.0, 0.0},
    {"llama.n_deepstack_layers", 0.0, 0.0},
    {"llama.nextn_predict_layers", 0.0, 0.0},
    {"llama.rescale_every_n_layers", 0.0, 0.0},
    {"llama.residual_scale", 1.0, 0.0},
    {"llama.rope.scaling.alpha", 1.0, 0.0},
    {"llama.rope.scaling.attn_factor", 1.0, 1.0},
    {"llama.rope.scaling.yarn_attn_factor", 1.0, -1.0},
    {"llama.rope.scaling.yarn_ext_factor", 0.0, -1.0},
    {"llama.rope.scaling.yarn_log_multiplier", 0.0, 0.0},
};

constexpr std::size_t kEndIdsMax = 1024;

// Keys that are read below.
constexpr std::string_view kReadKeys[] = {
    "llama.attention.causal",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.layer_norm_rms_epsilon",
    "llama.attention.scale",
    "llama.attention.sliding_window",
    "llama.attention.value_length",
    "llama.block_count",
    "llama.context_length",
    "llama.embedding_length",
    "llama.embedding_length_out",
    "llama.feed_forward_length",
    "llama.rope.dimension_count",
    "llama.rope.dimension_sections",
    "llama.rope.freq_base",
    "llama.rope.scale_linear",
    "llama.rope.scaling.factor",
    "llama.rope.scaling.type",
    "llama.use_parallel_residual",
    "llama.vocab_size",
};

// Keys that change nothing of a Llama's logits, or only beside a key that is refused.
constexpr std::string_view kIdleKeys[] = {
    "llama.attention.key_length_swa",
    "llama.attention.layer_norm_epsilon",
    "llama.attention.sliding_window_pattern",
    "llama.attention.value_length_swa",
    "llama.interleave_moe_layer_step",
    "llama.leading_dense_block_count",
    "llama.pooling_type",
    "llama.rope.dimension_count_swa",
    "llama.rope.freq_base_swa",
    "llama.rope.scaling.finetuned",
    "llama.rope.scaling.original_context_length",
    "llama.rope.scaling.yarn_beta_fast",
    "llama.rope.scaling.yarn_beta_slow",
    "llama.tensor_data_layout",
};

bool is_known(std::string_view key) {
  const auto same = [&](std::string_view known) { return known == key; };
  return std::ranges::any_of(kReadKeys, same) || std::ranges::any_of(kIdleKeys, same) || key.starts_with("llama.expert_") ||
         std::ranges::any_of(kNeutralKeys, [&](const NeutralKey& neutral) { return neutral.key == key; });
}

void warn_of_unknown_keys(const GgufFile& file, std::vector<std::string>& warnings) {
  for (const GgufValue& value : file.metadata()) {
    if (value.key.starts_with("llama.") && !is_known(value.key))
      warnings.push_back(file.file() + ": " + std::string(value.key) + ": is not known here and not used");
  }
}

void refuse_unless(GgufMetadata& metadata, const char* key, double neutral, double also_neutral) {
  const auto value = metadata.number(key);
  if (value && *value != neutral && *value != also_neutral)
    metadata.refuse(key, std::to_string(*value) + " is not supported yet");
}

// What a Llama's attention has to be.
void check_attention(GgufMetadata& metadata, const LlamaConfig& config) {
  if (!metadata.boolean("llama.attention.causal").value_or(true)) {
    metadata.refuse("llama.attention.causal", "false is not supported yet (an embedding model?)");
  }
  if (metadata.boolean("llama.use_parallel_residual").value_or(false)) {
    metadata.refuse("llama.use_parallel_residual", "true is not supported yet");
  }
  const auto scale = static_cast<float>(metadata.number("llama.attention.scale").value_or(0.0));
  if (scale != 0.0F && scale != static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)))) {
    metadata.refuse("llama.attention.scale", std::to_string(scale) + " is not supported yet (1 / sqrt(" +
                                                 std::to_string(config.head_dim) + ") is)");
  }
  const double window = metadata.number("llama.attention.sliding_window").value_or(0.0);
  if (!(window >= config.max_position_embeddings)) refuse_unless(metadata, "llama.attention.sliding_window", 0.0, 0.0);
}

// By what "linear" scaling divides every position; a factor without a type means it as well.
double read_linear_factor(GgufMetadata& metadata) {
  const std::string type = metadata.string("llama.rope.scaling.type");
  if (!type.empty() && type != "none" && type != "linear") {
    metadata.refuse("llama.rope.scaling.type", "\"" + type + "\" is not supported yet (none and linear are)");
  }
  if (type == "none") return 1.0;
  for (const char* key : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
    const double factor = metadata.number(key).value_or(0.0);
    if (factor == 0.0) continue;  // none stated
    if (!(factor >= 1.0 && factor <= 1e6)) metadata.refuse(key, std::to_string(factor) + " is not in [1, 1e6]");
    return factor;
  }
  return 1.0;
}

void read_divisors(std::span<const GgufFile> parts, GgufMetadata& metadata, LlamaConfig& config) {
  const auto [file, divisors] = find_tensor(parts, kRopeDivisors);
  if (divisors == nullptr) return;
  if (divisors->shape != std::vector<std::int64_t>{config.head_dim / 2} ||
      divisors->encoding() != WeightFormat::kF32) {
    metadata.refuse(kRopeDivisors, divisors->type_name() + " " + shape_text(divisors->shape) + ", but F32 [" +
                                       std::to_string(config.head_dim / 2) + "] is needed");
    return;
  }
  std::vector<float>& values = config.rope.frequency_divisors;
  values.resize(static_cast<std::size_t>(config.head_dim / 2));
  metadata.keep(file->bytes()->read(divisors->begin, std::as_writable_bytes(std::span(values))));
}

void read_rope(std::span<const GgufFile> parts, GgufMetadata& metadata, LlamaConfig& config) {
  config.rope.theta = metadata.number("llama.rope.freq_base").value_or(10000.0);
  const int dimensions = metadata.size("llama.rope.dimension_count").value_or(config.head_dim);
  if (dimensions != config.head_dim) {
    metadata.refuse("llama.rope.dimension_count", std::to_string(dimensions) + " of a head's " +
                                                      std::to_string(config.head_dim) +
                                                      " dimensions is not supported yet");
  }
  if (parts.front().value("llama.rope.dimension_sections") != nullptr) {
    metadata.refuse("llama.rope.dimension_sections", "positions of several kinds are not supported yet");
  }
  for (const char* name : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
    if (find_tensor(parts, name).tensor != nullptr) metadata.refuse(name, "longrope is not supported yet");
  }
  read_divisors(parts, metadata, config);
}

// Positions divided by a factor are frequencies divided by it.
void stretch(RopeConfig& rope, int head_dim, double factor) {
  if (factor == 1.0) return;
  if (rope.frequency_divisors.empty()) rope.frequency_divisors.assign(static_cast<std::size_t>(head_dim / 2), 1.0F);
  for (float& divisor : rope.frequency_divisors) divisor = static_cast<float>(divisor * factor);
}

// The formula that the divisors were made of, where the file has it too.
void read_exact_rope(GgufMetadata& metadata, LlamaConfig& config) {
  const auto theta = metadata.number(exact_rope::kTheta);
  if (theta && static_cast<float>(*theta) == static_cast<float>(config.rope.theta)) config.rope.theta = *theta;
  const auto factor = metadata.number(exact_rope::kFactor);
  const auto low = metadata.number(exact_rope::kLowFactor);
  const auto high = metadata.number(exact_rope::kHighFactor);
  const auto positions = metadata.size(exact_rope::kPositions);
  if (config.rope.frequency_divisors.empty() || !factor || !low || !high || !positions) return;
  LlamaConfig exact = config;
  exact.rope = {config.rope.theta, RopeType::kLlama3, *factor, *low, *high, *positions, {}};
  if (exact.validate().ok() && rope_divisors(exact.rope, config.head_dim) == config.rope.frequency_divisors) config.rope = exact.rope;
}

// A tied pair may be stored under the head's name.
const GgufTensor* embedding_of(std::span<const GgufFile> parts) {
  const GgufTensor* embedding = find_tensor(parts, "token_embd.weight").tensor;
  return embedding != nullptr ? embedding : find_tensor(parts, "output.weight").tensor;
}

void read_sizes(std::span<const GgufFile> parts, GgufMetadata& metadata, LlamaConfig& config) {
  config.hidden_size = metadata.required_size("llama.embedding_length");
  config.layers = metadata.required_size("llama.block_count");
  config.heads = metadata.required_size("llama.attention.head_count");
  config.kv_heads = metadata.size("llama.attention.head_count_kv").value_or(config.heads);
  config.intermediate_size = metadata.required_size("llama.feed_forward_length");
  config.max_position_embeddings = metadata.required_size("llama.context_length");
  config.head_dim =
      metadata.size("llama.attention.key_length").value_or(config.heads > 0 ? config.hidden_size / config.heads : 0);
  const int value_length = metadata.size("llama.attention.value_length").value_or(config.head_dim);
  if (value_length != config.head_dim) {
    metadata.refuse("llama.attention.value_length", std::to_string(value_length) + " beside a key length of " +
                                                        std::to_string(config.head_dim) + " is not supported yet");
  }
  const int out = metadata.size("llama.embedding_length_out").value_or(0);
  if (out != 0 && out != config.hidden_size) {
    metadata.refuse("llama.embedding_length_out", std::to_string(out) + " beside an embedding length of " +
                                                      std::to_string(config.hidden_size) + " is not supported yet");
  }
  if (const auto vocab = metadata.size("llama.vocab_size")) {
    config.vocab_size = *vocab;
  } else if (const GgufTensor* embedding = embedding_of(parts)) {
    config.vocab_size =
        static_cast<int>(std::min<std::int64_t>(embedding->shape.front(), std::numeric_limits<int>::max()));
  } else {
    metadata.refuse("token_embd.weight", "is missing");
  }
}

}  // namespace

Expected<LlamaConfig> read_gguf_config(std::span<const GgufFile> parts, std::vector<std::string>& warnings) {
  const GgufFile& file = parts.front();
  GgufMetadata metadata(file);
  const std::string type = metadata.string("general.type");
  if (!type.empty() && type != "model") metadata.refuse("general.type", "\"" + type + "\" is no model");
  const std::string architecture = metadata.string("general.architecture");
  if (architecture != "llama") {
    metadata.refuse("general.architecture", "\"" + architecture + "\" is not supported yet (llama is)");
  }
  LlamaConfig config;
  read_sizes(parts, metadata, config);
  const auto epsilon = metadata.number("llama.attention.layer_norm_rms_epsilon");
  if (!epsilon) metadata.refuse("llama.attention.layer_norm_rms_epsilon", "is missing");
  config.rms_norm_eps = static_cast<float>(epsilon.value_or(1e-5));
  for (const auto& [key, neutral, also_neutral] : kNeutralKeys) refuse_unless(metadata, key, neutral, also_neutral);
  check_attention(metadata, config);
  config.bos_id = metadata.token_id("tokenizer.ggml.bos_token_id");
  if (const auto eos = metadata.token_id("tokenizer.ggml.eos_token_id")) config.eos_ids = {*eos};
  const double factor = read_linear_factor(metadata);
  read_rope(parts, metadata, config);
  if (!metadata.status().ok()) return fail(metadata.status());
  Status status = config.validate();
  if (status.ok()) {
    stretch(config.rope, config.head_dim, factor);
    read_exact_rope(metadata, config);
    status = config.validate();
  }
  if (!metadata.status().ok()) return fail(metadata.status());
  if (!status.ok()) return fail(bad_input(file.file() + ": " + status.message()));
  warn_of_unknown_keys(file, warnings);
  return config;
}

Expected<GenerationConfig> read_gguf_generation(const GgufFile& file) {
  GgufMetadata metadata(file);
  GenerationConfig generation;
  if (file.value(kGenerationText) != nullptr) {
    auto stated = parse_generation_config(metadata.string(kGenerationText), file.file() + ": " + kGenerationText);
    if (!stated) return stated;
    generation = std::move(*stated);
  }
  if (const auto id = metadata.token_id("tokenizer.ggml.bos_token_id")) generation.bos_id = id;
  if (const auto id = metadata.token_id("tokenizer.ggml.padding_token_id")) generation.pad_id = id;
  const auto add_end = [&ids = generation.eos_ids](TokenId id) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  };
  const auto ends = file.integers(kEndIds);
  if (!ends) return fail(ends.error());
  if (ends->size() > kEndIdsMax) metadata.refuse(kEndIds, "has more than " + std::to_string(kEndIdsMax) + " ids");
  for (const std::int64_t id : *ends) {
    if (id < 0 || id > std::numeric_limits<TokenId>::max()) metadata.refuse(kEndIds, std::to_string(id) + " is no token id");
    if (metadata.status().ok()) add_end(static_cast<TokenId>(id));
  }
  for (const char* key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    if (const auto id = metadata.token_id(key)) add_end(*id);
  }
  if (!metadata.status().ok()) return fail(metadata.status());
  if (file.value(kGenerationText) != nullptr) return generation;
  // Sampling defaults of newer converters, which are those of generation_config.json under names of their own.
  for (const char* key : {"general.sampling.temp", "general.sampling.top_k", "general.sampling.top_p",
                          "general.sampling.min_p", "general.sampling.penalty_repeat"}) {
    if (file.value(key) != nullptr) generation.warnings.push_back(file.file() + ": " + key + " is not applied");
  }
  return generation;
}

}  // namespace herd::model
