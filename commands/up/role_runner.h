#pragma once
// RoleRunner: the shell around UpCore: starts processes, reads what they write, and has them end.

#include <atomic>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/children/child_processes.h"
#include "commands/up/up_core.h"
#include "runtime/clock.h"

namespace herd::up {

struct RoleRunnerConfig {
  std::vector<HostProcess> processes;
  UpConfig up;
  // What a process runs; asked before each start. What every one is given is added.
  std::function<children::ChildSpec(const HostProcess&)> spec_of;
  // A line of a process, or of `herd up` itself (an empty name).
  std::function<void(const std::string& name, std::string_view line)> on_line;
  // On the thread of run(), after ready().
  std::function<void()> on_ready;
  // Called at each turn of run(), which makes one by the time that `turn_due` says; may be empty.
  std::function<void()> on_turn;
  std::function<std::optional<Instant>()> turn_due;
};

class RoleRunner {
 public:
  explicit RoleRunner(RoleRunnerConfig config);

  // Runs until everything has ended; the exit code. Processes die with the thread that calls this.
  int run();
  // The cluster is ready: a process that refuses to start does not end the others from here on. Any thread.
  void ready();
  // SIGTERM or SIGINT came, once more each time. Any thread or signal handler.
  void stop();

 private:
  [[nodiscard]] std::optional<Instant> due() const;
  void take_wishes(UpEffects& effects);
  void carry_out(UpEffects effects);
  void carry_out_one(const StartProcess& start);
  void carry_out_one(const EndProcess& end);
  void carry_out_one(const Say& say) { config_.on_line({}, say.text); }
  void carry_out_one(const Over& over) { exit_code_ = over.exit_code; }
  void tell_core(std::size_t process, const ProcessEnd& end);

  const RoleRunnerConfig config_;
  UpCore core_;
  children::ChildProcesses children_;
  std::vector<pid_t> pids_;       // by process; 0: it does not run
  std::deque<UpEffect> waiting_;  // effects to be carried out
  std::optional<int> exit_code_;
  std::atomic<bool> ready_wish_{false};
  std::atomic<int> stop_wishes_{0};
};

}  // namespace herd::up
