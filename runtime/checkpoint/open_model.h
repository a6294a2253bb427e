#pragma once
// Opening a model is one step, whoever opens it: a gateway wants its config and its text side, what hosts ranks wants its
// weights as well. The weights of a checkpoint are checked here, not read.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "runtime/checkpoint/checkpoint.h"

namespace herd::model {

struct ModelFiles {
  std::string path;                // Hugging Face directory, GGUF file, folder of GGUF files
  std::string weight_path;         // weights elsewhere
  int layers = 0;                  // > 0: only the first N layers
  bool random_weights = false;     // config.json is enough
  std::uint64_t random_seed = 0;   // of random weights
  bool operator==(const ModelFiles&) const = default;
};

// Value: copies share the checkpoint.
struct OpenedModel {
  ModelFiles files;  // as asked for; weight_path also names what an encoding chose in a folder of GGUF models
  ModelDescription description;
  std::shared_ptr<const Checkpoint> checkpoint;  // null with random weights
  std::vector<std::string> warnings;             // of the checkpoint's files, a sentence each

  [[nodiscard]] const LlamaConfig& config() const { return description.config; }
  // The metadata that a vocabulary may lie in; null for every format but GGUF, and with random weights.
  [[nodiscard]] const GgufFile* gguf() const { return checkpoint == nullptr ? nullptr : checkpoint->gguf(); }
  // What most matrices are stored in, see Checkpoint::default_encoding(); with random weights the config's torch_dtype.
  [[nodiscard]] std::string own_encoding() const;
};

// `encoding`: what is computed in, where that was asked for ("q8_0"); of a folder's several GGUF models it chooses one.
// The errors are open_checkpoint()'s, or open_config_only()'s with random weights.
[[nodiscard]] Expected<OpenedModel> open_model(const ModelFiles& files, const std::string& encoding = "");

}  // namespace herd::model
