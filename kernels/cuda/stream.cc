#include "kernels/cuda/stream.h"

#include <thread>

namespace herd::cuda {
namespace {

constexpr int kComputeMajorMin = 8;  // bf16 tensor cores and asynchronous copies: Ampere

}  // namespace

std::string error_text(cudaError_t error) {
  return std::string(cudaGetErrorName(error)) + " (" + cudaGetErrorString(error) + ")";
}

Expected<std::shared_ptr<Stream>> Stream::make(int gpu, int rank) {
  int count = 0;
  if (const cudaError_t result = cudaGetDeviceCount(&count); result != cudaSuccess) {
    (void)cudaGetLastError();
    return herd::fail(missing("gpu " + std::to_string(gpu) + ": cudaGetDeviceCount: " + error_text(result)));
  }
  if (gpu < 0 || gpu >= count)
    return herd::fail(missing("gpu " + std::to_string(gpu) + ": this machine has " + std::to_string(count) +
                        (count == 1 ? " GPU" : " GPUs") + ", numbered from 0"));
  std::shared_ptr<Stream> stream(new Stream(gpu, rank));
  if (Status status = stream->open(); !status.ok()) return herd::fail(std::move(status));
  return stream;
}

Status Stream::open() {
  cudaDeviceProp properties = {};
  int shared_bytes = 0;
  const bool known = check(cudaGetDeviceProperties(&properties, gpu_), "cudaGetDeviceProperties") &&
                     check(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, gpu_),
                           "cudaDeviceGetAttribute");
  if (!known) return missing(error_);
  name_ = properties.name;
  major_ = properties.major;
  minor_ = properties.minor;
  multiprocessors_ = properties.multiProcessorCount;
  shared_bytes_max_ = static_cast<std::size_t>(shared_bytes);
  if (major_ < kComputeMajorMin)
    return missing("gpu " + std::to_string(gpu_) + ": " + name_ + " has compute capability " + std::to_string(major_) +
                   "." + std::to_string(minor_) + "; herd needs 8.0 (Ampere) or later");
  const bool opened = check(make_current(gpu_), "cudaSetDevice") &&
                      check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return opened ? Status() : missing(error_);
}

Stream::~Stream() {
  if (handle_ == nullptr) return;
  use();
  check(cudaStreamDestroy(handle_), "cudaStreamDestroy");
}

bool Stream::check(cudaError_t result, const char* call) {
  if (result == cudaSuccess) return true;
  (void)cudaGetLastError();  // the thread's own memory of it: the next call is judged by itself
  fail(std::string(call) + ": " + error_text(result));
  gpu_failed_ = true;
  return false;
}

void Stream::fail(std::string message) {
  if (ok()) error_ = where() + ": " + std::move(message);
}

void Stream::recover(std::int64_t wait_ms) {
  if (ok() || gpu_failed_) return;
  use();
  const auto end = Clock::now() + std::chrono::milliseconds(wait_ms);
  cudaError_t result = cudaStreamQuery(handle_);
  for (; result == cudaErrorNotReady && Clock::now() < end; result = cudaStreamQuery(handle_))
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  if (result == cudaErrorNotReady) (void)cudaGetLastError();
  if (result == cudaErrorNotReady || !check(result, "cudaStreamQuery") || gpu_failed_) return;
  error_.clear();
}

Status Stream::status() const { return ok() ? Status() : Status{StatusCode::kInternal, error_}; }

bool Stream::reached(cudaEvent_t event, Clock::time_point since) {
  if (!ok()) return true;
  use();
  const cudaError_t result = cudaEventQuery(event);
  if (result != cudaErrorNotReady) {
    check(result, "cudaEventQuery");
    return true;
  }
  (void)cudaGetLastError();
  if (!watch_) return false;
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - since);
  if (const Status status = watch_(waited.count()); !status.ok()) fail(status.message());
  return !ok();
}

void Stream::wait(cudaEvent_t event, Clock::time_point since) {
  if (!ok()) return;
  use();
  if (!watch_) {
    check(cudaEventSynchronize(event), "cudaEventSynchronize");
    return;
  }
  // Short looks first: a decode step is a few hundred microseconds.
  for (int looks = 0; !reached(event, since); looks++) {
    if (looks > 1000) std::this_thread::yield();
  }
}

std::string Stream::where() const {
  return "gpu " + std::to_string(gpu_) + " (rank " + std::to_string(rank_) + ")";
}

cudaError_t Stream::make_current(int gpu) {
  thread_local int current = -1;
  if (current == gpu) return cudaSuccess;
  const cudaError_t result = cudaSetDevice(gpu);
  current = result == cudaSuccess ? gpu : -1;
  return result;
}

void Stream::use() { check(make_current(gpu_), "cudaSetDevice"); }

}  // namespace herd::cuda
