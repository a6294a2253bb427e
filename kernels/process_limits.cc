#include "kernels/process_limits.h"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>
#include <vector>

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>

namespace herd {
namespace {

// "Max address space  6144000000  unlimited  bytes": the first number after the name.
std::optional<std::uint64_t> limit_of(const std::string& root, const std::string& name) {
  std::ifstream file(root + "/proc/self/limits");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    std::istringstream words(line.substr(name.size()));
    std::uint64_t value = 0;
    if (words >> value) return value;
  }
  return std::nullopt;
}

// "VmSize:   412000 kB"
std::uint64_t use_of(const std::string& root, const std::string& name) {
  std::ifstream file(root + "/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    std::istringstream words(line.substr(name.size()));
    std::uint64_t kibibytes = 0;
    if (words >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

const char* const kThreadLimits =
    "; the limit is that of the user (ulimit -u), of the container (its pids limit) or of address space (ulimit -v): "
    "raise it, or lower --threads";

}  // namespace

Status with_memory_advice(Status refused) {
  if (refused.code() != StatusCode::kMissing) return refused;
  return missing(refused.message() + "; " + kLowerMemoryUse +
                 ", or raise the limit (a container's memory, ulimit -v)");
}

Status no_thread(const std::system_error& refused) {
  return missing(std::string("a thread cannot be started: ") + refused.code().message() + kThreadLimits);
}

std::string file_limit_advice(int error) {
  if (error == EMFILE) return "; raise this process's limit of open files (ulimit -n)";
  if (error == ENFILE) return "; raise this machine's limit of open files (fs.file-max)";
  return "";
}

std::string system_error_text(int error) { return std::system_category().message(error) + file_limit_advice(error); }

Status probe_threads(int count) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(count));
  std::string refused;
  try {
    for (int i = 0; i < count; ++i)
      threads.emplace_back([&] {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return done; });
      });
  } catch (const std::system_error& error) {
    refused = error.code().message();
  }
  {
    const std::scoped_lock lock(mutex);
    done = true;
  }
  changed.notify_all();
  for (std::thread& thread : threads) thread.join();
  if (refused.empty()) return {};
  return missing("only " + std::to_string(threads.size()) + " of " + std::to_string(count) +
                 " threads can be started: " + refused + kThreadLimits);
}

std::optional<std::uint64_t> address_space_left(const std::string& root) {
  std::optional<std::uint64_t> left;
  const struct {
    const char* limit;
    const char* use;
  } kinds[] = {{"Max address space", "VmSize:"}, {"Max data size", "VmData:"}};
  for (const auto& kind : kinds) {
    const auto limit = limit_of(root, kind.limit);
    if (!limit) continue;
    const std::uint64_t use = use_of(root, kind.use);
    left = std::min(left.value_or(*limit), *limit - std::min(*limit, use));
  }
  return left;
}

std::uint64_t thread_stack_bytes() {
  std::size_t bytes = 0;
  pthread_attr_t attributes;
  if (pthread_getattr_default_np(&attributes) != 0) return std::uint64_t{8} << 20;
  if (pthread_attr_getstacksize(&attributes, &bytes) != 0) bytes = std::size_t{8} << 20;
  pthread_attr_destroy(&attributes);
  return bytes;
}

void share_malloc_arenas() {
  if (address_space_left()) ::mallopt(M_ARENA_MAX, 1);
}

std::size_t file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;  // the least that systems set
  return static_cast<std::size_t>(limit.rlim_cur);
}

std::size_t connections_within(std::size_t wanted, std::size_t file_limit) {
  constexpr std::size_t kKept = 1024;
  return std::max<std::size_t>(1, std::min(wanted, file_limit - std::min(kKept, file_limit / 2)));
}

void limit_core_files(bool allowed) {
  // The kernel writes no file of one byte, and takes this limit alone as a word to programs that collect core files: they get none. With
  // 0 they would.
  constexpr rlim_t kNone = 1;
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0) return;
  if (!allowed) {
    const rlimit none{kNone, kNone};
    if (::setrlimit(RLIMIT_CORE, &none) == 0) return;  // from a hard limit of 0 only with the right to raise it
  }
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_CORE, &limit);
}

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace herd
