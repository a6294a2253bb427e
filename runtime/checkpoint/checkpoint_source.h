#pragma once
// What a format's reader hands to checkpoint.cc: what the files say about the model, and every tensor under its Hugging
// Face name. Not yet checked against the config. Internal to runtime/model.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/gguf_file.h"
#include "runtime/checkpoint/shard_index.h"
#include "runtime/checkpoint/stored_tensor.h"

namespace herd::model {

struct StoredModel {
  std::string config_file;  // what the shapes are checked against, for messages
  LlamaConfig config;
  std::optional<bool> tie_word_embeddings;  // absent: the tensors decide
  std::optional<DType> torch_dtype;         // absent: the tensors decide
  GenerationConfig generation;
  TextParts text;
  std::vector<StoredTensor> tensors;  // shards may hold one name more than once
  std::optional<ShardIndex> index;

  std::unique_ptr<GgufFile> gguf;
  std::vector<std::string> warnings;  // what was taken another way than one of the files says
};

[[nodiscard]] std::string shape_text(const std::vector<std::int64_t>& shape);  // "[576, 1536]"

// Directory with config.json; fills everything but the tensors.
[[nodiscard]] Expected<StoredModel> read_model_directory(const std::string& directory);

// What a directory says beside weights that describe their model themselves: generation_config.json, the ids of
// config.json, the text side.
[[nodiscard]] Status read_side_files(const std::string& directory, StoredModel* model);

// Whether the folder has model.safetensors or model.safetensors.index.json, the two names that are looked for.
[[nodiscard]] bool has_safetensors(const std::string& folder);

// `path`: a directory with has_safetensors(), or one such file under any name.
[[nodiscard]] Status read_safetensors(const std::string& path, StoredModel* model);

// `parts`: of one model, as open_gguf_parts() gives them.
[[nodiscard]] Expected<StoredModel> read_gguf_model(std::vector<GgufFile> parts);

}  // namespace herd::model
