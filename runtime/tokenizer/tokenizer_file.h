#pragma once
// Reads a tokenizer file whole, within a limit. Parsing is the loaders' job.

#include <cstddef>
#include <filesystem>
#include <string>

#include "kernels/status.h"

namespace herd::tokenizer {

// kMissing when it cannot be read, kBadInput when it is larger than `bytes_max`.
[[nodiscard]] Expected<std::string> read_tokenizer_file(const std::filesystem::path& path, std::size_t bytes_max);

}  // namespace herd::tokenizer
