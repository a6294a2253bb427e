#pragma once
// The door to GPUs. The CUDA backend (kernels/cuda) is a shared object of its own, libherd_cuda.so, loaded when a GPU is
// asked for: herd itself needs neither CUDA nor a driver to start. Both sides carry a build id over the headers they
// share; a library of another build is refused.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/collective.h"
#include "kernels/device.h"
#include "kernels/progress.h"
#include "kernels/status.h"

namespace herd {

struct GpuInfo {
  int index = 0;
  std::string name;              // "NVIDIA H200"
  int major = 0, minor = 0;      // compute capability
  int multiprocessors = 0;
  std::size_t total_bytes = 0;
  std::size_t free_bytes = 0;
};

enum class GpuMatmul {
  kOrdered,   // one order of addition for every batch: the class's bits
  kCublasLt,  // the vendor's library, as a yardstick; NOT repeatable over batches
};

struct GpuDeviceConfig {
  int gpu = 0;
  int rank = 0;                  // named in errors
  GpuMatmul matmul = GpuMatmul::kOrdered;
  bool graphs = true;            // record steps and repeat them (StepRecorder::run_step)
  std::shared_ptr<ProgressWord> progress{};  // of the rank that computes on the device; may be null
};

// What this GPU can do at most, measured: the bounds beside which its figures stand.
struct GpuRates {
  double read_gb_per_s = 0;      // 10^9 bytes, reading a buffer many times the L2
  double bf16_tflop_per_s = 0;   // 8192^3 product of random bf16 by cuBLASLt; 0 where it is not installed
  double ordered_tflop_per_s = 0;  // the same product by herd's own kernels
};

// Names one group of ranks to its members (NCCL's unique id).
struct GpuGroupId {
  unsigned char bytes[128] = {};
};

// How a rank joins its group.
struct GroupJoin {
  int rank = 0;
  int size = 1;
  std::int64_t join_ms = 60'000;      // how long the others are waited for
  std::int64_t deadline_ms = 60'000;  // of every collective
  std::function<Status()> given_up;   // asked while others join: not ok ends that; may be empty
};

class GpuBackend {
 public:
  virtual ~GpuBackend() = default;
  // kMissing: no driver, a driver too old, no GPU; the message says which.
  [[nodiscard]] virtual Expected<std::vector<GpuInfo>> devices() = 0;
  // A stream of its own on one GPU. Memory of one Device may be used by others of the same GPU. Used by one thread.
  // kMissing: no such GPU, or one older than compute capability 8.0.
  [[nodiscard]] virtual Expected<std::unique_ptr<Device>> make_device(const GpuDeviceConfig& config) = 0;
  // A group over NCCL: one new_group for all, then every rank joins from its own thread, all within join_ms.
  // The Collective enqueues on `device`'s stream (made by this backend, outliving it).
  [[nodiscard]] virtual Expected<GpuGroupId> new_group() = 0;
  [[nodiscard]] virtual Expected<std::unique_ptr<Collective>> join_group(const GpuGroupId& id, const GroupJoin& join,
                                                                         Device& device) = 0;
  [[nodiscard]] virtual Expected<GpuRates> measure(int gpu) = 0;
};

// Loads the backend once per process. Looked for: $HERD_CUDA_LIBRARY, beside the executable, ../lib/herd/.
// kMissing: this build has none, or it cannot be loaded (the message says where it was looked for and what is missing),
// or its build id differs.
[[nodiscard]] Expected<GpuBackend*> load_gpu_backend();

// What the library exports: extern "C".
//   const char* herd_gpu_build_id()            the id of its build, to be compared before anything else
//   herd::GpuBackend* herd_gpu_backend()       one for the process, never freed
inline constexpr const char* kGpuBuildIdSymbol = "herd_gpu_build_id";
inline constexpr const char* kGpuBackendSymbol = "herd_gpu_backend";

}  // namespace herd
