#pragma once
// Fibers: stacks that an OS thread switches between in a few instructions. x86-64 (System V). Known to AddressSanitizer
// and ThreadSanitizer. A fiber never leaves the OS thread that made it.

#include <cstddef>

namespace herd::emulator {

struct Fiber {
  void* stack_pointer = nullptr;
  char* stack = nullptr;  // lowest byte
  std::size_t stack_bytes = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
  void* shadow = nullptr;      // ThreadSanitizer's
};

// The stack that the calling OS thread runs on.
Fiber this_thread_as_fiber();

// Fibers with stacks of their own, a page that faults below each; unmapped with the object. Ends the process when there
// is no memory for them.
class FiberStacks {
 public:
  FiberStacks() = default;
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;
  ~FiberStacks();
  Fiber make();

 private:
  struct Chunk;
  Chunk* chunks_ = nullptr;
  std::size_t made_ = 0;
};

// `entry` runs when the fiber is switched to first. It begins with fiber_entered and never returns: its last act is
// leave_fiber. May be called again once the fiber has ended. Functions that never return for that reason are
// HERD_FIBER_END: ThreadSanitizer must not count them as entered, over and over.
#define HERD_FIBER_END __attribute__((noinline, no_sanitize("thread")))
void start_fiber(Fiber& fiber, void (*entry)());
void fiber_entered();
void switch_fiber(Fiber& from, Fiber& to);
[[noreturn]] HERD_FIBER_END void leave_fiber(Fiber& from, Fiber& to);  // `from` has ended

}  // namespace herd::emulator
