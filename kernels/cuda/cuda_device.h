#pragma once
// The Device of one GPU: a stream, memory, marks, recorded steps. Used by one thread.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/step_graphs.h"
#include "kernels/cuda/stream.h"
#include "kernels/gpu_backend.h"
#include "kernels/row_sampler.h"
#include "kernels/staging.h"
#include "kernels/step_recorder.h"

namespace herd::cuda {

class CudaDevice final : public Device, public Staging, public StepRecorder {
 public:
  static Expected<std::unique_ptr<CudaDevice>> make(const GpuDeviceConfig& config);
  ~CudaDevice() override;

  std::string description() const override;      // "gpu 0 NVIDIA H200, 132 multiprocessors, sm_90"
  std::string numerics_class() const override;   // "sm90-2"; by cuBLASLt "sm90-cublaslt"
  bool host_memory() const override { return false; }
  Ops& ops() override { return *ops_; }
  Expected<std::unique_ptr<DeviceBuffer>> allocate(std::size_t bytes, const char* what) override;
  std::size_t free_bytes() const override;
  Status wait() override;
  Status status() const override { return stream_->status(); }
  ProgressWord* progress() override { return progress_.get(); }
  void upload(void* device, const void* host, std::size_t bytes) override;
  void download(void* host, const void* device, std::size_t bytes) override;
  RowSampler* row_sampler() override { return row_sampler_.get(); }
  Staging* staging() override { return this; }
  StepRecorder* step_recorder() override { return this; }

  // Staging
  Expected<std::unique_ptr<StagedBuffer>> allocate_staged(std::size_t bytes, const char* what) override;
  Expected<std::unique_ptr<ReadbackBuffer>> allocate_readback(std::size_t bytes, const char* what) override;

  // StepRecorder
  Status reserve(const ScratchLimits& limits) override;
  std::uint64_t mark() override;
  bool reached(std::uint64_t mark) override;
  void run_step(std::uint64_t key, const std::function<void()>& body) override;
  void forget() override;

  [[nodiscard]] Stream& stream() { return *stream_; }
  // Before anything goes that recorded steps refer to.
  void forget_recorded() { graphs_.clear(); }

 private:
  struct Mark {
    std::uint64_t number = 0;
    cudaEvent_t event = nullptr;
    Stream::Clock::time_point set;
  };

  CudaDevice(const GpuDeviceConfig& config, std::shared_ptr<Stream> stream);
  [[nodiscard]] cudaEvent_t take_event();
  void forget_front();

  const GpuMatmul matmul_;
  const bool use_graphs_;
  const std::shared_ptr<ProgressWord> progress_;  // may be null
  std::shared_ptr<Stream> stream_;
  std::unique_ptr<DeviceBuffer> scratch_memory_;
  AttentionScratch scratch_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<RowSampler> row_sampler_;
  StepGraphs graphs_;
  std::deque<Mark> marks_;           // set and not seen reached, oldest first
  std::vector<cudaEvent_t> events_;  // free ones
  std::uint64_t last_mark_ = 0;
};

}  // namespace herd::cuda
