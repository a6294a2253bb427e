#pragma once
// What lies at a path, when a question of the file system that fails counts as nothing being there.

#include <filesystem>

namespace herd::files {

// A regular file, or a link to one.
[[nodiscard]] bool is_file(const std::filesystem::path& path);

// A link that leads nowhere: absence() of file_bytes.h says where.
[[nodiscard]] bool is_dead_link(const std::filesystem::path& path);

// For files that are optional: a link that leads nowhere counts as one, and whoever opens it says so.
[[nodiscard]] bool is_file_or_dead_link(const std::filesystem::path& path);

}  // namespace herd::files
