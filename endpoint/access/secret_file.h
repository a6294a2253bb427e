#pragma once
// Reading what only its owner may read.

#include <cstddef>
#include <string>

#include "kernels/status.h"

namespace herd::access {

// kMissing: cannot be opened or read; kBadInput: not a file, more than `bytes_max`, or group or others have any right to it, but that
// the group may read what root owns, of a process that is not root's. Links are followed.
[[nodiscard]] Expected<std::string> read_secret_file(const std::string& path, std::size_t bytes_max);

}  // namespace herd::access
