#pragma once
// What a format's reader hands to checkpoint.cc: the files it keeps open, what they say about the model, and every
// tensor under its Hugging Face name. Not yet checked against the config. Internal to runtime/model.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/model/checkpoint.h"
#include "runtime/model/gguf_dequantize.h"
#include "runtime/model/gguf_file.h"
#include "runtime/model/safetensors_file.h"

namespace herd::model {

struct StoredTensor {
  TensorInfo info;
  std::vector<std::int64_t> shape;
  std::optional<RowEncoding> encoding;  // empty: listed, cannot be read
  const std::byte* data = nullptr;      // rows one after the other
  bool interleaved = false;             // rows of each head (entries, in a vector) lie in interleaved RoPE order
};

struct StoredModel {
  std::string config_file;  // what the shapes are checked against, for messages
  LlamaConfig config;
  std::optional<bool> tie_word_embeddings;  // absent: the tensors decide
  std::optional<DType> torch_dtype;         // absent: the tensors decide
  GenerationConfig generation;
  TextParts text;
  std::vector<StoredTensor> tensors;

  std::vector<SafetensorsFile> safetensors;
  std::unique_ptr<GgufFile> gguf;
};

[[nodiscard]] std::string shape_text(const std::vector<std::int64_t>& shape);  // "[576, 1536]"

// Directory with config.json; fills everything but the tensors.
[[nodiscard]] Expected<StoredModel> read_model_directory(const std::string& directory);

// `path`: a directory with model.safetensors or model.safetensors.index.json, or one such file.
[[nodiscard]] Status read_safetensors(const std::string& path, StoredModel* model);

[[nodiscard]] Expected<StoredModel> read_gguf_model(GgufFile file);

}  // namespace herd::model
