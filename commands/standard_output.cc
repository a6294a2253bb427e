#include "commands/standard_output.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "kernels/process_limits.h"

namespace herd::commands {
namespace {

constexpr std::size_t kKeptBytesMax = std::size_t{1} << 16;

struct Output {
  std::string kept;
  int error = 0;  // of the first write that failed
};

Output& output() {
  static Output output;
  return output;
}

void write_kept() {
  Output& out = output();
  std::string_view left = out.kept;
  while (!left.empty() && out.error == 0) {
    const ssize_t written = ::write(STDOUT_FILENO, left.data(), left.size());
    if (written >= 0) {
      left.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // a pipe that its other owner made non-blocking: full for now
      pollfd room{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
      (void)::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      out.error = errno;
    }
  }
  out.kept.clear();
}

}  // namespace

void hold_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) != -1 || errno != EBADF) continue;
    // The lowest free number is this one. Opened for the other direction, so that its use fails as that of a closed one.
    const int mode = descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY;
    if (::open("/dev/null", mode) != descriptor) return;
  }
}

void print(const char* format, ...) {
  va_list values;
  va_start(values, format);
  va_list again;
  va_copy(again, values);
  const int size = std::vsnprintf(nullptr, 0, format, values);
  va_end(values);
  if (size > 0) {
    std::string text(static_cast<std::size_t>(size) + 1, '\0');
    std::vsnprintf(text.data(), text.size(), format, again);
    text.pop_back();
    print_bytes(text);
  }
  va_end(again);
}

void print_bytes(std::string_view text) {
  Output& out = output();
  if (out.error != 0) return;
  out.kept += text;
  if (out.kept.size() >= kKeptBytesMax) write_kept();
}

Status flush_output() {
  write_kept();
  if (output().error == 0) return {};
  return missing(std::string("standard output: ") + system_error_text(output().error));
}

}  // namespace herd::commands
