#pragma once
// Device: memory, a stream of operations and its end. Everything a rank computes on goes through one Device.
// On a CPU operations run when they are enqueued, on the device's resident thread pool; a GPU returns at once.

#include <cstddef>
#include <memory>
#include <string>

#include "kernels/ops.h"
#include "kernels/status.h"

namespace herd {

// Memory of a device: 64-byte aligned (huge pages where it pays), zero-filled, freed with the handle.
class DeviceBuffer {
 public:
  virtual ~DeviceBuffer() = default;
  [[nodiscard]] virtual void* data() const = 0;
  [[nodiscard]] virtual std::size_t bytes() const = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  [[nodiscard]] virtual std::string description() const = 0;  // "cpu avx512, 2 threads"
  [[nodiscard]] virtual Ops& ops() = 0;
  // kMissing when there is not that much memory: the message says how much was asked for what.
  [[nodiscard]] virtual Expected<std::unique_ptr<DeviceBuffer>> allocate(std::size_t bytes, const char* what) = 0;
  [[nodiscard]] virtual std::size_t free_bytes() const = 0;
  virtual Status wait() = 0;  // until all enqueued operations are done; a device error surfaces here
};

enum class CpuIsa { kAuto, kReference, kAvx2, kAvx512 };

struct CpuDeviceConfig {
  CpuIsa isa = CpuIsa::kAuto;  // kAuto: the best this CPU has
  int threads = 0;             // 0: the CPUs of the affinity mask, lowered to the cgroup quota
  int nice = 0;                // [0, 19]: of the device's own threads, see lower_thread_priority
};

// kUsage when the ISA is forced and this CPU lacks it (says which flag is missing), or a number is out of range.
Expected<std::unique_ptr<Device>> make_cpu_device(const CpuDeviceConfig& config);
// CPUs this process may use: affinity mask, then cgroup v1/v2 quota rounded up; at least 1.
int usable_cpus();
// Niceness of the calling thread alone (on Linux every thread has its own; new ones inherit it), in [0, 19]. A thread
// that is nicer already stays as it is: going back takes a privilege. For computing threads beside threads that answer
// clients on the same CPUs.
void lower_thread_priority(int nice);
// Round to nearest even, DAZ and FTZ on this thread (rule 2). Kernel threads do it themselves; tests that call
// reference code on their own thread call it first.
void set_kernel_float_mode();

}  // namespace herd
