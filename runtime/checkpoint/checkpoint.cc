#include "runtime/checkpoint/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "kernels/check.h"
#include "runtime/files/file_bytes.h"
#include "runtime/files/file_kind.h"
#include "runtime/files/presence.h"
#include "runtime/checkpoint/checkpoint_source.h"
#include "runtime/checkpoint/encoding_count.h"
#include "runtime/checkpoint/gguf_parts.h"
#include "runtime/checkpoint/model_folder.h"
#include "runtime/checkpoint/tensor_names.h"

namespace herd::model {
namespace {

namespace fs = std::filesystem;

// A tensor the config demands, in its logical shape: [rows, cols], or [cols] for a vector.
struct Demand {
  std::string name;
  std::int64_t rows = 0;  // 0: a vector
  std::int64_t cols = 0;

  [[nodiscard]] std::vector<std::int64_t> shape() const {
    return rows == 0 ? std::vector<std::int64_t>{cols} : std::vector<std::int64_t>{rows, cols};
  }
};

std::vector<Demand> demands_of(const LlamaConfig& config) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t ffn = config.intermediate_size;
  std::vector<Demand> demands = {{"model.embed_tokens.weight", config.vocab_size, hidden},
                                 {"model.norm.weight", 0, hidden}};
  if (!config.tie_word_embeddings) demands.push_back({"lm_head.weight", config.vocab_size, hidden});
  for (int layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const auto linear = [&](const char* part, std::int64_t rows, std::int64_t cols, bool bias) {
      demands.push_back({prefix + part + ".weight", rows, cols});
      if (bias) demands.push_back({prefix + part + ".bias", 0, rows});
    };
    demands.push_back({prefix + "input_layernorm.weight", 0, hidden});
    linear("self_attn.q_proj", config.query_size(), hidden, config.attention_bias);
    linear("self_attn.k_proj", config.kv_size(), hidden, config.attention_bias);
    linear("self_attn.v_proj", config.kv_size(), hidden, config.attention_bias);
    linear("self_attn.o_proj", hidden, config.query_size(), config.attention_output_bias);
    demands.push_back({prefix + "post_attention_layernorm.weight", 0, hidden});
    linear("mlp.gate_proj", ffn, hidden, config.mlp_bias);
    linear("mlp.up_proj", ffn, hidden, config.mlp_bias);
    linear("mlp.down_proj", hidden, ffn, config.mlp_bias);
  }
  return demands;
}

using TensorMap = std::map<std::string, StoredTensor, std::less<>>;

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

// Tied names are one tensor, and either may be the stored one. Where both are stored, what they hold decides: equal
// tensors are one, different ones stay apart whatever the config says.
Status settle_head(TensorMap& tensors, StoredModel& model) {
  LlamaConfig& config = model.config;
  const std::optional<bool> stated = model.tie_word_embeddings;
  if (!tensors.contains(kEmbedding) && tensors.contains(kHead) && stated.value_or(true)) {
    auto head = tensors.extract(kHead);
    head.key() = kEmbedding;
    head.mapped().info.name = kEmbedding;
    tensors.insert(std::move(head));
    if (!stated && !model.gguf) {
      model.warnings.push_back(model.config_file + ": does not say tie_word_embeddings, and there is no " + kEmbedding +
                               ": lm_head.weight is the embedding as well");
    }
  } else if (!stated && !tensors.contains(kHead) && !model.gguf) {
    model.warnings.push_back(model.config_file + ": does not say tie_word_embeddings, and there is no lm_head.weight: " +
                             "the embedding is the head");
  }
  const auto head = tensors.find(kHead);
  config.tie_word_embeddings = stated.value_or(head == tensors.end());
  if (head == tensors.end() || !tensors.contains(kEmbedding) || stated == false) return {};
  const auto same = same_values(head->second, tensors.find(kEmbedding)->second);
  if (!same) return same.error();
  config.tie_word_embeddings = *same;
  if (stated == true && !*same) {
    model.warnings.push_back(model.config_file + ": tie_word_embeddings is true, but " + head->second.info.file +
                             " holds a lm_head.weight other than the embedding, which is used; set "
                             "tie_word_embeddings to false to say so");
  }
  return {};
}

// The tensors settle what the config leaves open. A bias anywhere demands it everywhere.
void settle_biases(const TensorMap& tensors, LlamaConfig& config) {
  config.attention_output_bias = false;
  for (int layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const auto has = [&](const char* part) { return tensors.contains(prefix + part); };
    config.attention_bias |=
        has("self_attn.q_proj.bias") || has("self_attn.k_proj.bias") || has("self_attn.v_proj.bias");
    config.attention_output_bias |= has("self_attn.o_proj.bias");
    config.mlp_bias |= has("mlp.gate_proj.bias") || has("mlp.up_proj.bias") || has("mlp.down_proj.bias");
  }
}

// A shard may be absent when nothing of it could be part of the model: no tensor that is needed, no head beside a tied
// embedding, no bias that the config does not mention.
Status check_absent_shards(const StoredModel& model) {
  if (!model.index || model.index->absent.empty()) return {};
  LlamaConfig all = model.config;
  all.tie_word_embeddings = false;
  all.attention_bias = all.attention_output_bias = all.mlp_bias = true;
  std::set<std::string> parts;
  for (const Demand& demand : demands_of(all)) parts.insert(demand.name);
  std::vector<std::string> names;
  for (const auto& [tensor, shard] : model.index->shard_of) names.push_back(tensor);
  names = names_in_model(names);
  auto name = names.begin();
  for (const auto& [tensor, shard] : model.index->shard_of) {
    const bool is_part = parts.contains(*name++);
    const auto absent = model.index->absent.find(shard);
    if (!is_part || absent == model.index->absent.end()) continue;
    return missing(absent->second.message() + " (named by " + model.index->file + "; " + tensor + " is needed)");
  }
  return {};
}

Status missing_tensor(const Demand& demand, const StoredModel& model, const TensorMap& tensors) {
  const std::string file = model.index || tensors.empty() || model.gguf ? model.config_file
                                                                        : tensors.begin()->second.info.file;
  return bad_input(file + ": " + demand.name + ": tensor is missing, " + shape_text(demand.shape()) + " is needed");
}

Status check_demands(const std::vector<Demand>& demands, const StoredModel& model, TensorMap& tensors) {
  for (const Demand& demand : demands) {
    const auto found = tensors.find(demand.name);
    if (found == tensors.end()) return missing_tensor(demand, model, tensors);
    StoredTensor& tensor = found->second;
    if (tensor.shape != demand.shape()) {
      return bad_input(tensor.where() + "shape " + shape_text(tensor.shape) + ", but " + model.config_file + " needs " +
                       shape_text(demand.shape()));
    }
    if (!tensor.encoding) return tensor.not_readable();
    tensor.info.used = true;
  }
  return {};
}

// A tensor that is needed may be stored more than once, if it is the same each time.
Status check_repeated(const std::vector<StoredTensor>& repeated, const TensorMap& tensors) {
  for (const StoredTensor& again : repeated) {
    const StoredTensor& first = tensors.find(again.info.name)->second;
    if (!first.info.used) continue;
    const auto same = same_values(first, again);
    if (!same) return same.error();
    if (!*same) return bad_input(again.where() + "occurs twice with different values, first in " + first.info.file);
  }
  return {};
}

std::string dominant_encoding(const TensorMap& tensors) {
  EncodingCount matrices;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.info.used && tensor.shape.size() == 2) matrices.add(tensor.info.encoding, tensor.info.rows * tensor.info.cols);
  }
  HERD_CHECK(!matrices.most().empty(), "a checked model has matrices");
  return matrices.most();
}

class FileCheckpoint final : public Checkpoint {
 public:
  FileCheckpoint(StoredModel model, TensorMap tensors, std::string encoding)
      : model_(std::move(model)), tensors_(std::move(tensors)), encoding_(std::move(encoding)) {}

  const LlamaConfig& config() const override { return model_.config; }
  const GenerationConfig& generation() const override { return model_.generation; }
  const TextParts& text() const override { return model_.text; }
  const GgufFile* gguf() const override { return model_.gguf.get(); }
  std::string default_encoding() const override { return encoding_; }

  bool has(std::string_view name) const override {
    const StoredTensor* tensor = find(name);
    return tensor != nullptr && tensor->info.used;
  }

  Expected<TensorInfo> info(std::string_view name) const override {
    const StoredTensor* tensor = find(name);
    if (tensor == nullptr) return fail(bad_input(model_.config_file + ": no tensor " + std::string(name)));
    return tensor->info;
  }

  std::vector<TensorInfo> tensors() const override {
    std::vector<TensorInfo> result;
    for (const auto& [name, tensor] : tensors_) result.push_back(tensor.info);
    return result;
  }

  const std::vector<std::string>& warnings() const override { return model_.warnings; }

  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override {
    const StoredTensor* tensor = find(name);
    if (tensor == nullptr) return bad_input(model_.config_file + ": no tensor " + std::string(name));
    return tensor->read_rows(model_.config.head_dim, row_begin, row_end, col_begin, col_end, out);
  }

  std::optional<WeightFormat> stored_format(std::string_view name) const override {
    const StoredTensor* tensor = find(name);
    return tensor == nullptr ? std::nullopt : tensor->stored_format();
  }

  Status read_stored_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                          std::int64_t col_end, void* out) const override {
    return find(name)->read_stored_rows(model_.config.head_dim, row_begin, row_end, col_begin, col_end,
                                        static_cast<std::byte*>(out));
  }

 private:
  [[nodiscard]] const StoredTensor* find(std::string_view name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }

  StoredModel model_;
  TensorMap tensors_;
  std::string encoding_;
};

Status describe_tensor(StoredTensor& tensor) {
  TensorInfo& info = tensor.info;
  info.shape = shape_text(tensor.shape);
  info.cols = tensor.shape.empty() ? 1 : tensor.shape.back();
  info.rows = 1;
  for (std::size_t i = 0; i + 1 < tensor.shape.size(); ++i) {
    // An empty dimension makes any other harmless in the file's own check, not here.
    if (__builtin_mul_overflow(info.rows, tensor.shape[i], &info.rows)) {
      return bad_input(info.file + ": " + info.name + ": shape " + info.shape + " is too large");
    }
  }
  return {};
}

// From the file's names to the model's. What an index and its shards disagree about becomes a warning.
Status name_tensors(StoredModel& model, TensorMap& tensors, std::vector<StoredTensor>& repeated) {
  std::vector<std::string> names;
  std::vector<std::pair<std::string, std::string>> shards;
  for (const StoredTensor& tensor : model.tensors) {
    names.push_back(tensor.info.name);
    shards.emplace_back(tensor.info.source_name, fs::path(tensor.info.file).filename().string());
  }
  if (model.index) {
    for (std::string& warning : model.index->disagreements(shards)) model.warnings.push_back(std::move(warning));
  }
  if (!model.gguf) names = names_in_model(names);
  for (std::size_t i = 0; i < names.size(); ++i) {
    StoredTensor& tensor = model.tensors[i];
    tensor.info.name = names[i];
    if (Status status = describe_tensor(tensor); !status.ok()) return status;
    if (tensors.contains(names[i])) {
      repeated.push_back(std::move(tensor));
    } else {
      tensors.emplace(names[i], std::move(tensor));
    }
  }
  model.tensors.clear();
  return {};
}

Expected<std::unique_ptr<Checkpoint>> finish(StoredModel model, const CheckpointOverrides& overrides) {
  if (overrides.layers > model.config.layers) {
    return fail(usage_error(model.config_file + ": has " + std::to_string(model.config.layers) + " layers, " +
                            std::to_string(overrides.layers) + " were asked for"));
  }
  TensorMap tensors;
  std::vector<StoredTensor> repeated;
  if (Status status = name_tensors(model, tensors, repeated); !status.ok()) return fail(std::move(status));
  if (Status status = check_absent_shards(model); !status.ok()) return fail(std::move(status));
  if (Status status = settle_head(tensors, model); !status.ok()) return fail(std::move(status));
  settle_biases(tensors, model.config);
  // Every layer is checked, also those that `layers` leaves out.
  if (Status status = check_demands(demands_of(model.config), model, tensors); !status.ok())
    return fail(std::move(status));
  if (Status status = check_repeated(repeated, tensors); !status.ok()) return fail(std::move(status));
  if (overrides.layers > 0 && overrides.layers < model.config.layers) {
    for (auto& [name, tensor] : tensors) tensor.info.used = false;
    model.config.layers = overrides.layers;
    if (Status status = check_demands(demands_of(model.config), model, tensors); !status.ok())
      return fail(std::move(status));
  }
  std::string encoding = dominant_encoding(tensors);
  model.config.torch_dtype = model.torch_dtype.value_or(encoding == "float32"   ? DType::kF32
                                                        : encoding == "float16" ? DType::kF16
                                                                                : DType::kBF16);
  return std::make_unique<FileCheckpoint>(std::move(model), std::move(tensors), std::move(encoding));
}

bool is_gguf(const std::string& path) { return files::kind_of_file(path) == files::FileKind::kGguf; }

// The files of a folder count beside GGUF weights as they do beside safetensors; what they leave open the GGUF says.
void join_folder(StoredModel folder, StoredModel& model) {
  TextParts own = std::exchange(model.text, std::move(folder.text));
  if (model.text.chat_template.empty() && model.text.named_templates.empty()) {
    model.text.chat_template = std::move(own.chat_template);
    model.text.named_templates = std::move(own.named_templates);
  }
  if (model.text.chat_problem.empty()) model.text.chat_problem = std::move(own.chat_problem);
  for (auto& token : own.special_tokens) {
    const bool is_known = std::any_of(model.text.special_tokens.begin(), model.text.special_tokens.end(),
                                      [&](const auto& known) { return known.first == token.first; });
    if (!is_known) model.text.special_tokens.push_back(std::move(token));
  }
  GenerationConfig generation = std::move(folder.generation);
  for (const TokenId id : model.generation.eos_ids) {
    if (std::find(generation.eos_ids.begin(), generation.eos_ids.end(), id) == generation.eos_ids.end())
      generation.eos_ids.push_back(id);
  }
  generation.warnings.insert(generation.warnings.end(), model.generation.warnings.begin(),
                             model.generation.warnings.end());
  if (!generation.bos_id) generation.bos_id = model.generation.bos_id;
  if (!generation.pad_id) generation.pad_id = model.generation.pad_id;
  model.generation = std::move(generation);
}

// `folder`: where the text side, generation_config.json and the ids of config.json are looked for; empty: nowhere but in the file.
Expected<StoredModel> open_gguf_model(const std::string& path, const std::string& folder) {
  auto parts = open_gguf_parts(path);
  if (!parts) return fail(parts.error());
  auto model = read_gguf_model(std::move(*parts));
  if (!model || folder.empty()) return model;
  StoredModel beside;
  if (Status status = read_side_files(folder, &beside); !status.ok()) return fail(std::move(status));
  join_folder(std::move(beside), *model);
  return model;
}

// A file that is given as the model.
Expected<StoredModel> read_model_file(const std::string& path, const CheckpointOverrides& overrides) {
  if (!overrides.weight_path.empty() && overrides.weight_path != path) {
    return fail(usage_error(path + ": is a file; a separate weight path needs a model directory"));
  }
  const files::FileKind kind = files::kind_of_file(path);
  if (kind == files::FileKind::kGguf || path.ends_with(".gguf")) return open_gguf_model(path, "");
  if (kind == files::FileKind::kSafetensors) {
    return fail(bad_input(path + ": is a safetensors file, which says nothing about its model: name the folder that " +
                          "has its config.json (with --weight-path for weights under another name)"));
  }
  return fail(bad_input(path + ": is neither a model directory nor a GGUF file; it is " + files::kind_text(kind)));
}

// Where GGUF weights are; empty: they are safetensors, if anything.
Expected<std::string> gguf_weights(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return path.ends_with(".gguf") || is_gguf(path) ? path : std::string();
  return has_safetensors(path) ? std::string() : gguf_in(path, "");
}

// A folder that is given as the model.
Expected<StoredModel> read_model_folder(const std::string& path, const CheckpointOverrides& overrides) {
  std::error_code error;
  const std::string weight_path = overrides.weight_path.empty() ? path : overrides.weight_path;
  const auto gguf = gguf_weights(weight_path);
  if (!gguf) return fail(gguf.error());
  if (!gguf->empty()) return open_gguf_model(*gguf, path);
  if (const fs::path config = fs::path(path) / "config.json"; !fs::exists(config, error) && !fs::is_symlink(config, error))
    return fail(no_model_in(path, "neither config.json nor a .gguf file"));
  auto model = read_model_directory(path);
  if (!model) return model;
  if (Status read = read_safetensors(weight_path, &*model); !read.ok()) return fail(std::move(read));
  return model;
}

Expected<StoredModel> read_model(const std::string& path, const CheckpointOverrides& overrides) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return fail(missing(files::absence(path)));
  if (!fs::is_directory(status)) return read_model_file(path, overrides);
  auto model = read_model_folder(path, overrides);
  const fs::path adapter = fs::path(path) / "adapter_config.json";
  if (model && files::is_file(adapter)) {
    model->warnings.push_back(adapter.string() + ": the folder holds a LoRA adapter beside the model, which is not used");
  }
  return model;
}

}  // namespace

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t dimension : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(dimension);
  }
  return text + "]";
}

Expected<std::unique_ptr<Checkpoint>> open_checkpoint(const std::string& path, const CheckpointOverrides& overrides) {
  auto model = read_model(path, overrides);
  if (!model) return fail(model.error());
  return finish(std::move(*model), overrides);
}

Expected<std::unique_ptr<Checkpoint>> gguf_checkpoint(GgufFile file) {
  std::vector<GgufFile> parts;
  parts.push_back(std::move(file));
  auto model = read_gguf_model(std::move(parts));
  if (!model) return fail(model.error());
  return finish(std::move(*model), {});
}

Expected<ModelDescription> open_config_only(const std::string& path) {
  auto model = read_model_directory(path);
  if (!model) return fail(model.error());
  return ModelDescription{std::move(model->config), std::move(model->generation), std::move(model->text)};
}

}  // namespace herd::model
