// Devices, memory, copies and launches of the emulated runtime.
#include <cuda_runtime.h>

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "tests/kernels/cuda/emulator/block_runner.h"
#include "tests/kernels/cuda/emulator/call.h"
#include "tests/kernels/cuda/emulator/device_memory.h"
#include "tests/kernels/cuda/emulator/kernel_name.h"
#include "tests/kernels/cuda/emulator/stream_queue.h"

namespace herd::emulator {
namespace {

// A compute capability that no GPU has, so that results are never taken for those of one. Limits are Hopper's.
constexpr int kMajor = 9, kMinor = 9;
constexpr int kMultiprocessors = 4;
constexpr int kThreadsMax = 1024;
constexpr int kSharedDefault = 48 * 1024, kSharedMax = 227 * 1024, kSharedMultiprocessor = 228 * 1024;
constexpr int kL2Bytes = 4 << 20;
constexpr int kCudaVersion = 13000;

cudaError_t check_device(int device) {
  return device >= 0 && device < device_count() ? cudaSuccess : cudaErrorInvalidDevice;
}

// ---- dynamic shared memory that kernels have asked for, on each device ----

struct SharedLimits {
  std::mutex mutex;
  std::map<std::pair<int, const void*>, int> bytes;
};
SharedLimits& shared_limits() {
  static auto* const limits = new SharedLimits;
  return *limits;
}

int shared_limit(const void* kernel) {
  const std::lock_guard lock(shared_limits().mutex);
  const auto at = shared_limits().bytes.find({current_device(), kernel});
  return at == shared_limits().bytes.end() ? kSharedDefault : std::max(at->second, kSharedDefault);
}

cudaError_t check_launch(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0) return cudaErrorInvalidConfiguration;
  if (grid.x > 0x7fffffffU || grid.y > 65535 || grid.z > 65535) return cudaErrorInvalidConfiguration;
  if (block.x > kThreadsMax || block.y > kThreadsMax || block.z > 64 || threads > kThreadsMax)
    return cudaErrorInvalidConfiguration;
  if (config.dynamicSmemBytes > static_cast<std::size_t>(shared_limit(kernel))) return cudaErrorInvalidValue;
  return config.numAttrs == 0 ? cudaSuccess : cudaErrorNotSupported;
}

// A GPU cannot reach ordinary host memory; the emulator could, so addresses of it are refused here. Parameters are
// plain data: their pointers are found word by word.
cudaError_t check_parameters(const void* kernel, const Parameter* parameters, std::size_t count) {
  for (std::size_t i = 0; i < count; i++) {
    const auto* bytes = static_cast<const unsigned char*>(parameters[i].data);
    for (std::size_t at = 0; at + sizeof(std::uint64_t) <= parameters[i].bytes; at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes + at, sizeof word);
      if (!is_host_address(word)) continue;
      std::fprintf(stderr, "CUDA emulator: kernel %s: parameter %zu, byte %zu: an address of host memory (%#llx)\n",
                   kernel_name(kernel).c_str(), i, at, static_cast<unsigned long long>(word));
      return cudaErrorIllegalAddress;
    }
  }
  return cudaSuccess;
}

// ---- copies ----

constexpr std::size_t kZeroPagesBytes = std::size_t{1} << 20;

// Large zeros give the pages back: a pool of gigabytes that is cleared and hardly used costs nothing.
void fill(void* memory, int value, std::size_t bytes) {
  if (value != 0 || bytes < kZeroPagesBytes) {
    std::memset(memory, value, bytes);
    return;
  }
  auto* const begin = static_cast<unsigned char*>(memory);
  const std::size_t page = 4096;
  const std::size_t head = (page - reinterpret_cast<std::uintptr_t>(begin) % page) % page;
  const std::size_t pages = (bytes - head) / page * page;
  if (::madvise(begin + head, pages, MADV_DONTNEED) != 0) std::memset(begin + head, 0, pages);
  std::memset(begin, 0, head);
  std::memset(begin + head + pages, 0, bytes - head - pages);
}

bool fits(MemoryKind from, MemoryKind to, cudaMemcpyKind kind) {
  const bool from_device = from == MemoryKind::kDevice, to_device = to == MemoryKind::kDevice;
  switch (kind) {
    case cudaMemcpyHostToHost: return !from_device && !to_device;
    case cudaMemcpyHostToDevice: return !from_device && to_device;
    case cudaMemcpyDeviceToHost: return from_device && !to_device;
    case cudaMemcpyDeviceToDevice: return from_device && to_device;
    case cudaMemcpyDefault: return true;
  }
  return false;
}

Operation copy(void* to, const void* from, std::size_t bytes) {
  return [=](bool) {
    std::memmove(to, from, bytes);
    return true;
  };
}

// Pageable memory is taken, or filled, before the call returns (through the driver's own staging memory). A graph has
// no such moment: real ones read the memory at each launch, which herd never means.
cudaError_t copy_pageable(CUstream_st& stream, void* to, const void* from, std::size_t bytes, bool from_pageable) {
  if (const cudaError_t refused = refuse_in_capture(stream)) return refused;
  if (!from_pageable) {
    if (const cudaError_t refused = enqueue(stream, copy(to, from, bytes))) return refused;
    drain(stream);
    return cudaSuccess;
  }
  const auto* begin = static_cast<const unsigned char*>(from);
  auto staged = std::make_shared<std::vector<unsigned char>>(begin, begin + bytes);
  return enqueue(stream, [=](bool) {
    std::memcpy(to, staged->data(), staged->size());
    return true;
  });
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, const Parameter* parameters, std::size_t count,
                   std::function<void()> body) {
  return call("cudaLaunchKernelEx", [&] {
    const auto stream = stream_of(config.stream);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = check_launch(config, kernel)) return refused;
    if (const cudaError_t refused = check_parameters(kernel, parameters, count)) return refused;
    return enqueue(*stream, [kernel, grid = config.gridDim, block = config.blockDim, shared = config.dynamicSmemBytes,
                             body = std::move(body)](bool) {
      run_kernel(kernel, grid, block, shared, body);
      return true;
    });
  });
}

}  // namespace herd::emulator

using namespace herd::emulator;  // NOLINT: the functions below are CUDA's, outside of any namespace

// ---- devices ----

cudaError_t cudaGetDeviceCount(int* count) {
  if (count != nullptr) *count = 0;
  return call("cudaGetDeviceCount", [&] {
    if (count == nullptr) return cudaErrorInvalidValue;
    *count = device_count();
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call("cudaGetDeviceProperties", [&] {
    if (properties == nullptr) return cudaErrorInvalidValue;
    if (const cudaError_t refused = check_device(device)) return refused;
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "emulated GPU");
    properties->totalGlobalMem = device_memory_bytes();
    properties->sharedMemPerBlock = kSharedDefault;
    properties->sharedMemPerBlockOptin = kSharedMax;
    properties->sharedMemPerMultiprocessor = kSharedMultiprocessor;
    properties->major = kMajor;
    properties->minor = kMinor;
    properties->multiProcessorCount = kMultiprocessors;
    properties->maxThreadsPerBlock = kThreadsMax;
    properties->maxThreadsPerMultiProcessor = 2048;
    properties->regsPerBlock = 65536;
    properties->warpSize = 32;
    properties->l2CacheSize = kL2Bytes;
    properties->memoryBusWidth = 64;
    properties->pciBusID = device + 1;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call("cudaDeviceGetAttribute", [&] {
    if (value == nullptr) return cudaErrorInvalidValue;
    if (const cudaError_t refused = check_device(device)) return refused;
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock: *value = kThreadsMax; return cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerBlock: *value = kSharedDefault; return cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = kSharedMax; return cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = kSharedMultiprocessor; return cudaSuccess;
      case cudaDevAttrMultiProcessorCount: *value = kMultiprocessors; return cudaSuccess;
      case cudaDevAttrL2CacheSize: *value = kL2Bytes; return cudaSuccess;
      case cudaDevAttrComputeCapabilityMajor: *value = kMajor; return cudaSuccess;
      case cudaDevAttrComputeCapabilityMinor: *value = kMinor; return cudaSuccess;
      case cudaDevAttrClockRate: *value = 1'000'000; return cudaSuccess;        // kHz
      case cudaDevAttrMemoryClockRate: *value = 1'000'000; return cudaSuccess;  // kHz
      case cudaDevAttrGlobalMemoryBusWidth: *value = 64; return cudaSuccess;    // bits
    }
    return cudaErrorInvalidValue;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call("cudaSetDevice", [&] {
    if (const cudaError_t refused = check_device(device)) return refused;
    set_current_device(device);
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call("cudaGetDevice", [&] {
    if (device == nullptr) return cudaErrorInvalidValue;
    *device = current_device();
    return cudaSuccess;
  });
}

cudaError_t cudaDriverGetVersion(int* version) {
  if (version == nullptr) return leave(cudaErrorInvalidValue);
  *version = device_count() == 0 ? 0 : kCudaVersion;  // 0: no driver
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return leave(cudaErrorInvalidValue);
  *version = kCudaVersion;
  return cudaSuccess;
}

// ---- memory ----

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return call("cudaMalloc", [&] {
    if (memory == nullptr) return cudaErrorInvalidValue;
    *memory = nullptr;
    if (const cudaError_t refused = refuse_in_any_capture()) return refused;
    if (bytes == 0) return cudaSuccess;
    *memory = allocate_device(current_device(), bytes);
    return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}

cudaError_t cudaFree(void* memory) {
  return call("cudaFree", [&] {
    if (memory == nullptr) return cudaSuccess;
    if (const cudaError_t refused = refuse_in_any_capture()) return refused;
    const int device = device_of(memory, MemoryKind::kDevice);
    if (device < 0) return cudaErrorInvalidValue;
    drain_device(device);
    release(memory);
    return cudaSuccess;
  });
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  return call("cudaMallocHost", [&] {
    if (memory == nullptr) return cudaErrorInvalidValue;
    *memory = nullptr;
    if (const cudaError_t refused = refuse_in_any_capture()) return refused;
    if (bytes == 0) return cudaErrorInvalidValue;
    *memory = allocate_pinned(bytes);
    return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}

cudaError_t cudaFreeHost(void* memory) {
  return call("cudaFreeHost", [&] {
    if (memory == nullptr) return cudaSuccess;
    if (const cudaError_t refused = refuse_in_any_capture()) return refused;
    if (device_of(memory, MemoryKind::kPinned) < 0) return cudaErrorInvalidValue;
    for (int device = 0; device < device_count(); device++) drain_device(device);
    release(memory);
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  return call("cudaMemGetInfo", [&] {
    if (free_bytes == nullptr || total_bytes == nullptr) return cudaErrorInvalidValue;
    *total_bytes = device_memory_bytes();
    *free_bytes = *total_bytes - std::min(*total_bytes, allocated_bytes(current_device()));
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  return call("cudaMemcpyAsync", [&] {
    const auto stream = stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (bytes == 0) return cudaSuccess;
    const MemoryAt source = memory_at(from, bytes), target = memory_at(to, bytes);
    if (to == nullptr || from == nullptr || source.broken || target.broken) return cudaErrorInvalidValue;
    if (!fits(source.kind, target.kind, kind)) return cudaErrorInvalidValue;
    if (source.kind == MemoryKind::kPageable) return copy_pageable(*stream, to, from, bytes, true);
    if (target.kind == MemoryKind::kPageable) return copy_pageable(*stream, to, from, bytes, false);
    return enqueue(*stream, copy(to, from, bytes));
  });
}

cudaError_t cudaMemsetAsync(void* memory, int value, std::size_t bytes, cudaStream_t handle) {
  return call("cudaMemsetAsync", [&] {
    const auto stream = stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (bytes == 0) return cudaSuccess;
    const MemoryAt target = memory_at(memory, bytes);
    if (target.kind == MemoryKind::kPageable || target.broken) return cudaErrorInvalidValue;
    return enqueue(*stream, [=](bool) {
      fill(memory, value & 0xff, bytes);
      return true;
    });
  });
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", [&] {
    if (function == nullptr) return cudaErrorInvalidValue;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorInvalidValue;
    if (value < 0 || value > kSharedMax) return cudaErrorInvalidValue;
    const std::lock_guard lock(shared_limits().mutex);
    shared_limits().bytes[{current_device(), function}] = value;
    return cudaSuccess;
  });
}
