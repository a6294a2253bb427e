#include "commands/up/signal_watch.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string>
#include <utility>

#include "kernels/process_limits.h"

namespace herd::up {

Expected<std::unique_ptr<SignalWatch>> SignalWatch::start(std::function<void()> on_stop) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // one that is ignored never comes
  std::signal(SIGPIPE, SIG_IGN);
  std::unique_ptr<SignalWatch> watch(new SignalWatch(std::move(on_stop)));
  watch->signals_ = ::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  watch->end_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (watch->signals_ < 0 || watch->end_ < 0)
    return fail(missing("descriptors to wait for signals with: " + system_error_text(errno)));
  watch->thread_ = std::thread([raw = watch.get()] { raw->watch(); });
  return watch;
}

SignalWatch::~SignalWatch() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    (void)!::write(end_, &one, sizeof one);
    thread_.join();
  }
  if (signals_ >= 0) ::close(signals_);
  if (end_ >= 0) ::close(end_);
}

void SignalWatch::watch() {
  for (;;) {
    pollfd waiting[] = {{signals_, POLLIN, 0}, {end_, POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0 && errno != EINTR) return;
    if (waiting[1].revents != 0) return;
    signalfd_siginfo info;
    while (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) on_stop_();
  }
}

}  // namespace herd::up
