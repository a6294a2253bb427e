#pragma once
// Steps recorded as CUDA graphs, by key: one launch then stands for the hundreds that the step is made of.
//
// A key met for the first time runs as it is, which also loads the kernels it needs; met again it is recorded, and from
// then on repeated. So a shape that comes once costs nothing more. Keys are few (one for each bucket of rows), graphs
// live until clear().

#include <cstdint>
#include <functional>
#include <unordered_map>

#include "kernels/cuda/stream.h"

namespace herd::cuda {

class StepGraphs {
 public:
  explicit StepGraphs(Stream& stream) : stream_(stream) {}
  ~StepGraphs();
  StepGraphs(const StepGraphs&) = delete;
  StepGraphs& operator=(const StepGraphs&) = delete;

  // As StepRecorder::run_step with a key other than 0. What goes wrong is the stream's error.
  void run(std::uint64_t key, const std::function<void()>& body);
  // Destroys what was recorded. Keys are met for the first time again.
  void clear();

 private:
  [[nodiscard]] cudaGraphExec_t record(const std::function<void()>& body);

  Stream& stream_;
  std::unordered_map<std::uint64_t, cudaGraphExec_t> graphs_;  // null: met once
};

}  // namespace herd::cuda
