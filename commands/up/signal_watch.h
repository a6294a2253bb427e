#pragma once
// SignalWatch: SIGTERM, SIGINT and SIGHUP (the terminal is gone) as calls, on a thread of its own. Before any other thread is
// started: the signals are blocked in all that are started later. Programs that are started have default signals all the same
// (actors/children).

#include <functional>
#include <memory>
#include <thread>

#include "kernels/status.h"

namespace herd::up {

class SignalWatch {
 public:
  // `on_stop` must not wait. A SIGHUP that was ignored when this program was started (nohup) stays so. kMissing: descriptors.
  static Expected<std::unique_ptr<SignalWatch>> start(std::function<void()> on_stop);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  explicit SignalWatch(std::function<void()> on_stop) : on_stop_(std::move(on_stop)) {}
  void watch();

  const std::function<void()> on_stop_;
  int signals_ = -1;  // signalfd
  int end_ = -1;      // eventfd
  std::thread thread_;
};

}  // namespace herd::up
