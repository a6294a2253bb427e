#pragma once
// Ranks on the CPUs of this process: threads that share its memory. The weights are read once, every replica uses them, and
// the ranks of a replica share one embedding.

#include <functional>
#include <memory>

#include "actors/ranks/rank_site.h"
#include "kernels/device.h"

namespace herd::actors {

// Makes a rank's device, on the rank's own thread.
using MakeCpuDevice = std::function<Expected<std::unique_ptr<Device>>(const CpuDeviceConfig&)>;

struct CpuSiteOptions {
  CpuIsa isa = CpuIsa::kAuto;
  int threads = 0;           // that compute, of all ranks together; 0: what this process may use
  int nice = 0;              // of those threads, [0, 19]; see kernels/device.h
  int process_threads = 1;   // of this process at the most: their stacks take address space
  MakeCpuDevice make_device = make_cpu_device;
};

[[nodiscard]] std::shared_ptr<RankSite> site_on_cpus(CpuSiteOptions options, RankCounts counts,
                                                     RankHooks hooks = {});

}  // namespace herd::actors
