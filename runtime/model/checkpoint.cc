#include "runtime/model/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "kernels/check.h"
#include "runtime/model/checkpoint_source.h"

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

// "FILE: name: ", with the file's own name where it differs.
std::string where(const TensorInfo& info) {
  return info.file + ": " + info.name + (info.source_name == info.name ? "" : " (" + info.source_name + ")") + ": ";
}

Status not_readable(const TensorInfo& info) {
  return bad_input(where(info) + "type " + info.encoding + " is not supported yet");
}

using TensorMap = std::map<std::string, StoredTensor, std::less<>>;

// The tensors settle what the config leaves open. A bias anywhere demands it everywhere.
void settle_config(const TensorMap& tensors, StoredModel& model) {
  LlamaConfig& config = model.config;
  config.tie_word_embeddings = model.tie_word_embeddings.value_or(!tensors.contains("lm_head.weight"));
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

Status check_demands(const std::vector<Demand>& demands, const StoredModel& model, TensorMap& tensors) {
  for (const Demand& demand : demands) {
    const auto found = tensors.find(demand.name);
    if (found == tensors.end()) {
      const std::string file = model.safetensors.size() == 1 ? model.safetensors.front().file() : model.config_file;
      return bad_input(file + ": " + demand.name + ": tensor is missing, " + shape_text(demand.shape()) + " is needed");
    }
    StoredTensor& tensor = found->second;
    if (tensor.shape != demand.shape()) {
      return bad_input(where(tensor.info) + "shape " + shape_text(tensor.shape) + ", but " + model.config_file +
                       " needs " + shape_text(demand.shape()));
    }
    if (!tensor.encoding) return not_readable(tensor.info);
    tensor.info.used = true;
  }
  return {};
}

std::string dominant_encoding(const TensorMap& tensors) {
  std::map<std::string, std::int64_t> elements;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.info.used && tensor.shape.size() == 2)
      elements[tensor.info.encoding] += tensor.info.rows * tensor.info.cols;
  }
  const auto most = std::max_element(elements.begin(), elements.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  HERD_CHECK(most != elements.end(), "a checked model has matrices");
  return most->first;
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

  Status read_rows(std::string_view name, std::int64_t row_begin, std::int64_t row_end, std::int64_t col_begin,
                   std::int64_t col_end, float* out) const override {
    const StoredTensor* tensor = find(name);
    if (tensor == nullptr) return bad_input(model_.config_file + ": no tensor " + std::string(name));
    if (!tensor->encoding) return not_readable(tensor->info);
    const TensorInfo& info = tensor->info;
    HERD_CHECK(0 <= row_begin && row_begin <= row_end && row_end <= info.rows, "rows lie inside the tensor");
    HERD_CHECK(0 <= col_begin && col_begin <= col_end && col_end <= info.cols, "columns lie inside the tensor");
    if (tensor->interleaved && tensor->shape.size() == 1) {
      if (row_begin < row_end) read_interleaved_vector(*tensor, col_begin, col_end, out);
      return {};
    }
    const std::int64_t stride = row_bytes(*tensor->encoding, info.cols);
    for (std::int64_t row = row_begin; row < row_end; ++row) {
      const std::int64_t stored = tensor->interleaved ? interleaved_index(row) : row;
      expand_row(*tensor->encoding, tensor->data + stored * stride, col_begin, col_end, out);
      out += col_end - col_begin;
    }
    return {};
  }

  const void* mapped(std::string_view name, DType dtype) const override {
    const StoredTensor* tensor = find(name);
    if (tensor == nullptr || tensor->interleaved || tensor->encoding != encoding_of(dtype)) return nullptr;
    const bool aligned = reinterpret_cast<std::uintptr_t>(tensor->data) % dtype_bytes(dtype) == 0;
    return aligned ? tensor->data : nullptr;
  }

 private:
  [[nodiscard]] const StoredTensor* find(std::string_view name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }

  static RowEncoding encoding_of(DType dtype) {
    switch (dtype) {
      case DType::kF32:
        return RowEncoding::kFloat32;
      case DType::kBF16:
        return RowEncoding::kBFloat16;
      case DType::kF16:
        return RowEncoding::kFloat16;
    }
    return RowEncoding::kFloat32;
  }

  // Half-split row h·D + i is interleaved row h·D + 2i, row h·D + D/2 + i is row h·D + 2i + 1, for i < D/2.
  [[nodiscard]] std::int64_t interleaved_index(std::int64_t row) const {
    const std::int64_t head_dim = model_.config.head_dim;
    const std::int64_t in_head = row % head_dim;
    const std::int64_t half = head_dim / 2;
    return row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
  }

  void read_interleaved_vector(const StoredTensor& tensor, std::int64_t begin, std::int64_t end, float* out) const {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t stored = interleaved_index(i);
      expand_row(*tensor.encoding, tensor.data, stored, stored + 1, out++);
    }
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

Expected<std::unique_ptr<Checkpoint>> finish(StoredModel model, const CheckpointOverrides& overrides) {
  if (overrides.layers > model.config.layers) {
    return fail(usage_error(model.config_file + ": has " + std::to_string(model.config.layers) + " layers, " +
                            std::to_string(overrides.layers) + " were asked for"));
  }
  TensorMap tensors;
  for (StoredTensor& tensor : model.tensors) {
    if (Status status = describe_tensor(tensor); !status.ok()) return fail(std::move(status));
    std::string name = tensor.info.name;
    const std::string file = tensor.info.file;
    if (!tensors.emplace(name, std::move(tensor)).second) return fail(bad_input(file + ": " + name + ": occurs twice"));
  }
  model.tensors.clear();
  settle_config(tensors, model);
  // Every layer is checked, also those that `layers` leaves out.
  if (Status status = check_demands(demands_of(model.config), model, tensors); !status.ok())
    return fail(std::move(status));
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

bool is_gguf_name(std::string_view path) { return path.ends_with(".gguf"); }

// The only .gguf file of a directory; empty when there is none.
Expected<std::string> only_gguf_in(const std::string& directory) {
  std::string found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    if (!is_gguf_name(entry.path().string())) continue;
    if (!found.empty()) return fail(bad_input(directory + ": has several .gguf files; name one of them"));
    found = entry.path().string();
  }
  if (error) return fail(missing(directory + ": cannot be listed: " + error.message()));
  return found;
}

Expected<StoredModel> open_gguf_model(const std::string& path) {
  auto file = GgufFile::open(path);
  if (!file) return fail(file.error());
  return read_gguf_model(std::move(*file));
}

Expected<StoredModel> read_model(const std::string& path, const CheckpointOverrides& overrides) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return fail(missing(path + ": does not exist"));
  if (!fs::is_directory(status)) {
    if (!overrides.weight_path.empty() && overrides.weight_path != path) {
      return fail(usage_error(path + ": is a file; a separate weight path needs a model directory"));
    }
    if (is_gguf_name(path)) return open_gguf_model(path);
    return fail(bad_input(path + ": is neither a model directory nor a .gguf file"));
  }
  const std::string weight_path = overrides.weight_path.empty() ? path : overrides.weight_path;
  const bool has_config = fs::is_regular_file(fs::path(path) / "config.json", error);
  if (is_gguf_name(weight_path)) {
    auto model = open_gguf_model(weight_path);
    if (model && has_config) {  // the directory's text side; the weights' own hyperparameters
      auto directory = read_model_directory(path);
      if (!directory) return fail(directory.error());
      model->text = std::move(directory->text);
    }
    return model;
  }
  if (!has_config) {
    auto gguf = only_gguf_in(path);
    if (!gguf) return fail(gguf.error());
    if (!gguf->empty()) return open_gguf_model(*gguf);
    for (const char* name : {"params.json", "consolidated.00.pth"}) {
      if (fs::is_regular_file(fs::path(path) / name, error)) {
        return fail(bad_input((fs::path(path) / name).string() +
                              ": Meta checkpoints are not supported yet (safetensors and GGUF are)"));
      }
    }
    return fail(missing(path + ": has neither config.json nor a .gguf file"));
  }
  auto model = read_model_directory(path);
  if (!model) return model;
  if (Status read = read_safetensors(weight_path, &*model); !read.ok()) {
    // A directory with both a config.json and a .gguf file is common; the safetensors come first.
    auto gguf =
        read.code() == StatusCode::kMissing && overrides.weight_path.empty() ? only_gguf_in(path) : std::string();
    if (gguf && !gguf->empty()) return open_gguf_model(*gguf);
    return fail(std::move(read));
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
  auto model = read_gguf_model(std::move(file));
  if (!model) return fail(model.error());
  return finish(std::move(*model), {});
}

Expected<ModelDescription> open_config_only(const std::string& path) {
  auto model = read_model_directory(path);
  if (!model) return fail(model.error());
  return ModelDescription{std::move(model->config), std::move(model->generation), std::move(model->text)};
}

bool has_non_finite(const float* values, std::size_t n) {
  // An exponent of all ones, without a branch in the loop.
  std::uint32_t found = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, values + i, 4);
    found |= static_cast<std::uint32_t>((bits & 0x7f800000u) == 0x7f800000u);
  }
  return found != 0;
}

}  // namespace herd::model
