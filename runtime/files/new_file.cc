#include "runtime/files/new_file.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "kernels/process_limits.h"

namespace herd::files {
namespace {

namespace fs = std::filesystem;

constexpr int kMode = 0666;  // less what umask takes

fs::path folder_of(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

std::string unfinished_name(const std::string& path) {
  return (folder_of(path) / ("." + fs::path(path).filename().string() + ".unfinished")).string();
}

Status check_name(const std::string& path, bool replaces) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status) || path.ends_with('/')) return usage_error(path + ": is a folder: name the file that is to be written");
  if (!fs::exists(fs::symlink_status(path, error))) return {};
  if (!replaces) return usage_error(path + ": exists already; --overwrite replaces it once the new file is complete");
  if (fs::exists(status) && !fs::is_regular_file(status)) return usage_error(path + ": is no regular file and is not replaced");
  return {};
}

}  // namespace

Expected<std::unique_ptr<NewFile>> NewFile::create(const std::string& path, std::uint64_t bytes, bool replaces) {
  if (Status status = check_name(path, replaces); !status.ok()) return fail(std::move(status));
  std::unique_ptr<NewFile> file(new NewFile);
  file->path_ = path;
  file->replaces_ = replaces;
  if (Status status = file->open(); !status.ok()) return fail(std::move(status));
  if (Status status = file->reserve(bytes); !status.ok()) return fail(std::move(status));
  return file;
}

NewFile::~NewFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!unfinished_.empty()) ::unlink(unfinished_.c_str());
}

Status NewFile::problem(const std::string& what, int error) const {
  return missing(path_ + ": " + what + ": " + system_error_text(error));
}

Status NewFile::open() {
  descriptor_ = ::open(folder_of(path_).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kMode);
  if (descriptor_ >= 0) return {};
  // EISDIR: a kernel that does not know the flag.
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return problem("cannot be created", errno);
  const std::string name = unfinished_name(path_);
  ::unlink(name.c_str());  // of one that was killed
  descriptor_ = ::open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, kMode);
  if (descriptor_ < 0) return problem("cannot be created", errno);
  unfinished_ = name;
  return {};
}

Status NewFile::reserve(std::uint64_t bytes) const {
  if (bytes == 0) return {};
  const int error = ::posix_fallocate(descriptor_, 0, static_cast<::off_t>(bytes));
  if (error == 0) return {};
  if (error == EOPNOTSUPP || error == EINVAL) {  // a file system without it: room shows while it is written
    return ::ftruncate(descriptor_, static_cast<::off_t>(bytes)) == 0 ? Status() : problem("cannot be made that large", errno);
  }
  return problem("there is no room for its " + std::to_string(bytes) + " bytes", error);
}

Status NewFile::write(std::uint64_t begin, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ::ssize_t put = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<::off_t>(begin));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return problem("cannot be written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    begin += static_cast<std::uint64_t>(put);
  }
  return {};
}

// A file without a name gets the unfinished one first where it replaces another: only a rename does that in one step.
Status NewFile::name_it() {
  if (unfinished_.empty()) {
    const std::string own = "/proc/self/fd/" + std::to_string(descriptor_);
    const std::string name = replaces_ ? unfinished_name(path_) : path_;
    if (replaces_) ::unlink(name.c_str());
    if (::linkat(AT_FDCWD, own.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) return problem("cannot be named", errno);
    if (!replaces_) return {};
    unfinished_ = name;
  }
  const unsigned flags = replaces_ ? 0 : RENAME_NOREPLACE;
  int result = ::renameat2(AT_FDCWD, unfinished_.c_str(), AT_FDCWD, path_.c_str(), flags);
  if (result != 0 && errno == EINVAL) result = ::rename(unfinished_.c_str(), path_.c_str());  // a file system without the flag
  if (result != 0) return problem("cannot be named", errno);
  unfinished_.clear();
  return {};
}

Status NewFile::complete() {
  if (::fsync(descriptor_) != 0) return problem("cannot be written", errno);
  if (Status status = name_it(); !status.ok()) return status;
  const int error = ::close(descriptor_) == 0 ? 0 : errno;
  descriptor_ = -1;
  return error == 0 ? Status() : problem("cannot be closed", error);
}

}  // namespace herd::files
