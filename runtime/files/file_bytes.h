#pragma once
// The bytes of a regular file, copied out where they are asked for and never mapped: a file that another process cuts,
// or a page of a network file system that cannot be read, is then an error that names the file, not a signal. Size and
// time of change are taken when the file is opened; a read that finds either of them changed fails.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "kernels/status.h"

namespace herd::files {

// Resource, shared by those who read from it. Const calls are thread-safe.
class FileBytes {
 public:
  [[nodiscard]] static Expected<std::shared_ptr<const FileBytes>> open(const std::string& path);
  // Over memory that outlives the object.
  [[nodiscard]] static std::shared_ptr<const FileBytes> over(std::span<const std::byte> memory, std::string name);

  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  ~FileBytes();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

  // Fills `out` with the bytes from `begin` on; all of them lie inside size().
  [[nodiscard]] Status read(std::uint64_t begin, std::span<std::byte> out) const;

 private:
  FileBytes() = default;
  [[nodiscard]] Status check_unchanged() const;

  std::string name_;
  std::uint64_t size_ = 0;
  std::span<const std::byte> memory_;
  int descriptor_ = -1;  // none: memory_ holds the bytes
  std::int64_t changed_s_ = 0;
  std::int64_t changed_ns_ = 0;
};

// The whole of a small text file (configuration). Refused above `bytes_max`.
[[nodiscard]] Expected<std::string> read_text_file(const std::string& path, std::size_t bytes_max);

// Why nothing is at `path`: "PATH: does not exist", or where the link points that leads nowhere.
[[nodiscard]] std::string absence(const std::string& path);

}  // namespace herd::files
