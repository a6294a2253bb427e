#include "commands/stop_guard.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "kernels/check.h"
#include "kernels/process_limits.h"
#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

sigset_t own_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

int milliseconds_until(Instant time) {
  const double left_ms = seconds_between(steady_now(), time) * 1e3 + 1;
  return static_cast<int>(std::clamp(left_ms, 0.0, 1e9));
}

}  // namespace

Expected<std::unique_ptr<StopGuard>> StopGuard::start(double drain_s, std::function<void()> last_words) {
  const sigset_t signals = own_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::unique_ptr<StopGuard> guard(new StopGuard(drain_s, std::move(last_words)));
  guard->signals_ = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  guard->poke_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (guard->signals_ < 0 || guard->poke_ < 0)
    return fail(missing("descriptors to wait for signals with: " + system_error_text(errno)));
  guard->thread_ = std::thread([raw = guard.get()] { raw->watch(); });
  return guard;
}

StopGuard::~StopGuard() {
  {
    const std::scoped_lock lock(mutex_);
    gone_ = true;
  }
  if (thread_.joinable()) {
    poke();
    thread_.join();
  }
  if (signals_ >= 0) ::close(signals_);
  if (poke_ >= 0) ::close(poke_);
}

StopGuard::Event StopGuard::wait_until(Instant time) {
  std::unique_lock lock(mutex_);
  constexpr std::int64_t kYears = std::int64_t{1} << 59;  // beside which the clock's own time fits
  const auto left = std::chrono::nanoseconds(std::clamp<std::int64_t>(time.ns - steady_now().ns, 0, kYears));
  happened_.wait_for(lock, left, [this] { return plan_.told() || reload_ || woken_; });
  if (plan_.told()) return Event::kStop;
  if (std::exchange(woken_, false)) return Event::kWoken;
  return std::exchange(reload_, false) ? Event::kReload : Event::kNothing;
}

void StopGuard::wake() {
  {
    const std::scoped_lock lock(mutex_);
    woken_ = true;
  }
  happened_.notify_all();
}

void StopGuard::set_drain(double drain_s) {
  const std::scoped_lock lock(mutex_);
  plan_.set_drain(drain_s);
}

void StopGuard::on_fault() {
  {
    const std::scoped_lock lock(mutex_);
    plan_.on_fault(steady_now());
  }
  poke();
}

bool StopGuard::told() const {
  const std::scoped_lock lock(mutex_);
  return plan_.told();
}

bool StopGuard::drains() const {
  const std::scoped_lock lock(mutex_);
  return plan_.told() && steady_now() < *plan_.ending_at();
}

Instant StopGuard::last_resort() const {
  const std::scoped_lock lock(mutex_);
  HERD_CHECK(plan_.told(), "a server that nobody told to stop has no end");
  return *plan_.last_resort();
}

void StopGuard::ended(int exit_code) {
  const std::scoped_lock lock(mutex_);
  exit_code_ = exit_code;
  silent_ = true;
}

void StopGuard::poke() const {
  const std::uint64_t one = 1;
  (void)!::write(poke_, &one, sizeof one);
}

void StopGuard::take_signals() {
  signalfd_siginfo info;
  while (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const std::scoped_lock lock(mutex_);
    if (info.ssi_signo == SIGHUP) {
      reload_ = true;
    } else {
      plan_.on_signal(steady_now());
    }
  }
  happened_.notify_all();
}

void StopGuard::watch() {
  for (;;) {
    std::optional<Instant> end;
    {
      const std::scoped_lock lock(mutex_);
      if (gone_) return;
      end = plan_.last_resort();
    }
    if (end && steady_now() >= *end) break;
    pollfd waiting[] = {{signals_, POLLIN, 0}, {poke_, POLLIN, 0}};
    (void)::poll(waiting, 2, end ? milliseconds_until(*end) : -1);
    std::uint64_t count = 0;
    (void)!::read(poke_, &count, sizeof count);
    take_signals();
  }
  const std::scoped_lock lock(mutex_);
  if (!silent_) last_words_();
  std::_Exit(exit_code_);
}

}  // namespace herd::commands
