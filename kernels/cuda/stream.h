#pragma once
// A CUDA stream with its GPU's numbers and the first error that befell it. Every CUDA call of the backend passes
// through check(): after a failure nothing more is enqueued, and the status says which call failed, on which device and
// rank. One per Device; used by one thread.

#include <cuda_runtime.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "kernels/status.h"

namespace herd::cuda {

class Stream {
 public:
  // kMissing with the reason when the GPU cannot be used. Buffers share the stream, so that it ends after them.
  static Expected<std::shared_ptr<Stream>> make(int gpu, int rank);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] cudaStream_t handle() const { return handle_; }
  [[nodiscard]] int gpu() const { return gpu_; }
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] const std::string& gpu_name() const { return name_; }  // "NVIDIA H200"
  [[nodiscard]] int multiprocessors() const { return multiprocessors_; }
  [[nodiscard]] int compute_major() const { return major_; }
  [[nodiscard]] int compute_minor() const { return minor_; }
  [[nodiscard]] std::size_t shared_bytes_max() const { return shared_bytes_max_; }  // of one block, opted in

  // False, and remembered, when `result` is an error. `call` names what was called: "cudaMemcpyAsync".
  bool check(cudaError_t result, const char* call);
  void fail(std::string message);  // an error of something else (NCCL): the group's, not the GPU's
  // When a group ended the stream and the GPU has no error: waits until what is under way has returned, which an abort of
  // the group makes sure of, at most `wait_ms`, and takes work again. Otherwise the stream stays as it is.
  void recover(std::int64_t wait_ms);
  [[nodiscard]] bool ok() const { return error_.empty(); }
  [[nodiscard]] Status status() const;  // kInternal with the first error

  using Clock = std::chrono::steady_clock;
  // Whether the work before `event`, enqueued at `since`, is done; true as well when the stream ended. Does not block.
  [[nodiscard]] bool reached(cudaEvent_t event, Clock::time_point since);
  void wait(cudaEvent_t event, Clock::time_point since);

  // Someone whose operations on the stream may wait for another machine for ever. Whoever waits for the stream asks it
  // with the milliseconds that the work has taken so far; a status that is not ok ends the stream (the watch makes sure
  // that its operations return). nullptr: nobody.
  using Watch = std::function<Status(std::int64_t waited_ms)>;
  void watch(Watch watch) { watch_ = std::move(watch); }

  // Makes this GPU the calling thread's current one: before every call that allocates, enqueues or records.
  void use();
  // The same without a stream. All of the backend goes through here, so a thread knows which GPU it is at.
  static cudaError_t make_current(int gpu);

 private:
  Stream(int gpu, int rank) : gpu_(gpu), rank_(rank) {}
  [[nodiscard]] std::string where() const;  // "gpu 0 (rank 1)"
  Status open();                            // the GPU's numbers and the handle

  const int gpu_;
  const int rank_;
  cudaStream_t handle_ = nullptr;
  std::string name_;
  int multiprocessors_ = 0, major_ = 0, minor_ = 0;
  std::size_t shared_bytes_max_ = 0;
  std::string error_;
  bool gpu_failed_ = false;  // a call of CUDA did
  Watch watch_;
};

// "cudaErrorNoDevice (no CUDA-capable device is detected)".
[[nodiscard]] std::string error_text(cudaError_t error);

}  // namespace herd::cuda
