#pragma once
// One door to the weights of a model on disk, whatever the format: Hugging Face directory (safetensors, one file or
// sharded) or GGUF file. Callers see Hugging Face tensor names, row-major [rows, cols] shapes and half-split RoPE
// order only. Opening checks every tensor the config demands, so that reading cannot find a surprise later.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/dtype.h"
#include "kernels/status.h"
#include "runtime/checkpoint/end_ids.h"
#include "runtime/checkpoint/generation_config.h"
#include "runtime/model/llama_config.h"
#include "runtime/model/weight_source.h"
#include "runtime/tokenizer/added_tokens.h"

namespace herd::tokenizer {
struct GgufVocabulary;
}

namespace herd::model {

class GgufFile;

// A vector (norm, bias) of n elements is one row: rows = 1, cols = n.
struct TensorInfo {
  std::string name;         // Hugging Face name; the file's own for tensors the model does not know
  std::string source_name;  // in the file
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::string shape;        // Hugging Face order, e.g. "[576, 1536]"; says more than rows and cols past two dimensions
  std::string encoding;     // format_name()'s (kernels/weight_format.h), or another format's: "q3_k"
  std::uint64_t bytes = 0;  // in the file
  std::string file;
  bool used = false;  // false: present, not part of the model; never read by the loader
};

// What tokenizer_config.json says of a tokenizer.model, by its keys.
struct TokenizerFlags {
  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  std::optional<bool> legacy;
};

// Where the text side of the model lives. Paths are empty when there is no such file.
struct TextParts {
  std::string tokenizer_json;
  std::string tokenizer_model;
  std::string chat_template;  // text of the template, empty when there is none
  // Templates that the checkpoint has beside that one, by name: "tool_use" is taken for requests with tools.
  std::vector<std::pair<std::string, std::string>> named_templates;
  std::string chat_problem;  // why the template could not be read; chat is refused with it
  // What a chat template finds as bos_token, eos_token, unk_token, … and as the model's own, image_token for one.
  std::vector<std::pair<std::string, std::string>> special_tokens;
  TokenizerFlags tokenizer_flags;
  tokenizer::DeclaredAddedTokens added_tokens;  // of files beside tokenizer.json; a GGUF vocabulary is whole
  // What the JSON files of the folder say about ends; nothing when one of them cannot be read.
  DeclaredEnds ends;
  std::string ends_problem;  // why it cannot, of the first such file; empty when there is none
};

// What a directory says without weights.
struct ModelDescription {
  LlamaConfig config;
  GenerationConfig generation;
  TextParts text;
};

// Resource; const calls are thread-safe. Names: "model.embed_tokens.weight", "model.layers.3.self_attn.q_proj.weight"
// (and ".bias"), "model.layers.3.mlp.down_proj.weight", "model.layers.3.input_layernorm.weight",
// "model.layers.3.post_attention_layernorm.weight", "model.norm.weight", "lm_head.weight" (absent when tied). Files are
// read when rows are: one that is cut or written to in between gives an error that names it.
class Checkpoint : public WeightSource {
 public:
  [[nodiscard]] virtual const LlamaConfig& config() const = 0;
  [[nodiscard]] virtual const GenerationConfig& generation() const = 0;
  [[nodiscard]] virtual const TextParts& text() const = 0;
  // The vocabulary of a GGUF checkpoint lies in its metadata, those of the first part; nullptr for every other format.
  [[nodiscard]] virtual const GgufFile* gguf() const = 0;

  [[nodiscard]] virtual bool has(std::string_view name) const = 0;
  [[nodiscard]] virtual Expected<TensorInfo> info(std::string_view name) const = 0;
  [[nodiscard]] virtual std::vector<TensorInfo> tensors() const = 0;  // sorted by name, unused ones included

  // The encoding most of the model's matrices have (encoding_count.h), one of format_name()'s: "bfloat16", "q4_0".
  [[nodiscard]] virtual std::string default_encoding() const = 0;

  // What was taken another way than one of the files says, a sentence each that names the file.
  [[nodiscard]] virtual const std::vector<std::string>& warnings() const = 0;
};

struct CheckpointOverrides {
  std::string weight_path;  // weights elsewhere: a safetensors file, an index, a directory, a GGUF file or a part of one
  int layers = 0;           // > 0: only the first `layers` layers exist
};

// `path`: a Hugging Face directory, a GGUF file (whatever its name), any part of a GGUF model, or a directory with exactly
// one GGUF model. Which of several is open_model()'s question.
[[nodiscard]] Expected<std::unique_ptr<Checkpoint>> open_checkpoint(const std::string& path,
                                                                    const CheckpointOverrides& overrides = {});

// `path`: a directory with config.json, weights not needed (random weights).
[[nodiscard]] Expected<ModelDescription> open_config_only(const std::string& path);

// The same door to a GGUF file that is open already, and whole.
[[nodiscard]] Expected<std::unique_ptr<Checkpoint>> gguf_checkpoint(GgufFile file);

// The tokenizer inside a GGUF file (runtime/tokenizer/gguf_vocabulary.h), as the metadata states it.
[[nodiscard]] Expected<tokenizer::GgufVocabulary> gguf_vocabulary(const GgufFile& file);

}  // namespace herd::model
