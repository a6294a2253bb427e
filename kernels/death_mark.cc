#include "kernels/death_mark.h"

#include <csignal>
#include <cstddef>
#include <utility>

#include "kernels/check.h"

namespace herd {
namespace {

constexpr std::int32_t kNone = -1;

// What the handler reads: nothing else is allowed in one.
constinit thread_local std::int32_t working_on = kNone;
constinit std::atomic<const std::uint64_t*> step_ids{nullptr};
constinit std::atomic<std::size_t> step_ids_size{0};
constinit std::atomic<DeathMark*> left_in{nullptr};

// The default action follows: the signal is blocked until this returns, and its handler is gone.
void on_fatal_signal(int signal) {
  const std::uint64_t* const ids = step_ids.load(std::memory_order_acquire);
  const std::size_t size = step_ids_size.load(std::memory_order_relaxed);
  if (ids != nullptr) {
    const std::size_t number = size == 1 ? 0 : static_cast<std::size_t>(working_on);  // of kNone: beyond all
    if (number < size) left_in.load(std::memory_order_relaxed)->leave(ids[number]);
  }
  std::raise(signal);
}

}  // namespace

WorkMark::WorkMark(std::int32_t number) { working_on = number; }
WorkMark::~WorkMark() { working_on = kNone; }

StepSequences::StepSequences(std::span<const std::uint64_t> ids) {
  if (left_in.load(std::memory_order_relaxed) == nullptr) return;
  step_ids_size.store(ids.size(), std::memory_order_relaxed);
  step_ids.store(ids.data(), std::memory_order_release);
}

StepSequences::~StepSequences() { step_ids.store(nullptr, std::memory_order_relaxed); }

void mark_deaths(std::shared_ptr<DeathMark> mark) {
  static std::shared_ptr<DeathMark> kept;  // as long as the process
  HERD_CHECK(kept == nullptr, "a process leaves one mark");
  kept = std::move(mark);
  left_in.store(kept.get());
  struct sigaction action {};
  action.sa_handler = on_fatal_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) sigaction(signal, &action, nullptr);
}

}  // namespace herd
