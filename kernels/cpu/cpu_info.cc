#include "kernels/cpu/cpu_info.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <fstream>
#include <sstream>
#include <vector>

#include <sched.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <xmmintrin.h>
#endif

#include "kernels/commit_memory.h"
#include "kernels/device.h"
#include "kernels/process_limits.h"

namespace herd {
namespace {

std::optional<std::string> read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> split(const std::string& text, char border) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, border);) parts.push_back(part);
  return parts;
}

// The whole number at the start of `text` (after blanks); none for "max", "-1" and anything else.
std::optional<std::uint64_t> parse_count(const std::string& text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\n"), text.size());
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data() + begin, text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr == text.data() + begin) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> read_count(const std::string& path) {
  const auto text = read_file(path);
  return text ? parse_count(*text) : std::nullopt;
}

// The value of `key` in a file of "key value" lines, such as memory.stat.
std::optional<std::uint64_t> read_keyed_count(const std::string& path, const std::string& key) {
  const auto text = read_file(path);
  if (!text) return std::nullopt;
  for (const std::string& line : split(*text, '\n')) {
    if (line.starts_with(key) && line.size() > key.size() &&
        std::isspace(static_cast<unsigned char>(line[key.size()]))) {
      return parse_count(line.substr(key.size()));
    }
  }
  return std::nullopt;
}

// Folders of this process's group and its parents, for one controller; version 2 when `controller` is empty.
// /proc/self/cgroup has lines "id:controller,controller:/path". A container often sees its own group as the root,
// under a path that does not exist inside: the root of the mount is always in the list.
std::vector<std::string> group_folders(const std::string& root, const std::string& controller) {
  std::vector<std::string> folders;
  const auto groups = read_file(root + "/proc/self/cgroup");
  for (const std::string& line : split(groups.value_or(""), '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::vector<std::string> names = split(line.substr(first + 1, second - first - 1), ',');
    const bool mine = controller.empty() ? names.empty() : std::ranges::find(names, controller) != names.end();
    if (!mine) continue;
    for (std::string path = line.substr(second + 1); path.size() > 1; path.resize(path.rfind('/'))) {
      if (path.front() != '/') break;
      folders.push_back(path);
    }
  }
  folders.emplace_back();
  const std::string mount = root + "/sys/fs/cgroup" + (controller.empty() ? "" : "/" + controller);
  for (std::string& folder : folders) folder.insert(0, mount);
  return folders;
}

template <class T>
void lower(std::optional<T>& lowest, T value) {
  lowest = lowest ? std::min(*lowest, value) : value;
}

void lower_memory(std::optional<std::uint64_t>& left, const std::string& folder, const char* limit_file,
                  const char* use_file, const char* cache_prefix) {
  const auto limit = read_count(folder + "/" + limit_file);
  const auto use = read_count(folder + "/" + use_file);
  if (!limit || !use) return;
  // The cache of files counts as used and is given up when it is needed, also what was read twice, as weights are.
  std::uint64_t cache = 0;
  for (const char* key : {"inactive_file", "active_file"})
    cache += read_keyed_count(folder + "/memory.stat", std::string(cache_prefix) + key).value_or(0);
  lower(left, *limit - std::min(*limit, *use - std::min(*use, cache)));
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const std::string& root) {
  std::optional<double> cpus;
  for (const std::string& folder : group_folders(root, "")) {
    const auto text = read_file(folder + "/cpu.max");  // "QUOTA PERIOD" in microseconds, or "max PERIOD"
    if (!text) continue;
    const std::vector<std::string> words = split(*text, ' ');
    const auto quota = parse_count(words.empty() ? "" : words[0]);
    const auto period = parse_count(words.size() < 2 ? "100000" : words[1]);
    if (quota && period && *quota > 0 && *period > 0) {
      lower(cpus, static_cast<double>(*quota) / static_cast<double>(*period));
    }
  }
  for (const std::string& folder : group_folders(root, "cpu")) {
    const auto quota = read_count(folder + "/cpu.cfs_quota_us");  // -1: no limit
    const auto period = read_count(folder + "/cpu.cfs_period_us");
    if (quota && period && *quota > 0 && *period > 0) {
      lower(cpus, static_cast<double>(*quota) / static_cast<double>(*period));
    }
  }
  return cpus;
}

std::optional<std::uint64_t> cgroup_memory_left(const std::string& root) {
  std::optional<std::uint64_t> left;
  for (const std::string& folder : group_folders(root, "")) {
    lower_memory(left, folder, "memory.max", "memory.current", "");
  }
  for (const std::string& folder : group_folders(root, "memory")) {
    lower_memory(left, folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_");
  }
  return left;
}

std::uint64_t committable_bytes(const std::string& root) {
  const std::uint64_t available = read_keyed_count(root + "/proc/meminfo", "MemAvailable:").value_or(0) * 1024;
  return std::min(available, cgroup_memory_left(root).value_or(available));
}

std::uint64_t available_memory_bytes(const std::string& root) {
  const std::uint64_t committable = committable_bytes(root);
  return std::min(committable, address_space_left(root).value_or(committable));
}

int usable_cpus() {
  int cpus = 1;
  cpu_set_t small;
  if (sched_getaffinity(0, sizeof(small), &small) == 0) {
    cpus = CPU_COUNT(&small);
  } else {  // more CPUs than cpu_set_t holds
    constexpr int kCpusMax = 1 << 16;
    cpu_set_t* large = CPU_ALLOC(kCpusMax);
    const std::size_t bytes = CPU_ALLOC_SIZE(kCpusMax);
    if (large != nullptr && sched_getaffinity(0, bytes, large) == 0) cpus = CPU_COUNT_S(bytes, large);
    CPU_FREE(large);
  }
  if (const auto quota = cgroup_cpu_quota("")) cpus = std::min(cpus, static_cast<int>(std::ceil(*quota)));
  return std::max(cpus, 1);
}

void set_kernel_float_mode() {
#if defined(__x86_64__)
  constexpr unsigned kFlushToZero = 0x8000U;
  constexpr unsigned kDenormalsAreZero = 0x0040U;
  constexpr unsigned kRounding = 0x6000U;  // 0: to nearest even
  const unsigned mode = _mm_getcsr();
  const unsigned wanted = (mode & ~kRounding) | kFlushToZero | kDenormalsAreZero;
  if (mode != wanted) _mm_setcsr(wanted);
#elif defined(__aarch64__)
  std::uint64_t mode = 0;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  mode = (mode & ~(std::uint64_t{3} << 22)) | (std::uint64_t{1} << 24);  // RNE; FZ flushes inputs and results
  asm volatile("msr fpcr, %0" ::"r"(mode));
#endif
}

namespace {

#if defined(__x86_64__)
// GCC 12 does not know the names of these. Tiles count when the OS saves their registers (XCR0 bits 17 and 18).
void find_later_features(CpuFeatures& features) {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0) features.avx_vnni = features.avx2 && (eax & (1U << 4)) != 0;
  const bool osxsave = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_OSXSAVE) != 0;
  if (!osxsave || __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return;
  const bool bf16 = (edx & (1U << 22)) != 0;
  const bool tile = (edx & (1U << 24)) != 0;
  const bool int8 = (edx & (1U << 25)) != 0;
  unsigned low = 0;
  unsigned high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const bool saved = tile && ((low >> 17) & 3U) == 3U;
  features.amx_bf16 = saved && bf16;
  features.amx_int8 = saved && int8;
}
#endif

}  // namespace

CpuFeatures cpu_features() {
  CpuFeatures features;
#if defined(__x86_64__)
  // GCC's check looks at XCR0 too: a set whose registers the OS does not save counts as absent.
  __builtin_cpu_init();
  const auto need = [](std::string& missing, bool present, const char* name) {
    if (!present) missing += (missing.empty() ? "" : ", ") + std::string(name);
  };
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  const bool avx = __builtin_cpu_supports("avx") != 0;
  const bool f16c = avx && __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
  need(features.missing_for_avx2, __builtin_cpu_supports("avx2") != 0, "avx2");
  need(features.missing_for_avx2, __builtin_cpu_supports("fma") != 0, "fma");
  need(features.missing_for_avx2, f16c, "f16c");
  features.missing_for_avx512 = features.missing_for_avx2;
  need(features.missing_for_avx512, __builtin_cpu_supports("avx512f") != 0, "avx512f");
  need(features.missing_for_avx512, __builtin_cpu_supports("avx512bw") != 0, "avx512bw");
  need(features.missing_for_avx512, __builtin_cpu_supports("avx512dq") != 0, "avx512dq");
  need(features.missing_for_avx512, __builtin_cpu_supports("avx512vl") != 0, "avx512vl");
  features.missing_for_avx512_vnni = features.missing_for_avx512;
  need(features.missing_for_avx512_vnni, __builtin_cpu_supports("avx512vnni") != 0, "avx512_vnni");
  features.missing_for_avx512_bf16 = features.missing_for_avx512_vnni;
  need(features.missing_for_avx512_bf16, __builtin_cpu_supports("avx512bf16") != 0, "avx512_bf16");
  features.avx2 = features.missing_for_avx2.empty();
  features.avx512 = features.missing_for_avx512.empty();
  features.avx512_vnni = features.missing_for_avx512_vnni.empty();
  features.avx512_bf16 = features.missing_for_avx512_bf16.empty();
  find_later_features(features);
#else
  features.missing_for_avx2 = "x86-64";
  features.missing_for_avx512 = "x86-64";
  features.missing_for_avx512_vnni = "x86-64";
  features.missing_for_avx512_bf16 = "x86-64";
#endif
  return features;
}

}  // namespace herd
