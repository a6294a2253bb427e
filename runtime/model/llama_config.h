#pragma once
// Hyperparameters of one Llama-family text model, as the arithmetic needs them. A value: filled from config.json
// (llama_config_json.cc) or from GGUF metadata (checkpoint_gguf.cc), completed by the tensors present in the file
// (checkpoint.h), checked by validate(). Names are Hugging Face's, shortened.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::model {

enum class RopeType : std::uint8_t { kDefault, kLlama3 };

// f_i = theta^(-2i / head_dim) for i in [0, head_dim / 2), then divided: by `frequency_divisors` when they are there
// (GGUF's rope_freqs.weight), else by what `type` says. Half-split pairs (i, i + head_dim / 2).
struct RopeConfig {
  double theta = 10000.0;
  RopeType type = RopeType::kDefault;
  // Only for kLlama3.
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int original_max_position_embeddings = 0;
  // Empty, or head_dim / 2 values, all finite and > 0.
  std::vector<float> frequency_divisors;

  bool operator==(const RopeConfig&) const = default;
};

struct LlamaConfig {
  int hidden_size = 0;
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;  // need not be hidden_size / heads
  int intermediate_size = 0;
  int vocab_size = 0;
  float rms_norm_eps = 1e-6F;
  RopeConfig rope;
  int max_position_embeddings = 2048;
  bool tie_word_embeddings = false;  // true: the head is model.embed_tokens.weight; no lm_head.weight beside it differs
  bool attention_bias = false;  // q, k and v have biases
  bool attention_output_bias = false;  // o has one
  bool mlp_bias = false;               // gate, up and down have biases
  std::optional<TokenId> bos_id;     // this and the next may lie beyond the vocabulary: such ids never come
  std::vector<TokenId> eos_ids;      // may be empty; see end_ids.h
  DType torch_dtype = DType::kBF16;  // what the checkpoint was trained or saved in; the tensors may differ

  [[nodiscard]] int query_size() const { return heads * head_dim; }
  [[nodiscard]] int kv_size() const { return kv_heads * head_dim; }

  // Every number but the ids inside its bound, heads a multiple of kv_heads, head_dim even. The message names the field and the
  // value, not the file.
  [[nodiscard]] Status validate() const;

  bool operator==(const LlamaConfig&) const = default;
};

// What config.json says. Two facts may be left open there, and the tensors settle them.
struct ConfigJson {
  LlamaConfig config;  // validated
  std::optional<bool> tie_word_embeddings;
  std::optional<DType> torch_dtype;
  std::vector<std::string> warnings;  // of what it says and a Llama does not do
};

// `file` is named in messages. Fields herd cannot honour are refused by name and value, never skipped.
[[nodiscard]] Expected<ConfigJson> parse_config_json(std::string_view text, std::string_view file);

// What counts of a config.json beside weights that describe their model themselves; everything else there may be as it
// likes, of another model or not there at all.
struct ConfigIds {
  std::optional<TokenId> bos_id;
  std::vector<TokenId> eos_ids;
};
[[nodiscard]] Expected<ConfigIds> parse_config_ids(std::string_view text, std::string_view file);

}  // namespace herd::model
