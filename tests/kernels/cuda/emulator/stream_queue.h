#pragma once
// Streams, events and graphs of the emulator. Work on a stream is queued and runs when someone waits for it: with the
// stream, an event recorded in it, or memory that is freed. A query runs one operation and says "not ready" at least
// once. So what reads without waiting reads what was there before. Handles are checked: a destroyed one is refused.

#include <cuda_runtime.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace herd::emulator {

// Runs an operation; false when it could not end and must not block (a collective whose other ranks are missing): it is
// asked again. An operation may run any number of times, once for each launch of a graph that holds it.
using Operation = std::function<bool(bool may_block)>;

}  // namespace herd::emulator

struct CUgraph_st {
  std::vector<herd::emulator::Operation> operations;
};
struct CUgraphExec_st {
  std::vector<herd::emulator::Operation> operations;
};

struct CUstream_st {
  int device = 0;

  std::mutex run_mutex;  // held by who runs operations
  std::mutex mutex;      // over all below
  std::deque<herd::emulator::Operation> queue;
  bool capturing = false, invalidated = false;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::thread::id capture_thread;
  std::unique_ptr<CUgraph_st> graph;
};

namespace herd::emulator {

// A place in the order of a stream, made by recording an event.
struct Point {
  std::atomic<bool> done = false;
  std::shared_ptr<CUstream_st> stream;
  bool captured = false;
  std::chrono::steady_clock::time_point time;
};

// Null unless the handle is alive.
[[nodiscard]] std::shared_ptr<CUstream_st> stream_of(cudaStream_t handle);

// Queues, or adds to the graph that is being captured.
cudaError_t enqueue(CUstream_st& stream, Operation operation);
// Whether the stream is capturing.
[[nodiscard]] bool is_capturing(CUstream_st& stream);
// Refuses, and spoils captures, as a call that capture forbids does: of this stream, or of any whose mode minds.
[[nodiscard]] cudaError_t refuse_in_capture(CUstream_st& stream);
[[nodiscard]] cudaError_t refuse_in_any_capture();

// Runs all that is queued.
void drain(CUstream_st& stream);
void drain_device(int device);

}  // namespace herd::emulator
