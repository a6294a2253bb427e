#include "actors/children/spawned_child.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/process_limits.h"

namespace herd::children {
namespace {

constexpr int kInput = 0, kOutput = 1, kErrors = 2;  // the standard descriptors
constexpr int kOomScoreMax = 1000;
constexpr int kDescriptorsWithoutCloseRange = 65536;  // looked at where the kernel has no close_range (before Linux 5.11)

// A descriptor that is closed when a start fails half way.
class HeldFd {
 public:
  explicit HeldFd(int fd = -1) : fd_(fd) {}
  ~HeldFd() { reset(); }
  HeldFd(const HeldFd&) = delete;
  HeldFd& operator=(const HeldFd&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

struct Pipe {
  HeldFd reads, writes;
  [[nodiscard]] bool open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    reads.reset(ends[0]);
    writes.reset(ends[1]);
    return true;
  }
};

// What the child tells its parent when it does not come as far as exec.
struct Failure {
  enum Step : int { kParentGone, kDescriptors, kCpus, kProgram };
  int step = kProgram;
  int cause = 0;  // errno
};

// All that the child needs between fork and exec, made before it.
struct Orders {
  std::vector<char*> argv, environment;    // each ends with nullptr
  std::vector<std::pair<int, int>> moves;  // (number in the child, ours), rising
  std::vector<int> copies;                 // room for a copy of each of ours, beyond all numbers of the child
  cpu_set_t cpus;
  bool has_cpus = false;
  std::array<char, 16> oom_score{};
  int oom_bytes = 0;  // 0: it stays as it is
  bool own_group = false;
  pid_t parent = 0;
  int complaints = -1;  // the pipe that a Failure goes to
};

// What a service manager says to this process alone: a child that believed it would speak, or take sockets, in our name.
constexpr std::array<std::string_view, 6> kOursAlone{"NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=",
                                                     "LISTEN_FDS=",    "LISTEN_PID=",    "LISTEN_FDNAMES="};

std::vector<std::string> environment_of(const ChildSpec& spec) {
  std::vector<std::string> all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (std::ranges::none_of(kOursAlone, [text](std::string_view begin) { return text.starts_with(begin); })) all.emplace_back(text);
  }
  for (const auto& [name, value] : spec.environment) {
    const std::string begin = name + "=";
    std::erase_if(all, [&begin](const std::string& entry) { return entry.starts_with(begin); });
    all.push_back(begin + value);
  }
  return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

int own_oom_score() {
  int score = 0;
  std::ifstream("/proc/self/oom_score_adj") >> score;
  return score;
}

// The highest number that the child is to have.
int last_number(const Orders& orders) { return orders.moves.empty() ? kErrors : std::max(kErrors, orders.moves.back().first); }

// ---- In the child: nothing but what a signal handler may call. ----

[[noreturn]] void give_up(int complaints, Failure::Step step) {
  const Failure failure{step, errno};
  (void)!::write(complaints, &failure, sizeof failure);
  ::_exit(127);
}

void default_signals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) (void)::sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool close_at_exec(unsigned first, unsigned last) {
  if (first > last || ::syscall(SYS_close_range, first, last, CLOSE_RANGE_CLOEXEC) == 0) return true;
  if (errno != ENOSYS && errno != EINVAL) return false;
  const int end = static_cast<int>(std::min<unsigned>(last, kDescriptorsWithoutCloseRange));
  for (int fd = static_cast<int>(first); fd <= end; ++fd) (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return true;
}

// Each of ours to its number; everything else closes at exec. Ours may have a number that another one is to get: all are copied out
// of the way before any takes its place. Returns the copy of `complaints`; -1: no descriptors.
int arrange_descriptors(Orders& orders) {
  const int beyond = last_number(orders) + 1;
  const int complaints = ::fcntl(orders.complaints, F_DUPFD_CLOEXEC, beyond);
  if (complaints < 0) return -1;
  for (std::size_t i = 0; i < orders.moves.size(); ++i) {
    orders.copies[i] = ::fcntl(orders.moves[i].second, F_DUPFD_CLOEXEC, beyond);
    if (orders.copies[i] < 0) give_up(complaints, Failure::kDescriptors);
  }
  unsigned first = kErrors + 1;
  for (std::size_t i = 0; i < orders.moves.size(); ++i) {
    const int number = orders.moves[i].first;
    if (::dup2(orders.copies[i], number) < 0) give_up(complaints, Failure::kDescriptors);
    if (number <= kErrors) continue;
    if (!close_at_exec(first, static_cast<unsigned>(number) - 1)) give_up(complaints, Failure::kDescriptors);
    first = static_cast<unsigned>(number) + 1;
  }
  if (!close_at_exec(first, ~0U)) give_up(complaints, Failure::kDescriptors);
  return complaints;
}

void raise_oom_score(const Orders& orders) {
  if (orders.oom_bytes == 0) return;
  const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;  // not every machine lets it: then the kernel chooses by size alone
  (void)!::write(file, orders.oom_score.data(), static_cast<std::size_t>(orders.oom_bytes));
  (void)::close(file);
}

[[noreturn]] void become_program(Orders& orders) {
  default_signals();
  const int complaints = arrange_descriptors(orders);
  if (complaints < 0) give_up(orders.complaints, Failure::kDescriptors);
  // The parent may have died before the death signal was asked for; then there is another parent by now.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != orders.parent) give_up(complaints, Failure::kParentGone);
  if (orders.own_group) (void)::setpgid(0, 0);
  raise_oom_score(orders);
  if (orders.has_cpus && ::sched_setaffinity(0, sizeof orders.cpus, &orders.cpus) != 0) give_up(complaints, Failure::kCpus);
  ::execve(orders.argv[0], orders.argv.data(), orders.environment.data());
  give_up(complaints, Failure::kProgram);
}

// ---- In the parent again. ----

pid_t forked(Orders& orders) {
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // a handler of ours must not run in the child
  const pid_t pid = ::fork();
  if (pid == 0) become_program(orders);
  const int cause = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = cause;
  return pid;
}

std::string failure_text(const Failure& failure) {
  const std::string cause = system_error_text(failure.cause);
  switch (failure.step) {
    case Failure::kParentGone: return "it was orphaned before it ran";
    case Failure::kDescriptors: return "its descriptors: " + cause;
    case Failure::kCpus: return "the CPUs that it is to run on are not this process's: " + cause;
    default: return cause;
  }
}

Status cannot_start(const ChildSpec& spec, const std::string& why) { return missing(spec.argv[0] + ": cannot be started: " + why); }
tl::unexpected<Status> no_descriptors(const ChildSpec& spec) {
  return fail(cannot_start(spec, "no descriptors: " + system_error_text(errno)));
}

// Whether the program runs; the pipe closes at exec.
Status outcome(const ChildSpec& spec, int complaints) {
  Failure failure;
  ssize_t size;
  do {
    size = ::read(complaints, &failure, sizeof failure);
  } while (size < 0 && errno == EINTR);
  return size == static_cast<ssize_t>(sizeof failure) ? cannot_start(spec, failure_text(failure)) : Status{};
}

void fill_orders(const ChildSpec& spec, Orders& orders) {
  std::ranges::sort(orders.moves);
  orders.copies.resize(orders.moves.size());
  CPU_ZERO(&orders.cpus);
  for (const int cpu : spec.cpus) CPU_SET(cpu, &orders.cpus);
  orders.has_cpus = !spec.cpus.empty();
  if (spec.oom_score > 0)
    orders.oom_bytes = std::snprintf(orders.oom_score.data(), orders.oom_score.size(), "%d",
                                     std::min(kOomScoreMax, own_oom_score() + spec.oom_score));
  orders.own_group = spec.own_group;
  orders.parent = ::getpid();
}

void end_at_once(pid_t pid) {
  (void)::kill(pid, SIGKILL);
  (void)::waitpid(pid, nullptr, 0);
}

void never_wait(int fd) { (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

Expected<SpawnedChild> spawn_child(const ChildSpec& spec) {
  HERD_CHECK(!spec.argv.empty(), "a child without a program");
  std::vector<std::string> argv = spec.argv, environment = environment_of(spec);
  Orders orders;
  orders.argv = pointers_to(argv);
  orders.environment = pointers_to(environment);
  Pipe output, errors, complaints;
  const HeldFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (nothing.get() < 0 || (spec.captures_stdout && !output.open()) || (spec.captures_stderr && !errors.open()) || !complaints.open())
    return no_descriptors(spec);
  orders.moves.emplace_back(kInput, nothing.get());
  if (spec.captures_stdout) orders.moves.emplace_back(kOutput, output.writes.get());
  if (spec.captures_stderr) orders.moves.emplace_back(kErrors, errors.writes.get());
  for (const auto& [number, ours] : spec.descriptors) {
    HERD_CHECK(number > kErrors, "a child is given one of its standard descriptors");
    orders.moves.emplace_back(number, ours);
  }
  orders.complaints = complaints.writes.get();
  fill_orders(spec, orders);

  const pid_t pid = forked(orders);
  if (pid < 0) return fail(cannot_start(spec, system_error_text(errno)));
  complaints.writes.reset();
  if (Status status = outcome(spec, complaints.reads.get()); !status.ok()) {
    (void)::waitpid(pid, nullptr, 0);
    return fail(std::move(status));
  }
  // Nobody has waited for it yet, so the number is still its own.
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    const auto refusal = no_descriptors(spec);
    end_at_once(pid);
    return refusal;
  }
  for (const int fd : {output.reads.get(), errors.reads.get()})
    if (fd >= 0) never_wait(fd);
  return SpawnedChild{pid, pidfd, output.reads.release(), errors.reads.release()};
}

}  // namespace herd::children
