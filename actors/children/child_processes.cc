#include "actors/children/child_processes.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "actors/children/output_lines.h"
#include "actors/children/spawned_child.h"
#include "kernels/check.h"

namespace herd::children {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;            // of a stream in one poll(): no child keeps the others waiting
constexpr std::size_t kLastReadsBytesMax = 1024 * 1024;  // of a child that has ended; a grandchild may write on
constexpr const char* kOwnProgram = "/proc/self/exe";

// A stream that is captured.
struct Stream {
  int fd = -1;  // -1: not captured, or at its end
  OutputLines lines;
};

struct Child {
  pid_t pid = 0;
  int pidfd = -1;
  Stream output, errors;
  ChildProcesses::OnLine on_line;
  ChildProcesses::OnEnd on_end;
};

void close_stream(Stream& stream) {
  if (stream.fd >= 0) ::close(stream.fd);
  stream.fd = -1;
}

void tell(const Child& child, const std::vector<std::string>& lines, bool from_stderr) {
  if (!child.on_line) return;
  for (const std::string& line : lines) child.on_line(line, from_stderr);
}

// One read. False: there was nothing (more).
bool read_some(const Child& child, Stream& stream, bool from_stderr) {
  if (stream.fd < 0) return false;
  std::array<char, kReadBytes> buffer;
  ssize_t size;
  do {
    size = ::read(stream.fd, buffer.data(), buffer.size());
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) return false;
  if (size <= 0) {
    close_stream(stream);
    return false;
  }
  tell(child, stream.lines.add({buffer.data(), static_cast<std::size_t>(size)}), from_stderr);
  return true;
}

// What a child that has ended left in its pipe.
void read_rest(const Child& child, Stream& stream, bool from_stderr) {
  for (std::size_t bytes = 0; bytes < kLastReadsBytesMax && read_some(child, stream, from_stderr); bytes += kReadBytes) {}
  close_stream(stream);
  tell(child, stream.lines.finish(), from_stderr);
}

ChildEnd wait_for_end(pid_t pid) {
  int status = 0;
  pid_t waited;
  do {
    waited = ::waitpid(pid, &status, 0);
  } while (waited < 0 && errno == EINTR);
  HERD_CHECK(waited == pid, "somebody else waited for a child");
  if (WIFSIGNALED(status)) return {true, WTERMSIG(status), {}};
  return {false, WEXITSTATUS(status), {}};
}

int poll_timeout(std::chrono::milliseconds timeout) {
  return timeout.count() < 0 ? -1 : static_cast<int>(std::min<std::int64_t>(timeout.count(), INT_MAX));
}

}  // namespace

struct ChildProcesses::Impl {
  std::map<pid_t, std::unique_ptr<Child>> children;
  int waker = -1;

  void read_streams(pid_t pid);
  void end_child(pid_t pid);
};

ChildProcesses::ChildProcesses() : impl_(std::make_unique<Impl>()) {
  // A program that was started with SIGCHLD ignored would never hear how its children ended.
  struct sigaction now {};
  if (::sigaction(SIGCHLD, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) std::signal(SIGCHLD, SIG_DFL);
  impl_->waker = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (impl_->waker < 0) throw std::system_error(errno, std::system_category(), "a descriptor to be woken by");
}

ChildProcesses::~ChildProcesses() {
  for (auto& [pid, child] : impl_->children) signal(pid, SIGKILL);
  for (auto& [pid, child] : impl_->children) {
    (void)wait_for_end(pid);
    ::close(child->pidfd);
    close_stream(child->output);
    close_stream(child->errors);
  }
  ::close(impl_->waker);
}

Expected<pid_t> ChildProcesses::start(const ChildSpec& spec, OnLine on_line, OnEnd on_end) {
  const auto spawned = spawn_child(spec);
  if (!spawned) return fail(spawned.error());
  auto child = std::make_unique<Child>();
  child->pid = spawned->pid;
  child->pidfd = spawned->pidfd;
  child->output.fd = spawned->output;
  child->errors.fd = spawned->errors;
  child->on_line = std::move(on_line);
  child->on_end = std::move(on_end);
  impl_->children.emplace(spawned->pid, std::move(child));
  return spawned->pid;
}

void ChildProcesses::signal(pid_t child, int number) {
  const auto found = impl_->children.find(child);
  if (found != impl_->children.end()) (void)::syscall(SYS_pidfd_send_signal, found->second->pidfd, number, nullptr, 0);
}

std::size_t ChildProcesses::running() const { return impl_->children.size(); }

void ChildProcesses::poll(std::chrono::milliseconds timeout) {
  std::vector<pollfd> waiting{{impl_->waker, POLLIN, 0}};
  std::vector<std::pair<pid_t, bool>> whose{{0, false}};  // (child, whether the descriptor is its pidfd)
  for (const auto& [pid, child] : impl_->children) {
    for (const int fd : {child->output.fd, child->errors.fd, child->pidfd}) {
      if (fd < 0) continue;
      waiting.push_back({fd, POLLIN, 0});
      whose.emplace_back(pid, fd == child->pidfd);
    }
  }
  if (::poll(waiting.data(), waiting.size(), poll_timeout(timeout)) <= 0) return;
  std::uint64_t wakes = 0;
  (void)!::read(impl_->waker, &wakes, sizeof wakes);
  for (std::size_t i = 1; i < waiting.size(); ++i) {
    if (waiting[i].revents == 0) continue;
    if (whose[i].second) impl_->end_child(whose[i].first);
    else impl_->read_streams(whose[i].first);
  }
}

void ChildProcesses::wake() {
  const int before = errno;  // of what a signal handler interrupts
  const std::uint64_t one = 1;
  (void)!::write(impl_->waker, &one, sizeof one);
  errno = before;
}

void ChildProcesses::Impl::read_streams(pid_t pid) {
  const auto found = children.find(pid);
  if (found == children.end()) return;
  Child& child = *found->second;
  (void)read_some(child, child.output, false);
  (void)read_some(child, child.errors, true);
}

void ChildProcesses::Impl::end_child(pid_t pid) {
  const auto found = children.find(pid);
  if (found == children.end()) return;
  // Whoever is told of a line or the end must not find it any more: its number is free from the wait on.
  const std::unique_ptr<Child> child = std::move(found->second);
  children.erase(found);
  ChildEnd end = wait_for_end(pid);
  ::close(child->pidfd);
  read_rest(*child, child->output, false);
  read_rest(*child, child->errors, true);
  end.last_words = child->errors.lines.last_words();
  if (child->on_end) child->on_end(end);
}

std::string end_text(const ChildEnd& end) {
  if (!end.by_signal) return "exited with code " + std::to_string(end.code);
  const char* name = ::sigabbrev_np(end.code);
  return "killed by signal " + std::to_string(end.code) + (name != nullptr ? std::string(" (SIG") + name + ")" : std::string());
}

bool ended_from_outside(const ChildEnd& end) {
  return end.by_signal && (end.code == SIGKILL || end.code == SIGTERM || end.code == SIGINT || end.code == SIGHUP);
}

std::string own_program() {
  std::array<char, PATH_MAX> path{};
  const ssize_t size = ::readlink(kOwnProgram, path.data(), path.size() - 1);
  struct stat named {}, running {};
  const bool same = size > 0 && ::stat(path.data(), &named) == 0 && ::stat(kOwnProgram, &running) == 0 &&
                    named.st_dev == running.st_dev && named.st_ino == running.st_ino;
  return same ? std::string(path.data()) : std::string(kOwnProgram);
}

}  // namespace herd::children
