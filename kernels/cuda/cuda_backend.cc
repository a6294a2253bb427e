// What libherd_cuda.so exports (kernels/gpu_backend.h): its build id and the GpuBackend.

#include <string>
#include <utility>

#include "kernels/cuda/cuda_device.h"
#include "kernels/cuda/cuda_rates.h"
#include "kernels/cuda/nccl_collective.h"
#include "kernels/gpu_backend.h"

namespace herd::cuda {
namespace {

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Why there are no GPUs, in words of what to do about it.
Status no_devices(cudaError_t error) {
  int driver = 0, runtime = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  if (cudaRuntimeGetVersion(&runtime) != cudaSuccess) runtime = 0;
  (void)cudaGetLastError();
  if (error == cudaErrorInsufficientDriver && driver == 0)
    return missing("no NVIDIA driver is installed (libcuda.so.1 was not found)");
  if (error == cudaErrorInsufficientDriver)
    return missing("the NVIDIA driver is too old: it knows CUDA " + version_text(driver) +
                   ", herd was built with CUDA " + version_text(runtime));
  if (error == cudaErrorNoDevice)
    return missing("the NVIDIA driver finds no GPU (or CUDA_VISIBLE_DEVICES hides it)");
  return missing("cudaGetDeviceCount: " + error_text(error));
}

class CudaBackend final : public GpuBackend {
 public:
  Expected<std::vector<GpuInfo>> devices() override {
    const auto count = count_devices();
    if (!count) return fail(count.error());
    std::vector<GpuInfo> infos;
    for (int gpu = 0; gpu < *count; gpu++) {
      auto info = describe(gpu);
      if (!info) return fail(info.error());
      infos.push_back(std::move(*info));
    }
    return infos;
  }

  Expected<std::unique_ptr<Device>> make_device(const GpuDeviceConfig& config) override {
    if (const auto count = count_devices(); !count) return fail(count.error());
    return CudaDevice::make(config);
  }

  Expected<GpuGroupId> new_group() override { return new_nccl_group(); }

  Expected<std::unique_ptr<Collective>> join_group(const GpuGroupId& id, const GroupJoin& join,
                                                   Device& device) override {
    return join_nccl_group(id, join, static_cast<CudaDevice&>(device));
  }

  Expected<GpuRates> measure(int gpu) override {
    if (const auto count = count_devices(); !count) return fail(count.error());
    return measure_rates(gpu);
  }

 private:
  // At least 1. Touches no GPU: a rank's process takes memory of its own one alone.
  static Expected<int> count_devices() {
    int count = 0;
    const cudaError_t counted = cudaGetDeviceCount(&count);
    if (counted != cudaSuccess) return fail(no_devices(counted));
    if (count == 0) return fail(no_devices(cudaErrorNoDevice));
    return count;
  }

  // Asking for the free memory opens the GPU in this process, which takes some hundreds of MiB there until it ends.
  static Expected<GpuInfo> describe(int gpu) {
    cudaDeviceProp properties = {};
    GpuInfo info;
    const char* call = "cudaGetDeviceProperties";
    cudaError_t result = cudaGetDeviceProperties(&properties, gpu);
    if (result == cudaSuccess) {
      call = "cudaSetDevice";
      result = Stream::make_current(gpu);
    }
    if (result == cudaSuccess) {
      call = "cudaMemGetInfo";
      result = cudaMemGetInfo(&info.free_bytes, &info.total_bytes);
    }
    if (result != cudaSuccess) {
      (void)cudaGetLastError();
      return fail(missing("gpu " + std::to_string(gpu) + ": " + call + ": " + error_text(result)));
    }
    info.index = gpu;
    info.name = properties.name;
    info.major = properties.major;
    info.minor = properties.minor;
    info.multiprocessors = properties.multiProcessorCount;
    return info;
  }
};

}  // namespace
}  // namespace herd::cuda

extern "C" {

[[gnu::visibility("default")]] const char* herd_gpu_build_id() { return HERD_GPU_BUILD_ID; }

[[gnu::visibility("default")]] herd::GpuBackend* herd_gpu_backend() {
  static herd::GpuBackend* const backend = new herd::cuda::CudaBackend;
  return backend;
}

}  // extern "C"
