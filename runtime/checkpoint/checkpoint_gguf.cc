// A GGUF file of architecture "llama" as a checkpoint: metadata → LlamaConfig, ggml's tensor names → Hugging Face's.

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/checkpoint/checkpoint_source.h"
#include "runtime/checkpoint/text_parts.h"
#include "runtime/tokenizer/gguf_vocabulary.h"

namespace herd::model {
namespace {

constexpr std::int64_t kIntMax = std::numeric_limits<int>::max();

// Typed metadata with one sticky status, so that a reader can run through all keys and look once.
class Metadata {
 public:
  explicit Metadata(const GgufFile& file) : file_(file) {}

  [[nodiscard]] const Status& status() const { return status_; }
  void refuse(std::string_view key, const std::string& what) {
    if (status_.ok()) status_ = bad_input(file_.file() + ": " + std::string(key) + ": " + what);
  }

  std::optional<double> number(std::string_view key) { return take(file_.number(key)); }
  std::optional<bool> boolean(std::string_view key) { return take(file_.boolean(key)); }
  std::string string(std::string_view key) { return std::string(take(file_.string(key)).value_or(std::string_view())); }

  // A count of things; one number for all layers, or a list that says the same for each.
  std::optional<int> size(std::string_view key) {
    const GgufValue* value = file_.value(key);
    if (value == nullptr) return {};
    std::optional<std::int64_t> result;
    if (!value->is_array) {
      result = take(file_.integer(key));
    } else {
      auto list = file_.integers(key);
      if (!list) {
        keep(list.error());
      } else if (list->empty()) {
        refuse(key, "is an empty list");
      } else if (std::any_of(list->begin(), list->end(), [&](std::int64_t each) { return each != list->front(); })) {
        refuse(key, "differs from layer to layer, which is not supported yet");
      } else {
        result = list->front();
      }
    }
    if (result && (*result < 0 || *result > kIntMax)) {
      refuse(key, std::to_string(*result) + " is not in [0, " + std::to_string(kIntMax) + "]");
    }
    return status_.ok() && result ? std::optional(static_cast<int>(*result)) : std::nullopt;
  }
  int required_size(std::string_view key) {
    const auto result = size(key);
    if (!result) refuse(key, "is missing");
    return result.value_or(0);
  }

  // Token id; 2^32 - 1 and negative numbers stand for "none".
  std::optional<TokenId> token_id(std::string_view key) {
    const auto id = take(file_.integer(key));
    if (!id || *id < 0 || *id == 0xffffffffLL) return {};
    if (*id > kIntMax) refuse(key, std::to_string(*id) + " is not a token id");
    return status_.ok() ? std::optional(static_cast<TokenId>(*id)) : std::nullopt;
  }

  void keep(const Status& status) {
    if (status_.ok()) status_ = status;
  }

 private:
  template <class T>
  std::optional<T> take(Expected<std::optional<T>> value) {
    if (value) return *value;
    keep(value.error());
    return {};
  }

  const GgufFile& file_;
  Status status_;
};

// `other`: a second value that changes nothing.
void refuse_unless(Metadata& metadata, const char* key, double neutral, double other) {
  const auto value = metadata.number(key);
  if (value && *value != neutral && *value != other) metadata.refuse(key, std::to_string(*value) + " is not supported yet");
}

void read_rope(const GgufFile& file, Metadata& metadata, LlamaConfig& config) {
  config.rope.theta = metadata.number("llama.rope.freq_base").value_or(10000.0);
  const std::string scaling = metadata.string("llama.rope.scaling.type");
  if (!scaling.empty() && scaling != "none") {
    metadata.refuse("llama.rope.scaling.type", "\"" + scaling + "\" is not supported yet (none is)");
  }
  if (scaling != "none") refuse_unless(metadata, "llama.rope.scaling.factor", 1.0, 0.0);  // 0: none stated
  refuse_unless(metadata, "llama.rope.scale_linear", 1.0, 0.0);
  const int dimensions = metadata.size("llama.rope.dimension_count").value_or(config.head_dim);
  if (dimensions != config.head_dim) {
    metadata.refuse("llama.rope.dimension_count", std::to_string(dimensions) + " of a head's " +
                                                      std::to_string(config.head_dim) +
                                                      " dimensions is not supported yet");
  }
  for (const char* name : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
    if (file.find(name) != nullptr) metadata.refuse(name, "longrope is not supported yet");
  }
  const GgufTensor* divisors = file.find("rope_freqs.weight");
  if (divisors == nullptr) return;
  if (divisors->shape != std::vector<std::int64_t>{config.head_dim / 2} ||
      divisors->encoding() != RowEncoding::kFloat32) {
    metadata.refuse("rope_freqs.weight", divisors->type_name() + " " + shape_text(divisors->shape) + ", but F32 [" +
                                             std::to_string(config.head_dim / 2) + "] is needed");
    return;
  }
  std::vector<float>& values = config.rope.frequency_divisors;
  values.resize(static_cast<std::size_t>(config.head_dim / 2));
  metadata.keep(file.bytes()->read(divisors->begin, std::as_writable_bytes(std::span(values))));
}

// A tied pair may be stored under the head's name.
const GgufTensor* embedding_of(const GgufFile& file) {
  const GgufTensor* embedding = file.find("token_embd.weight");
  return embedding != nullptr ? embedding : file.find("output.weight");
}

Expected<LlamaConfig> read_config(const GgufFile& file) {
  Metadata metadata(file);
  const std::string architecture = metadata.string("general.architecture");
  if (architecture != "llama") {
    metadata.refuse("general.architecture", "\"" + architecture + "\" is not supported yet (llama is)");
  }
  LlamaConfig config;
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
  const auto epsilon = metadata.number("llama.attention.layer_norm_rms_epsilon");
  if (!epsilon) metadata.refuse("llama.attention.layer_norm_rms_epsilon", "is missing");
  config.rms_norm_eps = static_cast<float>(epsilon.value_or(1e-5));
  for (const char* key : {"llama.expert_count", "llama.attention.sliding_window"}) refuse_unless(metadata, key, 0.0, 0.0);
  for (const char* key : {"llama.logit_scale", "llama.residual_scale", "llama.embedding_scale"}) {
    refuse_unless(metadata, key, 1.0, 0.0);
  }
  if (!metadata.boolean("llama.attention.causal").value_or(true)) {
    metadata.refuse("llama.attention.causal", "false is not supported yet (an embedding model?)");
  }
  if (metadata.number("llama.attention.scale").value_or(0.0) != 0.0) {
    metadata.refuse("llama.attention.scale", "is not supported yet");
  }
  if (const auto vocab = metadata.size("llama.vocab_size")) {
    config.vocab_size = *vocab;
  } else if (const GgufTensor* embedding = embedding_of(file)) {
    config.vocab_size = static_cast<int>(std::min(embedding->shape.front(), kIntMax));
  } else {
    metadata.refuse("token_embd.weight", "is missing");
  }
  config.bos_id = metadata.token_id("tokenizer.ggml.bos_token_id");
  if (const auto eos = metadata.token_id("tokenizer.ggml.eos_token_id")) config.eos_ids = {*eos};
  read_rope(file, metadata, config);
  if (!metadata.status().ok()) return fail(metadata.status());
  if (const Status status = config.validate(); !status.ok()) {
    return fail(bad_input(file.file() + ": " + status.message()));
  }
  return config;
}

Expected<GenerationConfig> read_generation(const GgufFile& file) {
  Metadata metadata(file);
  GenerationConfig generation;
  generation.bos_id = metadata.token_id("tokenizer.ggml.bos_token_id");
  generation.pad_id = metadata.token_id("tokenizer.ggml.padding_token_id");
  for (const char* key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    const auto id = metadata.token_id(key);
    auto& ids = generation.eos_ids;
    if (id && std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  }
  // Sampling defaults of newer converters, which are those of generation_config.json under names of their own.
  for (const char* key : {"general.sampling.temp", "general.sampling.top_k", "general.sampling.top_p",
                          "general.sampling.min_p", "general.sampling.penalty_repeat"}) {
    if (file.value(key) != nullptr) generation.warnings.push_back(file.file() + ": " + key + " is not applied");
  }
  if (!metadata.status().ok()) return fail(metadata.status());
  return generation;
}

// ggml's name → Hugging Face's; unchanged when it is not one of a llama model.
std::string hugging_face_name(std::string_view name) {
  if (name == "token_embd.weight") return "model.embed_tokens.weight";
  if (name == "output_norm.weight") return "model.norm.weight";
  if (name == "output.weight") return "lm_head.weight";
  constexpr std::pair<std::string_view, std::string_view> kParts[] = {
      {"attn_norm", "input_layernorm"}, {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
      {"attn_v", "self_attn.v_proj"},   {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
      {"ffn_gate", "mlp.gate_proj"},    {"ffn_up", "mlp.up_proj"},           {"ffn_down", "mlp.down_proj"},
  };
  const std::string unchanged(name);
  if (!name.starts_with("blk.")) return unchanged;
  name.remove_prefix(4);
  const std::size_t dot = name.find('.');
  const std::size_t last_dot = name.rfind('.');
  if (dot == std::string_view::npos || last_dot <= dot) return unchanged;
  const std::string_view layer = name.substr(0, dot);
  const std::string_view part = name.substr(dot + 1, last_dot - dot - 1);
  const std::string_view suffix = name.substr(last_dot);
  if (suffix != ".weight" && suffix != ".bias") return unchanged;
  for (const auto& [ggml, hugging_face] : kParts) {
    if (part == ggml) {
      return "model.layers." + std::string(layer) + "." + std::string(hugging_face) + std::string(suffix);
    }
  }
  return unchanged;
}

// Converters write the "llama" architecture with q and k rows in interleaved order (Meta's), heads in place.
bool is_interleaved(std::string_view hugging_face_name) {
  return hugging_face_name.find(".self_attn.q_proj.") != std::string_view::npos ||
         hugging_face_name.find(".self_attn.k_proj.") != std::string_view::npos;
}

std::string encoding_text(const GgufTensor& tensor) {
  if (const auto encoding = tensor.encoding()) return encoding_name(*encoding);
  std::string name = tensor.type_name();
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

}  // namespace

Expected<StoredModel> read_gguf_model(GgufFile opened) {
  StoredModel model;
  model.gguf = std::make_unique<GgufFile>(std::move(opened));
  const GgufFile& file = *model.gguf;
  model.config_file = file.file();
  auto config = read_config(file);
  if (!config) return fail(config.error());
  model.config = std::move(*config);
  auto generation = read_generation(file);
  if (!generation) return fail(generation.error());
  model.generation = std::move(*generation);
  read_text_parts(file, model.text);

  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name == "rope_freqs.weight") continue;  // part of the config now
    StoredTensor& stored = model.tensors.emplace_back();
    stored.info.name = hugging_face_name(tensor.name);
    stored.info.source_name = std::string(tensor.name);
    stored.info.encoding = encoding_text(tensor);
    stored.info.bytes = tensor.end - tensor.begin;
    stored.info.file = file.file();
    stored.shape = tensor.shape;
    stored.encoding = tensor.encoding();
    stored.bytes = file.bytes();
    stored.begin = tensor.begin;
    stored.interleaved = is_interleaved(stored.info.name);
  }
  return model;
}

Expected<tokenizer::GgufVocabulary> gguf_vocabulary(const GgufFile& file) {
  Metadata metadata(file);
  tokenizer::GgufVocabulary vocabulary;
  vocabulary.model = metadata.string("tokenizer.ggml.model");
  vocabulary.pre = metadata.string("tokenizer.ggml.pre");
  vocabulary.bos_id = metadata.token_id("tokenizer.ggml.bos_token_id");
  vocabulary.eos_id = metadata.token_id("tokenizer.ggml.eos_token_id");
  vocabulary.eot_id = metadata.token_id("tokenizer.ggml.eot_token_id");
  vocabulary.unknown_id = metadata.token_id("tokenizer.ggml.unknown_token_id");
  vocabulary.add_bos = metadata.boolean("tokenizer.ggml.add_bos_token");
  vocabulary.add_eos = metadata.boolean("tokenizer.ggml.add_eos_token");
  vocabulary.add_space_prefix = metadata.boolean("tokenizer.ggml.add_space_prefix");
  vocabulary.remove_extra_whitespaces = metadata.boolean("tokenizer.ggml.remove_extra_whitespaces");
  vocabulary.chat_template = metadata.string("tokenizer.chat_template");
  if (!metadata.status().ok()) return fail(metadata.status());

  const auto tokens = file.strings("tokenizer.ggml.tokens");
  if (!tokens) return fail(tokens.error());
  vocabulary.tokens.assign(tokens->begin(), tokens->end());
  const auto merges = file.strings("tokenizer.ggml.merges");
  if (!merges) return fail(merges.error());
  vocabulary.merges.assign(merges->begin(), merges->end());
  if (vocabulary.model == "llama") {
    auto scores = file.floats("tokenizer.ggml.scores");
    if (!scores) return fail(scores.error());
    vocabulary.scores = std::move(*scores);
  }
  const auto types = file.integers("tokenizer.ggml.token_type");
  if (!types) return fail(types.error());
  for (const std::int64_t type : *types) {
    if (type < 0 || type > 6) {
      return fail(bad_input(file.file() + ": tokenizer.ggml.token_type: " + std::to_string(type) + " is unknown"));
    }
    vocabulary.token_types.push_back(static_cast<std::int32_t>(type));
  }
  return vocabulary;
}

}  // namespace herd::model
