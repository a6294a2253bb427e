// config.json of a Hugging Face checkpoint → LlamaConfig. Accepts what every transformers release since 4.31 writes:
// rope_theta with rope_scaling (`type` or `rope_type`), or rope_parameters; torch_dtype or dtype; nulls. Of what it has
// besides nothing is judged.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "runtime/checkpoint/json_object.h"
#include "runtime/model/llama_config.h"

namespace herd::model {
namespace {

constexpr int kIntMax = std::numeric_limits<int>::max();
constexpr std::size_t kIdsMax = 1024;

// Values are bounded by LlamaConfig::validate(); here they only have to fit.
int required_int(const JsonObject& json, const char* key) {
  if (json.status().ok() && !json.has(key)) json.refuse(key, "is missing");
  return static_cast<int>(json.integer(key, 0, kIntMax).value_or(0));
}

int optional_int(const JsonObject& json, const char* key, int otherwise) {
  return static_cast<int>(json.integer(key, 0, kIntMax).value_or(otherwise));
}

void refuse_unsupported(const JsonObject& json, const char* key, const std::string& supported) {
  json.refuse(key, json.text_of(key) + " is not supported yet (" + supported + ")");
}

// "LLaMA" is how the first conversions wrote it; "LlamaModel" is what the bare decoder is saved as.
bool is_llama(const std::string& architecture) {
  return architecture == "LlamaForCausalLM" || architecture == "LLaMAForCausalLM" || architecture == "LlamaModel";
}

void check_architecture(const JsonObject& json) {
  const std::vector<std::string> architectures = json.strings("architectures");
  const bool has_architectures = !architectures.empty();
  if (has_architectures && std::none_of(architectures.begin(), architectures.end(), is_llama)) {
    refuse_unsupported(json, "architectures", "LlamaForCausalLM is");
  }
  const auto model_type = json.string("model_type");
  if (model_type && *model_type != "llama") refuse_unsupported(json, "model_type", "llama is");
  if (!model_type && !has_architectures) json.refuse("architectures", "is missing");
}

void check_unsupported(const JsonObject& json) {
  if (const auto act = json.string("hidden_act"); act && *act != "silu" && *act != "swish") {
    refuse_unsupported(json, "hidden_act", "silu is");
  }
  if (const auto quantization = json.object("quantization_config")) {
    if (quantization->has("quant_method"))
      refuse_unsupported(*quantization, "quant_method", "safetensors must be float32, float16 or bfloat16");
    refuse_unsupported(json, "quantization_config", "safetensors must be float32, float16 or bfloat16");
  }
  if (!json.boolean("is_causal").value_or(true)) refuse_unsupported(json, "is_causal", "true is");
  if (json.number("partial_rotary_factor", 0.0, 1.0).value_or(1.0) != 1.0) {
    refuse_unsupported(json, "partial_rotary_factor", "1.0 is");
  }
}

// A Llama attends to its whole context whatever its config says, in transformers as here: other models' configs that
// were renamed have a window. One as long as the context would hide nothing.
void warn_of_window(const JsonObject& json, int max_position_embeddings, std::string_view file,
                    std::vector<std::string>& warnings) {
  const std::string text = json.text_of("sliding_window");
  std::int64_t window = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), window);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (!is_number || window <= 0 || window >= max_position_embeddings) return;
  if (json.text_of("use_sliding_window") == "false") return;
  warnings.push_back(std::string(file) + ": sliding_window: " + text +
                     " is not used: a Llama attends to its whole context");
}

// Lengths are counts, but JSON written by hand may have 8192.0.
void read_original_length(const JsonObject& json, RopeConfig& rope) {
  const auto length = json.number("original_max_position_embeddings", 1.0, kIntMax);
  if (!length) return;
  if (*length != std::floor(*length)) json.refuse("original_max_position_embeddings", "is not a whole number");
  rope.original_max_position_embeddings = static_cast<int>(*length);
}

// rope_scaling or rope_parameters. Without a type it is the default, unless a factor shows that one was meant.
void read_rope_object(const JsonObject& json, RopeConfig& rope) {
  const char* key = json.has("rope_type") || !json.has("type") ? "rope_type" : "type";
  if (json.status().ok() && !json.has(key) && json.has("factor")) json.refuse(key, "is missing");
  const std::string type = json.string(key).value_or("default");
  rope.theta = json.number("rope_theta", 1.0, 1e12).value_or(rope.theta);
  if (json.number("partial_rotary_factor", 0.0, 1.0).value_or(1.0) != 1.0) {
    refuse_unsupported(json, "partial_rotary_factor", "1.0 is");
  }
  for (const char* kind_of_layer : {"full_attention", "sliding_attention"}) {
    if (json.has(kind_of_layer)) refuse_unsupported(json, kind_of_layer, "one rule for all layers is");
  }
  if (type == "default") return;
  if (type != "llama3") {
    refuse_unsupported(json, key, "default and llama3 are");
    return;
  }
  rope.type = RopeType::kLlama3;
  for (const char* needed : {"factor", "low_freq_factor", "high_freq_factor"}) {
    if (json.status().ok() && !json.has(needed)) json.refuse(needed, "is missing");
  }
  rope.factor = json.number("factor", 1.0, 1e6).value_or(1.0);
  rope.low_freq_factor = json.number("low_freq_factor", 1e-6, 1e6).value_or(1.0);
  rope.high_freq_factor = json.number("high_freq_factor", 1e-6, 1e6).value_or(4.0);
  read_original_length(json, rope);
}

// An object without any key counts as absent.
std::optional<JsonObject> filled_object(const JsonObject& json, const char* key) {
  auto object = json.object(key);
  return object && !object->keys().empty() ? object : std::nullopt;
}

// In transformers' order: rope_scaling, the older key, is all that counts where it says anything; rope_theta inside wins
// over rope_theta beside; original_max_position_embeddings beside wins over the one inside, and the model's own length
// is meant where there is none.
RopeConfig read_rope(const JsonObject& json, int max_position_embeddings) {
  RopeConfig rope;
  rope.theta = json.number("rope_theta", 1.0, 1e12).value_or(rope.theta);
  if (const auto scaling = filled_object(json, "rope_scaling")) {
    read_rope_object(*scaling, rope);
  } else if (const auto parameters = filled_object(json, "rope_parameters")) {
    read_rope_object(*parameters, rope);
  }
  if (rope.type != RopeType::kLlama3) return rope;
  read_original_length(json, rope);
  if (rope.original_max_position_embeddings == 0) rope.original_max_position_embeddings = max_position_embeddings;
  return rope;
}

// What the weights were saved in. The tensors say it themselves: a name that is not one of these is nobody's loss.
std::optional<DType> read_dtype(const JsonObject& json) {
  const char* key = json.has("dtype") ? "dtype" : "torch_dtype";
  if (!json.is_string(key)) return {};
  std::string name = json.string(key).value_or("");
  if (name.starts_with("torch.")) name.erase(0, 6);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  return {};
}

// -1 stands for "none" in some old files.
std::vector<TokenId> read_ids(const JsonObject& json, const char* key) {
  std::vector<TokenId> ids;
  for (const std::int64_t id : json.integers(key, -1, kIntMax)) {
    if (id >= 0) ids.push_back(static_cast<TokenId>(id));
  }
  if (ids.size() > kIdsMax) json.refuse(key, "has more than 1024 ids");
  return ids;
}

ConfigIds read_config_ids(const JsonObject& json) {
  ConfigIds ids;
  if (const auto bos = read_ids(json, "bos_token_id"); !bos.empty()) ids.bos_id = bos.front();
  ids.eos_ids = read_ids(json, "eos_token_id");
  return ids;
}

}  // namespace

Expected<ConfigJson> parse_config_json(std::string_view text, std::string_view file) {
  auto parsed = JsonObject::parse(text, file);
  if (!parsed) return fail(parsed.error());
  const JsonObject& json = *parsed;
  check_architecture(json);

  ConfigJson result;
  LlamaConfig& config = result.config;
  config.hidden_size = required_int(json, "hidden_size");
  config.layers = required_int(json, "num_hidden_layers");
  config.heads = required_int(json, "num_attention_heads");
  config.kv_heads = optional_int(json, "num_key_value_heads", config.heads);
  config.intermediate_size = required_int(json, "intermediate_size");
  config.vocab_size = required_int(json, "vocab_size");
  config.max_position_embeddings = optional_int(json, "max_position_embeddings", 2048);
  if (json.has("head_dim")) {
    config.head_dim = optional_int(json, "head_dim", 0);
  } else if (config.heads > 0) {
    if (config.hidden_size % config.heads != 0) {
      json.refuse("hidden_size", std::to_string(config.hidden_size) + " is not a multiple of num_attention_heads " +
                                     std::to_string(config.heads) + ", and head_dim is missing");
    }
    config.head_dim = config.hidden_size / config.heads;
  }
  config.rms_norm_eps = static_cast<float>(json.number("rms_norm_eps", 1e-30, 1.0).value_or(1e-6));
  config.rope = read_rope(json, config.max_position_embeddings);
  config.attention_bias = json.boolean("attention_bias").value_or(false);
  config.attention_output_bias = config.attention_bias;
  config.mlp_bias = json.boolean("mlp_bias").value_or(false);
  result.tie_word_embeddings = json.boolean("tie_word_embeddings");
  config.tie_word_embeddings = result.tie_word_embeddings.value_or(false);
  ConfigIds ids = read_config_ids(json);
  config.bos_id = ids.bos_id;
  config.eos_ids = std::move(ids.eos_ids);
  result.torch_dtype = read_dtype(json);
  config.torch_dtype = result.torch_dtype.value_or(config.torch_dtype);
  check_unsupported(json);
  warn_of_window(json, config.max_position_embeddings, file, result.warnings);

  if (!json.status().ok()) return fail(json.status());
  if (const Status status = config.validate(); !status.ok()) {
    return fail(bad_input(std::string(file) + ": " + status.message()));
  }
  return result;
}

Expected<ConfigIds> parse_config_ids(std::string_view text, std::string_view file) {
  const auto json = JsonObject::parse(text, file);
  if (!json) return fail(json.error());
  ConfigIds ids = read_config_ids(*json);
  if (!json->status().ok()) return fail(json->status());
  return ids;
}

}  // namespace herd::model
