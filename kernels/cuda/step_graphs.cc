#include "kernels/cuda/step_graphs.h"

namespace herd::cuda {

StepGraphs::~StepGraphs() { clear(); }

void StepGraphs::clear() {
  stream_.use();
  for (const auto& [key, graph] : graphs_) {
    if (graph != nullptr) stream_.check(cudaGraphExecDestroy(graph), "cudaGraphExecDestroy");
  }
  graphs_.clear();
}

void StepGraphs::run(std::uint64_t key, const std::function<void()>& body) {
  const auto [at, met_first] = graphs_.try_emplace(key, nullptr);
  if (met_first) return body();
  if (at->second == nullptr) at->second = record(body);
  if (at->second != nullptr && stream_.ok())
    stream_.check(cudaGraphLaunch(at->second, stream_.handle()), "cudaGraphLaunch");
}

// Null when it failed. Only this thread's calls are captured: other ranks may allocate or wait meanwhile.
cudaGraphExec_t StepGraphs::record(const std::function<void()>& body) {
  if (!stream_.check(cudaStreamBeginCapture(stream_.handle(), cudaStreamCaptureModeThreadLocal),
                     "cudaStreamBeginCapture"))
    return nullptr;
  body();
  cudaGraph_t graph = nullptr;
  const bool captured = stream_.check(cudaStreamEndCapture(stream_.handle(), &graph), "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  if (captured && stream_.ok() &&
      !stream_.check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate"))
    executable = nullptr;
  if (graph != nullptr) stream_.check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  return executable;
}

}  // namespace herd::cuda
