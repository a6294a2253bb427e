#pragma once
// The names a checkpoint's tensors have and the names the model asks for. Files saved from the bare decoder leave out
// "model.", files saved from something around the model have a prefix more; all name the same tensors.

#include <string>
#include <vector>

namespace herd::model {

// For each name its name under "model.": unchanged where "model." is what the file has, where no layer shows what it
// has instead, and where several prefixes could be meant.
[[nodiscard]] std::vector<std::string> names_in_model(const std::vector<std::string>& names);

}  // namespace herd::model
