// Limits of threads and of address space, in a child process that takes them on itself.

#include "kernels/process_limits.h"

#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "kernels/commit_memory.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/device.h"

namespace herd {
namespace {

// What the child wrote, or how it ended.
std::string in_child(const std::function<std::string()>& body) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string text = body();
    (void)!::write(ends[1], text.data(), text.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string text(4096, '\0');
  const ssize_t size = ::read(ends[0], text.data(), text.size());
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? text : "signal " + std::to_string(WTERMSIG(status));
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kLimitsHold = false;  // the shadow takes more address space than any limit
#else
constexpr bool kLimitsHold = true;
#endif

// Room for two more stacks or so: a limit that holds for root, too.
void leave_room_for_two_threads() {
  const std::uint64_t unlimited = address_space_left().value_or(std::uint64_t{1} << 40);
  rlimit limit{std::uint64_t{1} << 40, std::uint64_t{1} << 40};
  (void)::setrlimit(RLIMIT_AS, &limit);
  const std::uint64_t used = (std::uint64_t{1} << 40) - address_space_left().value_or(unlimited);
  limit = {used + 2 * thread_stack_bytes() + (std::uint64_t{2} << 20), std::uint64_t{1} << 40};
  (void)::setrlimit(RLIMIT_AS, &limit);
}

TEST(ProcessLimits, ThreadsThatCanBeHadLeaveNothingBehind) {
  EXPECT_TRUE(probe_threads(0).ok());
  for (int round = 0; round < 3; ++round) EXPECT_TRUE(probe_threads(20).ok());
}

TEST(ProcessLimits, RefusedThreadsAreAStatusThatNamesTheLimits) {
  if (!kLimitsHold) GTEST_SKIP() << "address space cannot be limited under sanitizers";
  const std::string message = in_child([] {
    leave_room_for_two_threads();
    const Status status = probe_threads(64);
    return std::string(status.code() == StatusCode::kMissing ? "missing " : "other ") + status.message();
  });
  EXPECT_EQ(message.find("missing only "), 0U) << message;
  for (const char* part : {" of 64 threads", "ulimit -u", "pids limit", "--threads"})
    EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(ProcessLimits, ADeviceWhoseThreadsAreRefusedIsAnErrorWithoutAThreadLeftBehind) {
  if (!kLimitsHold) GTEST_SKIP() << "address space cannot be limited under sanitizers";
  const std::string message = in_child([] {
    leave_room_for_two_threads();
    const auto device = make_cpu_device({CpuIsa::kReference, 64});
    return device ? std::string("made") : device.error().message();
  });
  EXPECT_NE(message.find("thread"), std::string::npos) << message;
  EXPECT_NE(message.find("ulimit -u"), std::string::npos) << message;
}

TEST(ProcessLimits, TheTighterOfBothLimitsCounts) {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("herd_process_limits_" + std::to_string(::getpid()));
  fs::create_directories(root / "proc/self");
  const auto write = [&](const char* name, const std::string& text) { std::ofstream(root / "proc" / name) << text; };
  write("meminfo", "MemAvailable:    1000000 kB\n");
  write("self/status", "VmPeak:\t     900 kB\nVmSize:\t     300 kB\nVmData:\t     100 kB\n");
  EXPECT_FALSE(address_space_left(root.string()));
  write("self/limits", "Max data size             unlimited            unlimited            bytes\n"
                       "Max address space         unlimited            unlimited            bytes\n");
  EXPECT_FALSE(address_space_left(root.string()));
  EXPECT_EQ(available_memory_bytes(root.string()), 1000000U * 1024);
  write("self/limits", "Max data size             unlimited            unlimited            bytes\n"
                       "Max address space         1024000              unlimited            bytes\n");
  EXPECT_EQ(address_space_left(root.string()), 700U * 1024);
  EXPECT_EQ(available_memory_bytes(root.string()), 700U * 1024);
  EXPECT_EQ(committable_bytes(root.string()), 1000000U * 1024) << "what is allocated has its address space";
  write("self/cgroup", "0::/\n");
  fs::create_directories(root / "sys/fs/cgroup");
  std::ofstream(root / "sys/fs/cgroup/memory.max") << 300 * 1024;
  std::ofstream(root / "sys/fs/cgroup/memory.current") << 100 * 1024;
  EXPECT_EQ(committable_bytes(root.string()), 200U * 1024);
  fs::remove_all(root / "sys");
  write("self/limits", "Max data size             512000               unlimited            bytes\n"
                       "Max address space         1024000              unlimited            bytes\n");
  EXPECT_EQ(address_space_left(root.string()), 400U * 1024);
  write("self/limits", "Max address space         2048                 unlimited            bytes\n");
  EXPECT_EQ(address_space_left(root.string()), 0U);
  fs::remove_all(root);
}

TEST(ProcessLimits, FilesAreRaisedToTheHardLimit) {
  const std::string limits = in_child([] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 10;
    limit.rlim_max = 20;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    raise_file_limit();
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return std::to_string(limit.rlim_cur) + " of " + std::to_string(limit.rlim_max);
  });
  EXPECT_EQ(limits, "20 of 20");
}

TEST(ProcessLimits, ClientsLeaveFilesForEverythingElse) {
  EXPECT_EQ(connections_within(12'000, 1 << 20), 12'000U);
  EXPECT_EQ(connections_within(12'000, 12'500), 11'476U);
  EXPECT_EQ(connections_within(12'000, 600), 300U) << "half of few";
  EXPECT_EQ(connections_within(100, 600), 100U);
  EXPECT_EQ(connections_within(100, 1), 1U);
  EXPECT_EQ(connections_within(100, 0), 1U);
  const std::string limit = in_child([] {
    const rlimit files{.rlim_cur = 20, .rlim_max = 20};
    ::setrlimit(RLIMIT_NOFILE, &files);
    return std::to_string(file_limit());
  });
  EXPECT_EQ(limit, "20");
}

// One byte: too short for any core file, and what the kernel takes as "none" for programs that collect them.
TEST(ProcessLimits, CoreFilesAreWrittenOnlyWhereTheyAreAllowed) {
  rlimit own{};
  ASSERT_EQ(::getrlimit(RLIMIT_CORE, &own), 0);
  if (own.rlim_max < 1 << 20) GTEST_SKIP() << "the hard limit of core files here is below what is tried";
  const auto limits = [](bool allowed, rlim_t hard) {
    return in_child([=] {
      rlimit limit{.rlim_cur = 0, .rlim_max = hard};
      ::setrlimit(RLIMIT_CORE, &limit);
      limit_core_files(allowed);
      ::getrlimit(RLIMIT_CORE, &limit);
      return std::to_string(limit.rlim_cur) + " of " + std::to_string(limit.rlim_max);
    });
  };
  EXPECT_EQ(limits(false, 1 << 20), "1 of 1") << "nor may a child raise it";
  const std::string raised = in_child([] {
    const rlimit none{}, one{.rlim_cur = 1, .rlim_max = 1};
    ::setrlimit(RLIMIT_CORE, &none);
    return std::string(::setrlimit(RLIMIT_CORE, &one) == 0 ? "1 of 1" : "0 of 0");
  });
  EXPECT_EQ(limits(false, 0), raised) << "whoever may raise it does, by that byte";
  EXPECT_EQ(limits(true, 1 << 20), "1048576 of 1048576");
}

TEST(SystemErrorText, SaysHowALimitOfFilesIsRaised) {
  EXPECT_EQ(system_error_text(EMFILE), "Too many open files; raise this process's limit of open files (ulimit -n)");
  EXPECT_EQ(system_error_text(ENFILE), "Too many open files in system; raise this machine's limit of open files (fs.file-max)");
  EXPECT_EQ(system_error_text(ENOENT), "No such file or directory");
}

TEST(MemoryAdvice, IsGivenWithARefusalOfMemoryOnly) {
  const Status advised = with_memory_advice(missing("KV cache: no room"));
  EXPECT_EQ(advised.code(), StatusCode::kMissing);
  EXPECT_EQ(advised.message(), std::string("KV cache: no room; ") + kLowerMemoryUse +
                                   ", or raise the limit (a container's memory, ulimit -v)");
  const Status other = bad_input("not a model");
  EXPECT_EQ(with_memory_advice(other), other);
  EXPECT_TRUE(with_memory_advice({}).ok());
}

}  // namespace
}  // namespace herd
