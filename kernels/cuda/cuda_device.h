#pragma once
// The Device of one GPU: a stream, memory, marks, recorded steps. Used by one thread.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/step_graphs.h"
#include "kernels/cuda/stream.h"
#include "kernels/gpu_backend.h"

namespace herd::cuda {

class CudaDevice final : public Device {
 public:
  static Expected<std::unique_ptr<CudaDevice>> make(const GpuDeviceConfig& config);
  ~CudaDevice() override;

  std::string description() const override;      // "gpu 0 NVIDIA H200, 132 multiprocessors, sm_90"
  std::string numerics_class() const override;   // "sm90-1"; by cuBLASLt "sm90-cublaslt"
  bool host_memory() const override { return false; }
  Ops& ops() override { return *ops_; }
  Expected<std::unique_ptr<DeviceBuffer>> allocate(std::size_t bytes, const char* what) override;
  std::size_t free_bytes() const override;
  Status wait() override;
  Status status() const override { return stream_->status(); }
  void upload(void* device, const void* host, std::size_t bytes) override;
  void download(void* host, const void* device, std::size_t bytes) override;
  Expected<std::unique_ptr<StagedBuffer>> allocate_staged(std::size_t bytes, const char* what) override;
  Expected<std::unique_ptr<ReadbackBuffer>> allocate_readback(std::size_t bytes, const char* what) override;
  std::uint64_t mark() override;
  bool reached(std::uint64_t mark) override;
  void run_step(std::uint64_t key, const std::function<void()>& body) override;

  [[nodiscard]] Stream& stream() { return *stream_; }

  // Someone whose operations on the stream may wait for another machine for ever. While this device waits, it asks
  // with the milliseconds that the stream's oldest work has taken so far; a status that is not ok ends the stream (the
  // watched makes sure that the operations return). nullptr: nobody.
  using Watch = std::function<Status(std::int64_t waited_ms)>;
  void watch(Watch watch) { watch_ = std::move(watch); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Mark {
    std::uint64_t number = 0;
    cudaEvent_t event = nullptr;
    Clock::time_point set;
  };

  CudaDevice(const GpuDeviceConfig& config, std::shared_ptr<Stream> stream);
  [[nodiscard]] bool front_reached();
  [[nodiscard]] cudaEvent_t take_event();
  void ask_watch(Clock::time_point since);

  const GpuMatmul matmul_;
  const bool use_graphs_;
  std::shared_ptr<Stream> stream_;
  std::unique_ptr<Ops> ops_;
  StepGraphs graphs_;
  Watch watch_;
  std::deque<Mark> marks_;           // set and not seen reached, oldest first
  std::vector<cudaEvent_t> events_;  // free ones
  std::uint64_t last_mark_ = 0;
};

}  // namespace herd::cuda
