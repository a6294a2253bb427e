#pragma once
// A regular file mapped read-only. The size is fixed when it is opened: nothing beyond is ever read, and a file that
// grows later is not seen. A file that another process truncates while mapped kills this one (SIGBUS), as with every
// mapped checkpoint: replace files by renaming, never in place.

#include <cstddef>
#include <span>
#include <string>

#include "kernels/status.h"

namespace herd::model {

// Resource, movable; the mapping keeps its address when moved.
class MappedFile {
 public:
  [[nodiscard]] static Expected<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {}

  std::string path_;
  std::span<const std::byte> bytes_;  // empty for an empty file: nothing is mapped then
};

// The whole of a small text file (configuration). Refused above `bytes_max`.
[[nodiscard]] Expected<std::string> read_text_file(const std::string& path, std::size_t bytes_max);

}  // namespace herd::model
