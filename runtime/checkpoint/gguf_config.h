#pragma once
// What the metadata of a GGUF model of architecture "llama" say about its arithmetic and about generation. Internal to
// runtime/checkpoint.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/checkpoint/generation_config.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/model/llama_config.h"

namespace herd::model {

// What RoPE's frequencies are divided by: a tensor that is a part of the config.
inline constexpr std::string_view kRopeDivisors = "rope_freqs.weight";

// What herd writes beside freq_base and the divisors, which are float32: theta and the numbers of Llama 3.1's scaling as the
// config has them. They count where they say the same, rounded.
namespace exact_rope {
inline constexpr const char* kTheta = "herd.rope.theta";
inline constexpr const char* kFactor = "herd.rope.factor";
inline constexpr const char* kLowFactor = "herd.rope.low_freq_factor";
inline constexpr const char* kHighFactor = "herd.rope.high_freq_factor";
inline constexpr const char* kPositions = "herd.rope.original_context_length";
}  // namespace exact_rope

// generation_config.json as it was beside the checkpoint that the file was made of; herd writes it.
inline constexpr const char* kGenerationText = "herd.generation_config";
// Every id that ends a sequence; GGUF has names for three.
inline constexpr const char* kEndIds = "herd.eos_token_ids";

// `parts`: of one model, never empty; the first has the metadata. A key that changes the computation is used, or refused
// by name and value; `warnings` hears of each llama.* key that is not known here, and so not used. The config is
// validated, biases and a tied head are left to the tensors.
[[nodiscard]] Expected<LlamaConfig> read_gguf_config(std::span<const GgufFile> parts, std::vector<std::string>& warnings);

// The special ids, those of kEndIds, and the defaults of kGenerationText; other keys of sampling are not applied and named in its warnings.
[[nodiscard]] Expected<GenerationConfig> read_gguf_generation(const GgufFile& file);

}  // namespace herd::model
