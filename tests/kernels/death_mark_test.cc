#include "kernels/death_mark.h"

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace herd {
namespace {

struct Death {
  int signal = 0;              // that ended the process; 0: none did
  std::uint64_t sequence = 0;  // of its mark
};

// `body` in a process of its own, whose mark this one reads.
Death death_of(const std::function<void()>& body) {
  void* const memory = ::mmap(nullptr, sizeof(DeathMark), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* const mark = new (memory) DeathMark;
  const pid_t child = ::fork();
  if (child == 0) {
    mark_deaths(std::shared_ptr<DeathMark>(mark, [](DeathMark*) {}));
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  const Death death{WIFSIGNALED(status) ? WTERMSIG(status) : 0, mark->sequence()};
  ::munmap(memory, sizeof(DeathMark));
  return death;
}

constexpr std::array<std::uint64_t, 3> kIds = {11, 12, 13};

TEST(DeathMark, NamesTheSequenceOfTheThreadThatDied) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) {
    const Death death = death_of([&] {
      const StepSequences sequences(kIds);
      const WorkMark beside(0);
      std::thread([&] {
        const WorkMark mine(2);
        std::raise(signal);
      }).join();
    });
    EXPECT_EQ(death.signal, signal) << "it ends as it would have";
    EXPECT_EQ(death.sequence, 13U) << signal;
  }
}

TEST(DeathMark, NamesNobodyWhereAllAreWorkedOn) {
  const Death death = death_of([] {
    const StepSequences sequences(kIds);
    { const WorkMark over(1); }
    std::abort();
  });
  EXPECT_EQ(death.signal, SIGABRT);
  EXPECT_EQ(death.sequence, 0U);
}

TEST(DeathMark, NamesTheOnlySequenceOfAStepWhateverIsComputed) {
  const Death death = death_of([] {
    const StepSequences sequences(std::span<const std::uint64_t>(kIds).first(1));
    std::abort();
  });
  EXPECT_EQ(death.sequence, 11U);
}

TEST(DeathMark, NamesNobodyOutsideOfAStep) {
  const Death death = death_of([] {
    { const StepSequences sequences(kIds); }
    const WorkMark late(1);
    std::abort();
  });
  EXPECT_EQ(death.sequence, 0U);
}

TEST(DeathMark, AKillLeavesNone) {
  const Death death = death_of([] {
    const StepSequences sequences(kIds);
    const WorkMark mine(1);
    std::raise(SIGKILL);
  });
  EXPECT_EQ(death.signal, SIGKILL);
  EXPECT_EQ(death.sequence, 0U);
}

}  // namespace
}  // namespace herd
