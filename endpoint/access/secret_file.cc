#include "endpoint/access/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "kernels/process_limits.h"

namespace herd::access {
namespace {

Status unreadable(const std::string& path) { return missing(path + ": cannot be read: " + system_error_text(errno)); }

// Who may read it beside us. Of a file that root owns and we do not run as root, our group: so a service is given its secrets, which
// it cannot change.
mode_t too_much_of(const struct stat& about) {
  const mode_t all = about.st_mode & (S_IRWXG | S_IRWXO);
  const bool given_by_root = about.st_uid == 0 && geteuid() != 0;
  return given_by_root ? all & ~static_cast<mode_t>(S_IRGRP) : all;
}

Expected<std::string> read_open(int file, const std::string& path, std::size_t bytes_max) {
  struct stat about {};
  if (fstat(file, &about) != 0) return fail(unreadable(path));
  if (!S_ISREG(about.st_mode)) return fail(bad_input(path + ": is not a file"));
  if (too_much_of(about) != 0)
    return fail(bad_input(path + ": others than its owner have rights to it (chmod 600 takes them away)"));
  std::string text(bytes_max + 1, '\0');
  std::size_t held = 0;
  while (held < text.size()) {
    const ssize_t got = read(file, text.data() + held, text.size() - held);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(unreadable(path));
    if (got == 0) break;
    held += static_cast<std::size_t>(got);
  }
  if (held > bytes_max) return fail(bad_input(path + ": longer than " + std::to_string(bytes_max) + " bytes"));
  text.resize(held);
  return text;
}

}  // namespace

Expected<std::string> read_secret_file(const std::string& path, std::size_t bytes_max) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe without a writer does not hold us
  if (file < 0) return fail(unreadable(path));
  auto text = read_open(file, path, bytes_max);
  close(file);
  return text;
}

}  // namespace herd::access
