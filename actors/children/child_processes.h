#pragma once
// ChildProcesses: programs that this process starts, watches and ends. One thread uses it, and lives as long as the process: a
// child dies with the thread that started it (PR_SET_PDEATHSIG), so with this process. No CAF.
//
// A child is started by fork and exec: every descriptor but the ones it is given is closed, its standard input is empty, its signal
// mask and handlers are the default ones, and it is in a process group of its own when asked.

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "actors/children/child_spec.h"
#include "kernels/status.h"

namespace herd::children {

// How a process ended, as its parent sees it.
struct ChildEnd {
  bool by_signal = false;
  int code = 0;           // exit code, or the signal's number
  std::string last_words;  // the end of what it wrote on stderr: at most 64 KiB, whole lines
};
// "exited with code 3", "killed by signal 9 (SIGKILL)".
[[nodiscard]] std::string end_text(const ChildEnd& end);
// Whether somebody or something from outside ended it (SIGKILL, SIGTERM, SIGINT, SIGHUP), rather than what it did itself.
[[nodiscard]] bool ended_from_outside(const ChildEnd& end);

class ChildProcesses {
 public:
  // Both are called within poll(). `line` without its line feed, at most 16 KiB of it.
  using OnLine = std::function<void(std::string_view line, bool from_stderr)>;
  using OnEnd = std::function<void(const ChildEnd& end)>;  // once, after its last line

  ChildProcesses();   // std::system_error: no descriptor is left
  ~ChildProcesses();  // kills those that are left, and waits for them
  ChildProcesses(const ChildProcesses&) = delete;
  ChildProcesses& operator=(const ChildProcesses&) = delete;

  // kMissing: it cannot be started (not there, no memory, no descriptors); the message names the program.
  [[nodiscard]] Expected<pid_t> start(const ChildSpec& spec, OnLine on_line, OnEnd on_end);
  // Of one that has not ended: never a stranger that got its number meanwhile (pidfd).
  void signal(pid_t child, int number);
  [[nodiscard]] std::size_t running() const;

  // Waits until something happens to a child, wake() is called or `timeout` passes (negative: forever); then tells. Callbacks may
  // start and signal children.
  void poll(std::chrono::milliseconds timeout);
  // From any thread or signal handler: poll() returns.
  void wake();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A path that starts the very program that runs here, also when its file was replaced meanwhile: ask anew before each start.
[[nodiscard]] std::string own_program();

}  // namespace herd::children
