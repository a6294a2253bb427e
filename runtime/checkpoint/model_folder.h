#pragma once
// What lies in a model's folder, for finding the file that holds the weights and for saying what is there instead.

#include <string>
#include <vector>

#include "kernels/status.h"

namespace herd::model {

// The GGUF models of a folder, as the path of a file of each, sorted: known by their names, or by their first bytes where no
// name says so. A model in parts has the first part that is there.
[[nodiscard]] Expected<std::vector<std::string>> gguf_models_in(const std::string& folder);

// The folder's GGUF model; of several the only one that is mostly in `encoding` ("q8_0"; empty: none is asked for), else
// kBadInput lists them. Empty when there is none.
[[nodiscard]] Expected<std::string> gguf_in(const std::string& folder, const std::string& encoding);

// Why a folder without readable weights is none that can be loaded: a LoRA adapter, PyTorch files, shards without
// their index, a link that leads nowhere, or what else is there. `wanted` is what a model would have.
[[nodiscard]] Status no_model_in(const std::string& folder, const std::string& wanted);

}  // namespace herd::model
