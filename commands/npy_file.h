#pragma once
// Writes float32 arrays as .npy (NumPy format 1.0), little-endian, C order.

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/status.h"

namespace herd::commands {

// kMissing when the file cannot be written; a half-written file is removed.
Status write_npy(const std::string& path, const std::vector<std::int64_t>& shape, const std::vector<float>& values);

}  // namespace herd::commands
