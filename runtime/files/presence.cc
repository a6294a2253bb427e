#include "runtime/files/presence.h"

#include <system_error>

namespace herd::files {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

bool is_dead_link(const fs::path& path) {
  std::error_code error;
  return fs::is_symlink(path, error) && !fs::exists(path, error);
}

bool is_file_or_dead_link(const fs::path& path) { return is_file(path) || is_dead_link(path); }

}  // namespace herd::files
