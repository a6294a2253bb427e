#pragma once
// StopGuard: takes the signals of a server on a thread of its own, which waits for nothing else, and ends the process when what
// has to end does not. The main thread hears from it what came; whatever that one is busy with, the plan (stop_plan.h) is kept.
//
// The signals are blocked in every thread from the construction on, so that only the guard takes them. A program that this process
// starts inherits that mask, and could not be stopped by them: whoever spawns one sets an empty mask in the child before exec
// (POSIX_SPAWN_SETSIGMASK). Descriptors need no such care: all that the process keeps open are close-on-exec.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "commands/stop_plan.h"
#include "kernels/status.h"
#include "runtime/clock.h"

namespace herd::commands {

inline constexpr std::chrono::milliseconds kLogFlush{200};  // how long last words of a log may take

class StopGuard {
 public:
  // `last_words` is called on the guard's thread before it ends the process, and must not wait for long. kMissing: descriptors.
  static Expected<std::unique_ptr<StopGuard>> start(double drain_s, std::function<void()> last_words);
  ~StopGuard();
  StopGuard(const StopGuard&) = delete;
  StopGuard& operator=(const StopGuard&) = delete;

  enum class Event : std::uint8_t {
    kNothing,  // the time came
    kReload,   // SIGHUP
    kStop,     // SIGTERM or SIGINT; from then on every time
    kWoken,    // wake()
  };
  // The main thread: the next event. Those that came together are told one after the other.
  [[nodiscard]] Event wait_until(Instant time);
  // Any thread.
  void wake();
  // What open requests get once a signal comes, from now on.
  void set_drain(double drain_s);
  // Nothing can be served any more: the process is to end, soon.
  void on_fault();
  [[nodiscard]] bool told() const;
  // Told to stop, and open requests still have time to finish.
  [[nodiscard]] bool drains() const;
  // What it ends by itself, it must have ended by then. Told to stop, or after on_fault().
  [[nodiscard]] Instant last_resort() const;
  // Everything has ended as it should: what is left is memory to give back. A process that is ended over that says nothing.
  void ended(int exit_code);

 private:
  StopGuard(double drain_s, std::function<void()> last_words) : last_words_(std::move(last_words)), plan_(drain_s) {}
  void watch();
  void take_signals();
  void poke() const;

  const std::function<void()> last_words_;
  int signals_ = -1;  // signalfd
  int poke_ = -1;     // eventfd: the plan has changed, or the guard goes
  mutable std::mutex mutex_;  // of the below
  std::condition_variable happened_;
  StopPlan plan_;
  bool reload_ = false;
  bool woken_ = false;
  bool gone_ = false;
  int exit_code_ = 1;
  bool silent_ = false;
  std::thread thread_;
};

}  // namespace herd::commands
