#pragma once
// A CUDA stream with its GPU's numbers and the first error that befell it. Every CUDA call of the backend passes
// through check(): after a failure nothing more is enqueued, and the status says which call failed, on which device and
// rank. One per Device; used by one thread.

#include <cuda_runtime.h>

#include <cstddef>
#include <string>

#include "kernels/status.h"

namespace herd::cuda {

class Stream {
 public:
  // kMissing with the reason when the GPU cannot be used.
  static Expected<Stream*> make(int gpu, int rank);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] cudaStream_t handle() const { return handle_; }
  [[nodiscard]] int gpu() const { return gpu_; }
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int multiprocessors() const { return multiprocessors_; }
  [[nodiscard]] int compute_major() const { return major_; }
  [[nodiscard]] int compute_minor() const { return minor_; }
  [[nodiscard]] std::size_t shared_bytes_max() const { return shared_bytes_max_; }  // of one block, opted in

  // False, and remembered, when `result` is an error. `call` names what was called: "cudaMemcpyAsync".
  bool check(cudaError_t result, const char* call);
  void fail(std::string message);  // an error of something else (NCCL)
  [[nodiscard]] bool ok() const { return error_.empty(); }
  [[nodiscard]] Status status() const;  // kInternal with the first error

  // Makes this GPU the calling thread's current one.
  void use();

 private:
  Stream(int gpu, int rank) : gpu_(gpu), rank_(rank) {}
  [[nodiscard]] std::string where() const;  // "gpu 0 (rank 1)"

  const int gpu_;
  const int rank_;
  cudaStream_t handle_ = nullptr;
  int multiprocessors_ = 0, major_ = 0, minor_ = 0;
  std::size_t shared_bytes_max_ = 0;
  std::string error_;
};

}  // namespace herd::cuda
