#include "kernels/cuda/cuda_device.h"

#include <utility>

#include "kernels/check.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/ops_cuda.h"
#include "kernels/cuda/row_sampler_cuda.h"

namespace herd::cuda {
namespace {

constexpr std::size_t kMarksMax = 64;  // under way; a step sets one, and the host is a few steps ahead at most
constexpr std::int64_t kRecoverMs = 1000;  // NCCL's kernels look at its abort flag all the time

}  // namespace

Expected<std::unique_ptr<CudaDevice>> CudaDevice::make(const GpuDeviceConfig& config) {
  auto stream = Stream::make(config.gpu, config.rank);
  if (!stream) return fail(stream.error());
  std::unique_ptr<CudaDevice> device(new CudaDevice(config, *stream));
  auto ops = make_cuda_ops(*stream, config.matmul, device->scratch_);
  if (!ops) return fail(ops.error());
  device->ops_ = make_checked_ops(std::move(*ops), false, config.progress);
  device->row_sampler_ = make_checked_row_sampler(make_cuda_row_sampler(*stream));
  return device;
}

CudaDevice::CudaDevice(const GpuDeviceConfig& config, std::shared_ptr<Stream> stream)
    : matmul_(config.matmul),
      use_graphs_(config.graphs),
      progress_(config.progress),
      stream_(std::move(stream)),
      graphs_(*stream_) {}

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
         (matmul_ == GpuMatmul::kCublasLt ? "-cublaslt" : "-2");
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
  (void)mark();
  if (!marks_.empty()) stream_->wait(marks_.back().event, marks_.back().set);
  while (stream_->ok() && !marks_.empty()) forget_front();
  return stream_->status();
}

Status CudaDevice::reserve(const ScratchLimits& limits) {
  HERD_CHECK(limits.rows >= 1 && limits.query_heads >= 1 && limits.head_dim >= 1, "a step has rows and heads");
  auto memory = allocate(attention_scratch_bytes(limits), "attention partials");
  if (!memory) return memory.error();
  scratch_memory_ = std::move(*memory);
  scratch_ = {static_cast<float*>(scratch_memory_->data()), attention_scratch_items(limits)};
  return {};
}

std::uint64_t CudaDevice::mark() {
  last_mark_++;
  if (!stream_->ok()) return last_mark_;
  stream_->use();
  if (marks_.size() >= kMarksMax) {
    stream_->wait(marks_.front().event, marks_.front().set);
    forget_front();
  }
  cudaEvent_t event = take_event();
  if (event == nullptr) return last_mark_;
  if (stream_->check(cudaEventRecord(event, stream_->handle()), "cudaEventRecord")) {
    marks_.push_back({last_mark_, event, Stream::Clock::now()});
  } else {
    events_.push_back(event);
  }
  return last_mark_;
}

bool CudaDevice::reached(std::uint64_t mark) {
  HERD_CHECK(mark <= last_mark_, "a mark is set before it is asked for");
  while (stream_->ok() && !marks_.empty() && marks_.front().number <= mark) {
    if (!stream_->reached(marks_.front().event, marks_.front().set)) return false;
    forget_front();
  }
  return true;
}

void CudaDevice::forget_front() {
  events_.push_back(marks_.front().event);
  marks_.pop_front();
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

void CudaDevice::run_step(std::uint64_t key, const std::function<void()>& body) {
  stream_->use();
  if (!stream_->ok()) return;
  if (key == 0 || !use_graphs_) return body();
  graphs_.run(key, body);
}

void CudaDevice::forget() {
  forget_recorded();
  stream_->recover(kRecoverMs);
  while (stream_->ok() && !marks_.empty()) forget_front();
}

}  // namespace herd::cuda
