#include "kernels/cuda/cuda_device.h"

#include <thread>

#include "kernels/check.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/ops_cuda.h"

namespace herd::cuda {
namespace {

constexpr std::size_t kMarksMax = 64;  // under way; a step sets one, and the host is a few steps ahead at most

// Between two looks at the stream. Short looks first: a decode step is a few hundred microseconds.
void pause(int looks) {
  if (looks > 1000) std::this_thread::yield();
}

}  // namespace

Expected<std::unique_ptr<CudaDevice>> CudaDevice::make(const GpuDeviceConfig& config) {
  auto stream = Stream::make(config.gpu, config.rank);
  if (!stream) return fail(stream.error());
  auto ops = make_cuda_ops(*stream, config.matmul);
  if (!ops) return fail(ops.error());
  std::unique_ptr<CudaDevice> device(new CudaDevice(config, std::move(*stream)));
  device->ops_ = make_checked_ops(std::move(*ops), false);
  return device;
}

CudaDevice::CudaDevice(const GpuDeviceConfig& config, std::shared_ptr<Stream> stream)
    : matmul_(config.matmul), use_graphs_(config.graphs), stream_(std::move(stream)), graphs_(*stream_) {}

CudaDevice::~CudaDevice() {
  stream_->use();
  for (const Mark& mark : marks_) events_.push_back(mark.event);
  for (cudaEvent_t event : events_) stream_->check(cudaEventDestroy(event), "cudaEventDestroy");
}

std::string CudaDevice::description() const {
  std::string text = "gpu " + std::to_string(stream_->gpu()) + " " + stream_->gpu_name() + ", " +
                     std::to_string(stream_->multiprocessors()) + " multiprocessors, sm_" +
                     std::to_string(stream_->compute_major()) + std::to_string(stream_->compute_minor());
  if (matmul_ == GpuMatmul::kCublasLt) text += ", cublaslt, not repeatable";
  return text;
}

std::string CudaDevice::numerics_class() const {
  return "sm" + std::to_string(stream_->compute_major()) + std::to_string(stream_->compute_minor()) +
         (matmul_ == GpuMatmul::kCublasLt ? "-cublaslt" : "-1");
}

Expected<std::unique_ptr<DeviceBuffer>> CudaDevice::allocate(std::size_t bytes, const char* what) {
  return allocate_device(stream_, bytes, what);
}
std::size_t CudaDevice::free_bytes() const { return free_device_bytes(*stream_); }
Expected<std::unique_ptr<StagedBuffer>> CudaDevice::allocate_staged(std::size_t bytes, const char* what) {
  return cuda::allocate_staged(stream_, bytes, what);
}
Expected<std::unique_ptr<ReadbackBuffer>> CudaDevice::allocate_readback(std::size_t bytes, const char* what) {
  return cuda::allocate_readback(stream_, bytes, what);
}

void CudaDevice::upload(void* device, const void* host, std::size_t bytes) {
  if (!stream_->ok() || bytes == 0) return;
  stream_->use();
  stream_->check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_->handle()), "cudaMemcpyAsync");
  (void)wait();
}

void CudaDevice::download(void* host, const void* device, std::size_t bytes) {
  if (!stream_->ok() || bytes == 0) return;
  stream_->use();
  stream_->check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_->handle()), "cudaMemcpyAsync");
  (void)wait();
}

Status CudaDevice::wait() {
  const std::uint64_t end = mark();
  for (int looks = 0; !reached(end); looks++) pause(looks);
  return stream_->status();
}

std::uint64_t CudaDevice::mark() {
  last_mark_++;
  if (!stream_->ok()) return last_mark_;
  stream_->use();
  for (int looks = 0; marks_.size() >= kMarksMax && !front_reached(); looks++) pause(looks);
  cudaEvent_t event = take_event();
  if (event == nullptr) return last_mark_;
  if (stream_->check(cudaEventRecord(event, stream_->handle()), "cudaEventRecord")) {
    marks_.push_back({last_mark_, event, Clock::now()});
  } else {
    events_.push_back(event);
  }
  return last_mark_;
}

bool CudaDevice::reached(std::uint64_t mark) {
  HERD_CHECK(mark <= last_mark_, "a mark is set before it is asked for");
  while (stream_->ok() && !marks_.empty() && marks_.front().number <= mark) {
    if (!front_reached()) return !stream_->ok();
  }
  return true;
}

// Whether the oldest mark is reached (it is forgotten then); true as well when the stream ended.
bool CudaDevice::front_reached() {
  if (!stream_->ok()) return true;
  stream_->use();
  const Mark& front = marks_.front();
  const cudaError_t result = cudaEventQuery(front.event);
  if (result == cudaErrorNotReady) {
    (void)cudaGetLastError();
    ask_watch(front.set);
    return !stream_->ok();
  }
  if (!stream_->check(result, "cudaEventQuery")) return true;
  events_.push_back(front.event);
  marks_.pop_front();
  return true;
}

cudaEvent_t CudaDevice::take_event() {
  if (!events_.empty()) {
    cudaEvent_t event = events_.back();
    events_.pop_back();
    return event;
  }
  cudaEvent_t event = nullptr;
  if (!stream_->check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags"))
    return nullptr;
  return event;
}

void CudaDevice::ask_watch(Clock::time_point since) {
  if (!watch_) return;
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - since).count();
  if (const Status status = watch_(waited); !status.ok()) stream_->fail(status.message());
}

void CudaDevice::run_step(std::uint64_t key, const std::function<void()>& body) {
  stream_->use();
  if (!stream_->ok()) return;
  if (key == 0 || !use_graphs_) return body();
  graphs_.run(key, body);
}

}  // namespace herd::cuda
