#include "runtime/files/file_bytes.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/check.h"
#include "kernels/process_limits.h"

namespace herd::files {
namespace {

Status system_error(const std::string& path, const std::string& what, int error) {
  return missing(path + ": " + what + ": " + system_error_text(error));
}

// Linux moves at most 2^31 - 4096 bytes a call.
constexpr std::size_t kBytesPerRead = std::size_t{1} << 30;

}  // namespace

Expected<std::shared_ptr<const FileBytes>> FileBytes::open(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    const int error = errno;
    std::error_code ignored;
    if (error == ENOENT && std::filesystem::is_symlink(path, ignored)) return fail(missing(absence(path)));
    return fail(system_error(path, "cannot open", error));
  }
  std::shared_ptr<FileBytes> file(new FileBytes);
  file->name_ = path;
  file->descriptor_ = descriptor;
  struct stat info {};
  if (::fstat(descriptor, &info) != 0) return fail(system_error(path, "cannot read its size", errno));
  if (!S_ISREG(info.st_mode)) return fail(bad_input(path + ": is not a regular file"));
  file->size_ = static_cast<std::uint64_t>(info.st_size);
  if (file->size_ > std::numeric_limits<std::size_t>::max() / 2) return fail(bad_input(path + ": is too large"));
  file->changed_s_ = info.st_mtim.tv_sec;
  file->changed_ns_ = info.st_mtim.tv_nsec;
  return file;
}

std::shared_ptr<const FileBytes> FileBytes::over(std::span<const std::byte> memory, std::string name) {
  std::shared_ptr<FileBytes> file(new FileBytes);
  file->name_ = std::move(name);
  file->size_ = memory.size();
  file->memory_ = memory;
  return file;
}

FileBytes::~FileBytes() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status FileBytes::read(std::uint64_t begin, std::span<std::byte> out) const {
  HERD_CHECK(begin <= size_ && out.size() <= size_ - begin, "bytes lie inside the file");
  if (out.empty()) return {};
  if (descriptor_ < 0) {
    std::memcpy(out.data(), memory_.data() + begin, out.size());
    return {};
  }
  std::uint64_t at = begin;
  while (!out.empty()) {
    const ::ssize_t got =
        ::pread(descriptor_, out.data(), std::min(out.size(), kBytesPerRead), static_cast<::off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(name_, "cannot read at byte " + std::to_string(at), errno);
    if (got == 0) break;
    out = out.subspan(static_cast<std::size_t>(got));
    at += static_cast<std::uint64_t>(got);
  }
  if (Status status = check_unchanged(); !status.ok()) return status;
  if (out.empty()) return {};
  return missing(name_ + ": ends at byte " + std::to_string(at) + ", but had " + std::to_string(size_) +
                 " when it was opened");
}

Status FileBytes::check_unchanged() const {
  struct stat info {};
  if (::fstat(descriptor_, &info) != 0) return system_error(name_, "cannot read its size", errno);
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size != size_) {
    return missing(name_ + ": has " + std::to_string(size) + " bytes now and had " + std::to_string(size_) +
                   " when it was opened: it was written to while it was read");
  }
  if (info.st_mtim.tv_sec == changed_s_ && info.st_mtim.tv_nsec == changed_ns_) return {};
  return missing(name_ + ": was written to while it was read");
}

Expected<std::string> read_text_file(const std::string& path, std::size_t bytes_max) {
  const auto file = FileBytes::open(path);
  if (!file) return fail(file.error());
  if ((*file)->size() > bytes_max) {
    return fail(bad_input(path + ": has " + std::to_string((*file)->size()) + " bytes; at most " +
                          std::to_string(bytes_max) + " are accepted"));
  }
  std::string text((*file)->size(), '\0');
  if (Status status = (*file)->read(0, std::as_writable_bytes(std::span(text))); !status.ok())
    return fail(std::move(status));
  return text;
}

std::string absence(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_symlink(path, error)) return path + ": does not exist";
  const std::filesystem::path target = std::filesystem::read_symlink(path, error);
  return path + ": is a link to " + target.string() + ", which does not exist";
}

}  // namespace herd::files
