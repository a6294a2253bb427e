#include "runtime/model/llama_config.h"

#include <cmath>
#include <string>

#include "kernels/nucleus.h"

namespace herd::model {
namespace {

// Far above every published model, low enough that products of two stay inside int64 and buffers can be sized.
constexpr std::int64_t kHiddenMax = std::int64_t{1} << 20;
constexpr std::int64_t kLayersMax = 1024;
constexpr std::int64_t kHeadsMax = 4096;
constexpr std::int64_t kHeadDimMax = 1024;
constexpr std::int64_t kIntermediateMax = std::int64_t{1} << 22;
constexpr std::int64_t kVocabMax = std::int64_t{1} << 22;
static_assert(kVocabMax <= kNucleusColumns, "the weights of a whole row are added up in 64 bits");
constexpr std::int64_t kPositionsMax = std::int64_t{1} << 27;

Status check_range(const char* field, std::int64_t value, std::int64_t min, std::int64_t max) {
  if (value >= min && value <= max) return {};
  return bad_input(std::string(field) + ": " + std::to_string(value) + " is not in [" + std::to_string(min) + ", " +
                   std::to_string(max) + "]");
}

Status check_number(const char* field, double value, bool good, const char* wanted) {
  if (good) return {};
  return bad_input(std::string(field) + ": " + std::to_string(value) + " is not " + wanted);
}

Status validate_rope(const RopeConfig& rope, int head_dim) {
  Status status = check_number("rope_theta", rope.theta, rope.theta >= 1.0 && rope.theta <= 1e12, "in [1, 1e12]");
  if (status.ok() && rope.type == RopeType::kLlama3) {
    status = check_number("rope factor", rope.factor, rope.factor >= 1.0 && rope.factor <= 1e6, "in [1, 1e6]");
    if (status.ok()) {
      status = check_number("low_freq_factor", rope.low_freq_factor,
                            rope.low_freq_factor > 0.0 && rope.low_freq_factor <= 1e6, "in (0, 1e6]");
    }
    if (status.ok()) {
      status = check_number("high_freq_factor", rope.high_freq_factor,
                            rope.high_freq_factor > rope.low_freq_factor && rope.high_freq_factor <= 1e6,
                            "above low_freq_factor and at most 1e6");
    }
    if (status.ok()) {
      status = check_range("original_max_position_embeddings", rope.original_max_position_embeddings, 1, kPositionsMax);
    }
  }
  if (!status.ok() || rope.frequency_divisors.empty()) return status;
  status = check_range("number of RoPE frequency divisors", static_cast<std::int64_t>(rope.frequency_divisors.size()),
                       head_dim / 2, head_dim / 2);
  for (const float divisor : rope.frequency_divisors) {
    if (status.ok()) {
      status = check_number("RoPE frequency divisor", divisor, divisor > 0.0F && std::isfinite(divisor),
                            "a positive number");
    }
  }
  return status;
}

}  // namespace

Status LlamaConfig::validate() const {
  const struct {
    const char* field;
    std::int64_t value;
    std::int64_t max;
  } sizes[] = {
      {"hidden_size", hidden_size, kHiddenMax},
      {"num_hidden_layers", layers, kLayersMax},
      {"num_attention_heads", heads, kHeadsMax},
      {"num_key_value_heads", kv_heads, kHeadsMax},
      {"head_dim", head_dim, kHeadDimMax},
      {"num_attention_heads * head_dim", std::int64_t{heads} * head_dim, kHiddenMax},
      {"intermediate_size", intermediate_size, kIntermediateMax},
      {"vocab_size", vocab_size, kVocabMax},
      {"max_position_embeddings", max_position_embeddings, kPositionsMax},
  };
  for (const auto& size : sizes) {
    if (Status status = check_range(size.field, size.value, 1, size.max); !status.ok()) return status;
  }
  if (heads % kv_heads != 0) {
    return bad_input("num_attention_heads: " + std::to_string(heads) + " is not a multiple of num_key_value_heads " +
                     std::to_string(kv_heads));
  }
  if (head_dim % 2 != 0) return bad_input("head_dim: " + std::to_string(head_dim) + " is odd");
  if (!(rms_norm_eps > 0.0F && rms_norm_eps <= 1.0F)) {
    return bad_input("rms_norm_eps: " + std::to_string(rms_norm_eps) + " is not in (0, 1]");
  }
  return validate_rope(rope, head_dim);
}

}  // namespace herd::model
