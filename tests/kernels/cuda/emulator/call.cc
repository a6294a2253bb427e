#include "tests/kernels/cuda/emulator/call.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace herd::emulator {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local int device = 0;

// Errors after which a real context is lost.
bool stays(cudaError_t error) {
  return error == cudaErrorIllegalAddress || error == cudaErrorLaunchFailure || error == cudaErrorECCUncorrectable ||
         error == cudaErrorUnknown;
}

[[noreturn]] void bad_variable(const char* name, const char* value) {
  std::fprintf(stderr, "CUDA emulator: %s=%s is not understood (emulator.h)\n", name, value);
  std::abort();
}

bool parse(const char* text, unsigned long long& number) {
  char* end = nullptr;
  number = std::strtoull(text, &end, 10);
  return *text >= '0' && *text <= '9' && *end == '\0';
}

class ProcessSettings final : public Settings {
 public:
  ProcessSettings() {
    unsigned long long number = 0;
    if (const char* value = variable("HERD_EMULATED_GPUS")) {
      if (!parse(value, number) || number > 64) bad_variable("HERD_EMULATED_GPUS", value);
      devices_ = static_cast<int>(number);
    }
    if (const char* value = variable("HERD_EMULATED_GPU_MEMORY")) {
      if (!parse(value, number)) bad_variable("HERD_EMULATED_GPU_MEMORY", value);
      memory_ = number;
    }
    if (const char* value = variable("HERD_EMULATED_GPU_SCHEDULE")) {
      const std::string text = value;
      if (text == "descending") {
        order_.schedule = Schedule::kDescending;
      } else if (text.starts_with("shuffled:") && parse(value + 9, number)) {
        order_ = {Schedule::kShuffled, number};
      } else if (text != "ascending") {
        bad_variable("HERD_EMULATED_GPU_SCHEDULE", value);
      }
    }
    if (const char* value = variable("HERD_EMULATED_GPU_FAULT")) {
      std::string text = value;
      const bool once = text.ends_with(":once");
      if (once) text.resize(text.size() - 5);
      const std::size_t colon = text.find(':');
      if (colon == std::string::npos || !parse(text.c_str() + colon + 1, number) || number == 0)
        bad_variable("HERD_EMULATED_GPU_FAULT", value);
      fault_call_ = text.substr(0, colon);
      fault_in_ = static_cast<std::int64_t>(number);
      fault_ = fault_call_.starts_with("cudaMalloc") ? cudaErrorMemoryAllocation
               : once                                ? cudaErrorInvalidValue
                                                     : cudaErrorIllegalAddress;
    }
  }

  void set_schedule(Schedule schedule, std::uint64_t seed) override {
    const std::lock_guard lock(mutex_);
    order_ = {schedule, seed};
  }
  void set_devices(int count) override { devices_ = count; }
  void set_memory(std::size_t bytes_per_device) override { memory_ = bytes_per_device; }
  void set_nccl_deadline_ms(std::int64_t milliseconds) override { nccl_deadline_ms_ = milliseconds; }
  void fail_after(std::int64_t n, cudaError_t error, const std::string& call) override {
    const std::lock_guard lock(mutex_);
    fault_in_ = n;
    fault_ = error;
    fault_call_ = call;
    if (n == 0) lost_ = cudaSuccess;
  }

  cudaError_t enter(const char* call) {
    const std::lock_guard lock(mutex_);
    if (lost_ != cudaSuccess) return lost_;
    if (devices_ == 0) return cudaErrorNoDevice;
    if (fault_in_ == 0 || (!fault_call_.empty() && fault_call_ != call) || --fault_in_ != 0) return cudaSuccess;
    if (stays(fault_)) lost_ = fault_;
    return fault_;
  }
  Order order() {
    const std::lock_guard lock(mutex_);
    return order_;
  }

  std::atomic<int> devices_ = 1;
  std::atomic<std::size_t> memory_ = std::size_t{2} << 30;
  std::atomic<std::int64_t> nccl_deadline_ms_ = 60'000;

 private:
  static const char* variable(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? value : nullptr;
  }

  std::mutex mutex_;  // over all below
  Order order_;
  std::int64_t fault_in_ = 0;
  cudaError_t fault_ = cudaSuccess;
  std::string fault_call_;
  cudaError_t lost_ = cudaSuccess;
};

ProcessSettings& process() {
  static auto* const settings = new ProcessSettings;  // outlives every thread
  return *settings;
}

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState", "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent", "operation not permitted on an event last recorded in a "
                                                       "capturing stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

}  // namespace

Settings& settings() { return process(); }
Order current_order() { return process().order(); }
int device_count() { return process().devices_; }
std::size_t device_memory_bytes() { return process().memory_; }
std::int64_t nccl_deadline_ms() { return process().nccl_deadline_ms_; }
cudaError_t enter(const char* call) { return process().enter(call); }
cudaError_t leave(cudaError_t result) {
  if (result != cudaSuccess && result != cudaErrorNotReady) last_error = result;
  return result;
}
int current_device() { return device; }
void set_current_device(int chosen) { device = chosen; }

}  // namespace herd::emulator

herd::emulator::Settings* herd_emulator_settings() { return &herd::emulator::settings(); }

using herd::emulator::kErrors;

const char* cudaGetErrorName(cudaError_t error) {
  for (const auto& known : kErrors)
    if (known.error == error) return known.name;
  return "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t error) {
  for (const auto& known : kErrors)
    if (known.error == error) return known.text;
  return "unrecognized error code";
}
cudaError_t cudaGetLastError() {
  const cudaError_t error = herd::emulator::last_error;
  herd::emulator::last_error = cudaSuccess;
  return error;
}
