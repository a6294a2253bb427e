#include "tests/kernels/cuda/emulator/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#if !defined(__x86_64__)
#error "the emulator switches stacks on x86-64 only"
#endif

// void herd_emulator_switch(void** save, void* load): keeps the registers that a call preserves on the old stack, takes
// them from the new one. The floating-point control words are the same in all fibers of a kernel.
extern "C" void herd_emulator_switch(void** save, void* load);
asm(R"(
.text
.hidden herd_emulator_switch
.globl herd_emulator_switch
.type herd_emulator_switch, @function
herd_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size herd_emulator_switch, .-herd_emulator_switch
)");

namespace herd::emulator {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kStackBytes = 256 * 1024;  // redzones make frames several times larger
#else
constexpr std::size_t kStackBytes = 128 * 1024;
#endif
constexpr std::size_t kGuardBytes = 4096;
constexpr std::size_t kSavedWords = 6;
// Stacks lie whole pages apart: each of a warp's begins in another part of the page, or all would fight for the same few
// lines of the L1 cache.
constexpr std::size_t kColours = 32, kColourBytes = 4096 / kColours;

[[noreturn]] void no_memory() {
  std::fputs("CUDA emulator: no memory for the stacks of a block's threads\n", stderr);
  std::abort();
}

}  // namespace

struct FiberStacks::Chunk {
  Chunk* next = nullptr;
  char* memory = nullptr;
  void* shadow = nullptr;
};

FiberStacks::~FiberStacks() {
  while (chunks_ != nullptr) {
    Chunk* chunk = chunks_;
    chunks_ = chunk->next;
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(chunk->shadow);
#endif
    ::munmap(chunk->memory, kGuardBytes + kStackBytes);
    delete chunk;
  }
}

Fiber FiberStacks::make() {
  void* memory = ::mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || ::mprotect(memory, kGuardBytes, PROT_NONE) != 0) no_memory();
  Fiber fiber;
  fiber.stack = static_cast<char*>(memory) + kGuardBytes;
  fiber.stack_bytes = kStackBytes - made_++ % kColours * kColourBytes;
#if defined(__SANITIZE_THREAD__)
  fiber.shadow = __tsan_create_fiber(0);
#endif
  chunks_ = new Chunk{chunks_, static_cast<char*>(memory), fiber.shadow};
  return fiber;
}

Fiber this_thread_as_fiber() {
  Fiber fiber;
  pthread_attr_t attributes;
  void* stack = nullptr;
  if (::pthread_getattr_np(::pthread_self(), &attributes) == 0) {
    ::pthread_attr_getstack(&attributes, &stack, &fiber.stack_bytes);
    ::pthread_attr_destroy(&attributes);
  }
  fiber.stack = static_cast<char*>(stack);
#if defined(__SANITIZE_THREAD__)
  fiber.shadow = __tsan_get_current_fiber();
#endif
  return fiber;
}

// From the top: an empty word for alignment (as after a call), the return address 0 where back traces end, the entry
// that the switch returns to, six registers.
void start_fiber(Fiber& fiber, void (*entry)()) {
  auto** top = reinterpret_cast<void**>(fiber.stack + fiber.stack_bytes);
  top[-1] = nullptr;
  top[-2] = reinterpret_cast<void*>(entry);
  for (std::size_t i = 0; i < kSavedWords; i++) top[-3 - static_cast<std::ptrdiff_t>(i)] = nullptr;
  fiber.stack_pointer = top - 2 - kSavedWords;
  fiber.fake_stack = nullptr;
}

void fiber_entered() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

void switch_fiber(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.shadow, 0);
#endif
  herd_emulator_switch(&from.stack_pointer, to.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void leave_fiber(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, to.stack, to.stack_bytes);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.shadow, 0);
#endif
  herd_emulator_switch(&from.stack_pointer, to.stack_pointer);
  std::abort();  // nobody switches to a fiber that has ended
}

}  // namespace herd::emulator
