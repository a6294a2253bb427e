#pragma once
// A file that is there whole or not at all: it is written beside its name and takes the name when it is complete. On file
// systems that have files without a name (O_TMPFILE) nothing is left of one that was not completed, even if the process is
// killed; elsewhere it is called ".NAME.unfinished" until then.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "kernels/status.h"

namespace herd::files {

// Resource.
class NewFile {
 public:
  // Takes `bytes` of room on the disk at once. `replaces`: an existing file of the name gives way when this one is complete,
  // else it is an error, then as now. kUsage: the name is taken, or that of a folder; kMissing: the folder is not there, may
  // not be written to or has no room.
  [[nodiscard]] static Expected<std::unique_ptr<NewFile>> create(const std::string& path, std::uint64_t bytes, bool replaces);

  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();  // unless complete() was called nothing is left

  // All bytes inside the size that was asked for; thread-safe for parts that do not overlap.
  [[nodiscard]] Status write(std::uint64_t begin, std::span<const std::byte> bytes);
  // Gives the file its name once its bytes are on the disk.
  [[nodiscard]] Status complete();

 private:
  NewFile() = default;
  [[nodiscard]] Status open();
  [[nodiscard]] Status reserve(std::uint64_t bytes) const;
  [[nodiscard]] Status name_it();
  [[nodiscard]] Status problem(const std::string& what, int error) const;

  std::string path_;
  std::string unfinished_;  // its name until it is complete; empty: it has none
  bool replaces_ = false;
  int descriptor_ = -1;
};

}  // namespace herd::files
