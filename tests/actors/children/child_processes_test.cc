// Real programs (/bin/sh) as children of this one.

#include "actors/children/child_processes.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace herd::children {
namespace {

using std::chrono::milliseconds;

// What one child said, and how it ended.
struct Heard {
  std::vector<std::string> output, errors;
  std::optional<ChildEnd> end;
};

ChildSpec shell(const std::string& script) {
  ChildSpec spec;
  spec.argv = {"/bin/sh", "-c", script};
  spec.captures_stdout = true;
  return spec;
}

pid_t start(ChildProcesses& children, const ChildSpec& spec, Heard& heard) {
  const auto pid = children.start(
      spec,
      [&heard](std::string_view line, bool from_stderr) {
        EXPECT_FALSE(heard.end) << "a line after the end: " << line;
        (from_stderr ? heard.errors : heard.output).emplace_back(line);
      },
      [&heard](const ChildEnd& end) {
        EXPECT_FALSE(heard.end) << "it ended twice";
        heard.end = end;
      });
  EXPECT_TRUE(pid) << (pid ? "" : pid.error().message());
  return pid.value_or(0);
}

void poll_until_end(ChildProcesses& children, const Heard& heard) {
  while (!heard.end) children.poll(milliseconds(-1));
}

Heard run(const ChildSpec& spec) {
  ChildProcesses children;
  Heard heard;
  if (start(children, spec, heard) != 0) poll_until_end(children, heard);
  return heard;
}

using Lines = std::vector<std::string>;

TEST(ChildProcesses, TellEachLineThenTheEnd) {
  const Heard heard = run(shell("echo out 1; echo err 1 >&2; echo out 2; printf tail >&2; exit 3"));
  EXPECT_EQ(heard.output, (Lines{"out 1", "out 2"}));
  EXPECT_EQ(heard.errors, (Lines{"err 1", "tail"}));
  EXPECT_EQ(end_text(*heard.end), "exited with code 3");
  EXPECT_FALSE(ended_from_outside(*heard.end));
  EXPECT_EQ(heard.end->last_words, "err 1\ntail\n");
}

TEST(ChildProcesses, KnowWhoWasKilledAndWhoFellByItself) {
  const Heard killed = run(shell("kill -9 $$"));
  EXPECT_EQ(end_text(*killed.end), "killed by signal 9 (SIGKILL)");
  EXPECT_TRUE(ended_from_outside(*killed.end));
  const Heard fell = run(shell("kill -SEGV $$"));
  EXPECT_EQ(end_text(*fell.end), "killed by signal 11 (SIGSEGV)");
  EXPECT_FALSE(ended_from_outside(*fell.end));
}

TEST(ChildProcesses, KeepTheEndOfWhatOneWroteBeforeItDied) {
  const Heard heard = run(shell("i=0; while [ $i -lt 30000 ]; do echo line $i >&2; i=$((i+1)); done; kill -9 $$"));
  ASSERT_EQ(heard.errors.size(), 30'000U);
  EXPECT_TRUE(heard.end->last_words.starts_with("line "));
  EXPECT_TRUE(heard.end->last_words.ends_with("\nline 29999\n"));
  EXPECT_LE(heard.end->last_words.size(), 64U * 1024);
}

// Whoever holds the pipe of a child that has ended does not keep its end secret.
TEST(ChildProcesses, AGrandchildThatWritesOnDoesNotHideTheEnd) {
  const Heard heard = run(shell("sleep 60 & echo $!; exit 0"));
  ASSERT_EQ(heard.output.size(), 1U);
  EXPECT_EQ(end_text(*heard.end), "exited with code 0");
  ::kill(std::stoi(heard.output[0]), SIGKILL);
}

TEST(ChildProcesses, OneThatCannotBeStartedIsNamed) {
  ChildProcesses children;
  ChildSpec spec;
  spec.argv = {"/no/such/program"};
  const auto pid = children.start(spec, {}, {});
  ASSERT_FALSE(pid);
  EXPECT_EQ(pid.error(), missing("/no/such/program: cannot be started: No such file or directory"));
  EXPECT_EQ(children.running(), 0U);
}

TEST(ChildProcesses, ACpuThatIsNotOursIsRefused) {
  ChildProcesses children;
  ChildSpec spec = shell("exit 0");
  spec.cpus = {1023};
  const auto pid = children.start(spec, {}, {});
  ASSERT_FALSE(pid);
  EXPECT_EQ(pid.error(), missing("/bin/sh: cannot be started: the CPUs that it is to run on are not this process's: Invalid argument"));
}

// Ours have the very numbers that the child is to have, the other way round.
TEST(ChildProcesses, HaveTheDescriptorsTheyAreGivenAndNoOther) {
  int first[2], second[2];
  ASSERT_EQ(::pipe2(first, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(second, O_CLOEXEC), 0);
  constexpr int kFirst = 51, kSecond = 52, kLeft = 60;
  ASSERT_EQ(::dup2(first[1], kFirst), kFirst);
  ASSERT_EQ(::dup2(second[1], kSecond), kSecond);
  ASSERT_EQ(::dup2(first[1], kLeft), kLeft);  // without close-on-exec, as a careless library leaves them
  ChildSpec spec = shell("printf one > /proc/$$/fd/51; printf two > /proc/$$/fd/52; "
                         "for n in 3 4 5 6 7 8 50 53 60; do test -e /proc/$$/fd/$n && echo $n is open; done; read line; echo input: $line");
  spec.descriptors = {{kSecond, kFirst}, {kFirst, kSecond}};
  const Heard heard = run(spec);
  EXPECT_EQ(heard.output, Lines{"input:"});
  char text[4] = {};
  EXPECT_EQ(::read(first[0], text, 3), 3);
  EXPECT_STREQ(text, "two");
  EXPECT_EQ(::read(second[0], text, 3), 3);
  EXPECT_STREQ(text, "one");
  EXPECT_NE(::fcntl(kFirst, F_GETFD), -1) << "ours stay open";
  for (const int fd : {first[0], first[1], second[0], second[1], kFirst, kSecond, kLeft}) ::close(fd);
}

TEST(ChildProcesses, HaveDefaultSignalsWhateverOursAre) {
  sigset_t some, before;
  sigemptyset(&some);
  sigaddset(&some, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &some, &before);
  const auto handler = std::signal(SIGPIPE, SIG_IGN);
  const Heard heard = run(shell("grep -E '^Sig(Blk|Ign)' /proc/self/status"));
  std::signal(SIGPIPE, handler);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(heard.output, (Lines{"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"}));
}

TEST(ChildProcesses, HaveOurEnvironmentAndTheirs) {
  ::setenv("HERD_TEST_OURS", "ours", 1);
  ::setenv("HERD_TEST_BOTH", "ours", 1);
  ChildSpec spec = shell("echo $HERD_TEST_OURS $HERD_TEST_BOTH; env | grep -c '^HERD_TEST_BOTH='");
  spec.environment = {{"HERD_TEST_BOTH", "first"}, {"HERD_TEST_BOTH", "theirs"}};
  EXPECT_EQ(run(spec).output, (Lines{"ours theirs", "1"}));
}

TEST(ChildProcesses, AreNotToldWhatAServiceManagerSaysToUs) {
  const auto names = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};
  for (const char* name : names) ::setenv(name, "ours", 1);
  const Heard heard = run(shell("env | grep -cE '^(NOTIFY|WATCHDOG|LISTEN)_'"));
  for (const char* name : names) ::unsetenv(name);
  EXPECT_EQ(heard.output, Lines{"0"});
}

TEST(ChildProcesses, RunOnTheCpusTheyAreGiven) {
  cpu_set_t ours;
  ASSERT_EQ(::sched_getaffinity(0, sizeof ours, &ours), 0);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) last = CPU_ISSET(cpu, &ours) ? cpu : last;
  ChildSpec spec = shell("grep Cpus_allowed_list /proc/self/status");
  spec.cpus = {last};
  EXPECT_EQ(run(spec).output, Lines{"Cpus_allowed_list:\t" + std::to_string(last)});
}

TEST(ChildProcesses, GoFirstWhenMemoryIsShort) {
  int ours = 0;
  std::ifstream("/proc/self/oom_score_adj") >> ours;
  ChildSpec spec = shell("cat /proc/self/oom_score_adj");
  spec.oom_score = 300;
  EXPECT_EQ(run(spec).output, Lines{std::to_string(std::min(1000, ours + 300))});
}

TEST(ChildProcesses, AreInAGroupOfTheirOwnWhenAsked) {
  const std::string script = "test $(cut -d' ' -f5 /proc/$$/stat) = $$ && echo own || echo ours";
  ChildSpec spec = shell(script);
  EXPECT_EQ(run(spec).output, Lines{"ours"});
  spec.own_group = true;
  EXPECT_EQ(run(spec).output, Lines{"own"});
}

TEST(ChildProcesses, ReachNobodyWhoHasEnded) {
  ChildProcesses children;
  Heard heard;
  const pid_t pid = start(children, shell("trap 'echo told; exit 7' TERM; echo ready; while :; do sleep 0.01; done"), heard);
  while (heard.output.empty()) children.poll(milliseconds(-1));
  EXPECT_EQ(children.running(), 1U);
  children.signal(pid, SIGTERM);
  poll_until_end(children, heard);
  EXPECT_EQ(heard.output, (Lines{"ready", "told"}));
  EXPECT_EQ(end_text(*heard.end), "exited with code 7");
  EXPECT_EQ(children.running(), 0U);
  children.signal(pid, SIGTERM);  // nobody's by now
}

TEST(ChildProcesses, AreStartedAgainFromWithinTheWordOfTheirEnd) {
  ChildProcesses children;
  int ends = 0;
  std::function<void(const ChildEnd&)> again = [&](const ChildEnd&) {
    if (++ends < 3) {
      EXPECT_TRUE(children.start(shell("exit 1"), {}, again));
    }
  };
  ASSERT_TRUE(children.start(shell("exit 1"), {}, again));
  while (children.running() > 0) children.poll(milliseconds(-1));
  EXPECT_EQ(ends, 3);
}

TEST(ChildProcesses, OneThatWritesWithoutEndKeepsNoOtherWaiting) {
  ChildProcesses children;
  Heard flood, other;
  start(children, shell("yes"), flood);
  start(children, shell("echo here"), other);
  poll_until_end(children, other);
  EXPECT_EQ(other.output, Lines{"here"});
  EXPECT_FALSE(flood.end);
}

TEST(ChildProcesses, WakeEndsAWaitWithoutEnd) {
  ChildProcesses children;
  std::thread waker([&children] { children.wake(); });
  children.poll(milliseconds(-1));
  waker.join();
}

// fork() beside threads that hold the allocator's locks: a child that allocates before exec hangs sooner or later.
TEST(ChildProcesses, StartBesideThreadsThatAllocate) {
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&over] {
      while (!over) std::vector<std::string>(64, std::string(100, 'x')).clear();
    });
  ChildProcesses children;
  int ended = 0;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(children.start(shell("exit 0"), {}, [&ended](const ChildEnd&) { ++ended; }));
  while (children.running() > 0) children.poll(milliseconds(-1));
  over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, 100);
}

// Whether a process has ended or ends, whoever waits for it.
void wait_for_death(pid_t pid) {
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) return;  // nothing is left of it
  pollfd waiting{pidfd, POLLIN, 0};
  while (::poll(&waiting, 1, -1) != 1) {}
  ::close(pidfd);
}

TEST(ChildProcesses, EndWithTheirOwner) {
  Heard heard;
  pid_t pid;
  {
    ChildProcesses children;
    pid = start(children, shell("trap '' TERM; sleep 1000"), heard);
  }
  EXPECT_EQ(::kill(pid, 0), -1) << "it was waited for";
}

TEST(ChildProcesses, DieWithTheProcessThatStartedThemHoweverItDies) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    ChildProcesses children;
    const auto child = children.start(shell("sleep 1000"), {}, {});
    const pid_t pid = child.value_or(0);
    (void)!::write(ends[1], &pid, sizeof pid);
    for (;;) ::pause();
  }
  pid_t child = 0;
  ASSERT_EQ(::read(ends[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  ASSERT_GT(child, 0);
  ASSERT_EQ(::kill(child, 0), 0);
  ::kill(parent, SIGKILL);
  ASSERT_EQ(::waitpid(parent, nullptr, 0), parent);
  wait_for_death(child);
  for (const int fd : ends) ::close(fd);
}

TEST(OwnProgram, IsWhatRunsHere) {
  ChildSpec spec;
  spec.argv = {own_program(), "--gtest_list_tests", "--gtest_filter=OwnProgram.*"};
  spec.captures_stdout = true;
  const Heard heard = run(spec);
  EXPECT_EQ(heard.output, (Lines{"Running main() from ./googletest/src/gtest_main.cc", "OwnProgram.", "  IsWhatRunsHere"}));
}

}  // namespace
}  // namespace herd::children
