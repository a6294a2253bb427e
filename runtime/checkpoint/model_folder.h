#pragma once
// What lies in a model's folder, for finding the file that holds the weights and for saying what is there instead.

#include <string>

#include "kernels/status.h"

namespace herd::model {

// The only GGUF file of a folder: by its name, or by its first bytes where no name says so. Empty when there is none.
[[nodiscard]] Expected<std::string> only_gguf_in(const std::string& folder);

// Why a folder without readable weights is none that can be loaded: a LoRA adapter, PyTorch files, shards without
// their index, a link that leads nowhere, or what else is there. `wanted` is what a model would have.
[[nodiscard]] Status no_model_in(const std::string& folder, const std::string& wanted);

}  // namespace herd::model
