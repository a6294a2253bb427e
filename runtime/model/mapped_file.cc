#include "runtime/model/mapped_file.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace herd::model {
namespace {

Status system_error(const std::string& path, const char* what, int error) {
  return missing(path + ": " + what + ": " + std::strerror(error));
}

}  // namespace

Expected<MappedFile> MappedFile::open(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(system_error(path, "cannot open", errno));
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    const int error = errno;
    ::close(fd);
    return fail(system_error(path, "cannot read its size", error));
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return fail(bad_input(path + ": is not a regular file"));
  }
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size > std::numeric_limits<std::size_t>::max() / 2) {
    ::close(fd);
    return fail(bad_input(path + ": is too large to map"));
  }
  if (size == 0) {
    ::close(fd);
    return MappedFile(path, {});
  }
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  ::close(fd);  // the mapping keeps the file open
  if (address == MAP_FAILED) return fail(system_error(path, "cannot map", error));
  return MappedFile(path, {static_cast<const std::byte*>(address), static_cast<std::size_t>(size)});
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Expected<std::string> read_text_file(const std::string& path, std::size_t bytes_max) {
  auto file = MappedFile::open(path);
  if (!file) return fail(file.error());
  const auto bytes = file->bytes();
  if (bytes.size() > bytes_max) {
    return fail(bad_input(path + ": has " + std::to_string(bytes.size()) + " bytes; at most " +
                          std::to_string(bytes_max) + " are accepted"));
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace herd::model
