#pragma once
// What this process may use of the machine: CPUs (affinity mask, cgroup quota), memory (available, cgroup limit),
// instruction sets. usable_cpus() itself is declared in device.h.

#include <cstdint>
#include <optional>
#include <string>

namespace herd {

// CPUs worth of time granted by cgroup v1 (cpu.cfs_quota_us / cpu.cfs_period_us) or v2 (cpu.max): the lowest from
// this process's group up to the root; none when unlimited. `root` is "" outside tests.
std::optional<double> cgroup_cpu_quota(const std::string& root);
// Bytes this process's groups may still take: limit minus use, page cache that can be dropped not counted as use.
std::optional<std::uint64_t> cgroup_memory_left(const std::string& root);
// MemAvailable of /proc/meminfo, lowered to cgroup_memory_left (committable_bytes) and address_space_left.
std::uint64_t available_memory_bytes(const std::string& root = "");

struct CpuFeatures {
  bool avx2 = false;    // all that *_avx2.cc is compiled for: avx2, fma, f16c; usable: the OS saves the registers
  bool avx512 = false;  // these and avx512f, bw, dq, vl
  bool avx512_vnni = false;  // these and avx512_vnni
  bool avx512_bf16 = false;  // these and avx512_bf16
  // What no kernel of a device needs; for what this CPU could do (kernels/bounds).
  bool avx_vnni = false;     // avx2 and the 32-byte vpdpbusd
  bool amx_bf16 = false;     // tiles and their products; a process has to ask the kernel before it uses them
  bool amx_int8 = false;
  std::string missing_for_avx2;         // "fma, f16c"; empty when avx2
  std::string missing_for_avx512;       // empty when avx512
  std::string missing_for_avx512_vnni;  // empty when avx512_vnni
  std::string missing_for_avx512_bf16;  // empty when avx512_bf16
};
CpuFeatures cpu_features();

}  // namespace herd
