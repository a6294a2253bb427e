#pragma once
// Device: memory, a stream of operations and its end. Everything a rank computes on goes through one Device.
// On a CPU operations run when they are enqueued, on the device's resident thread pool; a GPU returns at once.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernels/ops.h"
#include "kernels/progress.h"
#include "kernels/status.h"

namespace herd {

class RowPacker;
class RowSampler;
class Staging;
class StepRecorder;

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
  // The class of arithmetic (docs/numerics.md): equal ones give equal bits. "cpu-2", "sm90-2".
  [[nodiscard]] virtual std::string numerics_class() const { return "cpu-2"; }
  // Whether the host may read and write the device's memory through its pointers.
  [[nodiscard]] virtual bool host_memory() const { return true; }
  [[nodiscard]] virtual Ops& ops() = 0;
  // kMissing when there is not that much memory: the message says how much was asked for what.
  [[nodiscard]] virtual Expected<std::unique_ptr<DeviceBuffer>> allocate(std::size_t bytes, const char* what) = 0;
  [[nodiscard]] virtual std::size_t free_bytes() const = 0;
  virtual Status wait() = 0;  // until all enqueued operations are done; a device error surfaces here
  [[nodiscard]] virtual Status status() const { return {}; }  // the first error so far, without waiting

  // Copies between host and device memory, in order with operations; return when the host side is free again or
  // filled. A device error surfaces at the next wait.
  virtual void upload(void* device, const void* host, std::size_t bytes);
  virtual void download(void* host, const void* device, std::size_t bytes);

  // Where the operations of this device say what begins; null when nobody was to be told. Who drives the device writes there
  // too (shard_executor.h), on the same thread.
  [[nodiscard]] virtual ProgressWord* progress() { return nullptr; }

  // What only some devices can do, in a header of its own each (row_packer.h, row_sampler.h, staging.h, step_recorder.h); null
  // where this one cannot. One that computes while the host goes on has the last three. They live as long as the device.
  [[nodiscard]] virtual RowPacker* row_packer() { return nullptr; }
  [[nodiscard]] virtual RowSampler* row_sampler() { return nullptr; }
  [[nodiscard]] virtual Staging* staging() { return nullptr; }
  [[nodiscard]] virtual StepRecorder* step_recorder() { return nullptr; }
};

enum class CpuIsa { kAuto, kReference, kAvx2, kAvx512, kAvx512Vnni, kAvx512Bf16 };

struct CpuDeviceConfig {
  CpuIsa isa = CpuIsa::kAuto;  // kAuto: the fastest this CPU has
  int threads = 0;             // 0: the CPUs of the affinity mask, lowered to the cgroup quota
  int nice = 0;                // [0, 19]: of the device's own threads, see lower_thread_priority
  std::shared_ptr<ProgressWord> progress{};  // of the rank that computes on the device; may be null
};

// kUsage when the ISA is forced and this CPU lacks it (says which flag is missing) or computes other bits with it, or a
// number is out of range.
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
