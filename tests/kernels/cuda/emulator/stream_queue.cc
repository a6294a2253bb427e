#include "tests/kernels/cuda/emulator/stream_queue.h"

#include <algorithm>
#include <map>
#include <utility>

#include "tests/kernels/cuda/emulator/call.h"

struct CUevent_st {
  std::mutex mutex;
  bool timed = false;
  std::shared_ptr<herd::emulator::Point> point;  // of the last record; null before the first
};

namespace herd::emulator {
namespace {

template <class T>
class Handles {
 public:
  T* add(std::shared_ptr<T> object) {
    const std::lock_guard lock(mutex_);
    T* handle = object.get();
    alive_[handle] = std::move(object);
    return handle;
  }
  std::shared_ptr<T> find(T* handle) {
    const std::lock_guard lock(mutex_);
    const auto at = alive_.find(handle);
    return at == alive_.end() ? nullptr : at->second;
  }
  std::shared_ptr<T> remove(T* handle) {
    const std::lock_guard lock(mutex_);
    const auto at = alive_.find(handle);
    if (at == alive_.end()) return nullptr;
    auto object = std::move(at->second);
    alive_.erase(at);
    return object;
  }
  std::vector<std::shared_ptr<T>> all() {
    const std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<T>> objects;
    for (const auto& [handle, object] : alive_) objects.push_back(object);
    return objects;
  }

 private:
  std::mutex mutex_;
  std::map<T*, std::shared_ptr<T>> alive_;
};

struct AllHandles {
  Handles<CUstream_st> streams;
  Handles<CUevent_st> events;
  Handles<CUgraph_st> graphs;
  Handles<CUgraphExec_st> execs;
};
AllHandles& handles() {
  static auto* const all = new AllHandles;
  return *all;
}

// With run_mutex held: runs the first operation. False when there is none or it could not end.
bool run_first(CUstream_st& stream, bool may_block) {
  Operation* operation = nullptr;
  {
    const std::lock_guard lock(stream.mutex);
    if (stream.queue.empty()) return false;
    operation = &stream.queue.front();  // stays where it is while others are added behind it
  }
  if (!(*operation)(may_block)) return false;
  Operation ended;  // its captures die without the lock
  const std::lock_guard lock(stream.mutex);
  ended = std::move(stream.queue.front());
  stream.queue.pop_front();
  return true;
}

bool idle(CUstream_st& stream) {
  const std::lock_guard lock(stream.mutex);
  return stream.queue.empty();
}

// Runs the point's stream up to the point. Streams wait for points that were recorded before: never in a circle.
bool reach(Point& point, bool may_block) {
  if (point.done) return true;
  std::unique_lock lock(point.stream->run_mutex, std::defer_lock);
  if (may_block)
    lock.lock();
  else if (!lock.try_lock())
    return false;
  while (!point.done && run_first(*point.stream, may_block)) {
  }
  return point.done;
}

// One operation, by who asks without waiting.
void nudge(CUstream_st& stream) {
  const std::unique_lock lock(stream.run_mutex, std::try_to_lock);
  if (lock.owns_lock()) run_first(stream, false);
}

void invalidate(CUstream_st& stream) {
  if (stream.capturing) stream.invalidated = true;
}

std::shared_ptr<Point> last_point(CUevent_st& event) {
  const std::lock_guard lock(event.mutex);
  return event.point;
}

}  // namespace

std::shared_ptr<CUstream_st> stream_of(cudaStream_t handle) { return handles().streams.find(handle); }

cudaError_t enqueue(CUstream_st& stream, Operation operation) {
  const std::lock_guard lock(stream.mutex);
  if (!stream.capturing) {
    stream.queue.push_back(std::move(operation));
    return cudaSuccess;
  }
  if (stream.invalidated) return cudaErrorStreamCaptureInvalidated;
  stream.graph->operations.push_back(std::move(operation));
  return cudaSuccess;
}

bool is_capturing(CUstream_st& stream) {
  const std::lock_guard lock(stream.mutex);
  return stream.capturing;
}

cudaError_t refuse_in_capture(CUstream_st& stream) {
  const std::lock_guard lock(stream.mutex);
  invalidate(stream);
  return stream.capturing ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t refuse_in_any_capture() {
  cudaError_t result = cudaSuccess;
  for (const auto& stream : handles().streams.all()) {
    const std::lock_guard lock(stream->mutex);
    const bool minds = stream->mode == cudaStreamCaptureModeGlobal ||
                       (stream->mode == cudaStreamCaptureModeThreadLocal &&
                        stream->capture_thread == std::this_thread::get_id());
    if (!stream->capturing || !minds) continue;
    invalidate(*stream);
    result = cudaErrorStreamCaptureUnsupported;
  }
  return result;
}

void drain(CUstream_st& stream) {
  const std::lock_guard lock(stream.run_mutex);
  while (run_first(stream, true)) {
  }
}

void drain_device(int device) {
  for (const auto& stream : handles().streams.all())
    if (stream->device == device) drain(*stream);
}

}  // namespace herd::emulator

using namespace herd::emulator;  // NOLINT: the functions below are CUDA's, outside of any namespace

// ---- streams ----

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call("cudaStreamCreateWithFlags", [&] {
    if (stream == nullptr || flags > cudaStreamNonBlocking) return cudaErrorInvalidValue;
    auto made = std::make_shared<CUstream_st>();
    made->device = current_device();
    *stream = handles().streams.add(std::move(made));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call("cudaStreamDestroy", [&] {
    const auto stream = handles().streams.find(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = refuse_in_capture(*stream)) return refused;
    drain(*stream);
    handles().streams.remove(handle);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call("cudaStreamSynchronize", [&] {
    const auto stream = stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = refuse_in_capture(*stream)) return refused;
    if (const cudaError_t refused = refuse_in_any_capture()) return refused;
    drain(*stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call("cudaStreamQuery", [&] {
    const auto stream = stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = refuse_in_capture(*stream)) return refused;
    if (const cudaError_t refused = refuse_in_any_capture()) return refused;
    if (idle(*stream)) return cudaSuccess;
    nudge(*stream);
    return cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned flags) {
  return call("cudaStreamWaitEvent", [&] {
    const auto stream = stream_of(handle);
    const auto event = handles().events.find(event_handle);
    if (!stream || !event) return cudaErrorInvalidResourceHandle;
    if (flags != 0) return cudaErrorInvalidValue;
    const auto point = last_point(*event);
    if (!point) return cudaSuccess;  // never recorded
    const bool capturing = is_capturing(*stream);
    if (capturing && point->captured && point->stream == stream) return cudaSuccess;  // in order anyway
    if (capturing && !point->captured) {
      const std::lock_guard lock(stream->mutex);
      invalidate(*stream);
      return cudaErrorStreamCaptureIsolation;
    }
    if (point->captured) return cudaErrorNotSupported;  // real ones draw this stream into the capture
    return enqueue(*stream, [point](bool may_block) { return reach(*point, may_block); });
  });
}

// ---- events ----

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call("cudaEventCreateWithFlags", [&] {
    if (event == nullptr || flags > (cudaEventBlockingSync | cudaEventDisableTiming)) return cudaErrorInvalidValue;
    auto made = std::make_shared<CUevent_st>();
    made->timed = (flags & cudaEventDisableTiming) == 0;
    *event = handles().events.add(std::move(made));
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return call("cudaEventDestroy",
              [&] { return handles().events.remove(event) ? cudaSuccess : cudaErrorInvalidResourceHandle; });
}

cudaError_t cudaEventRecord(cudaEvent_t event_handle, cudaStream_t handle) {
  return call("cudaEventRecord", [&] {
    const auto stream = stream_of(handle);
    const auto event = handles().events.find(event_handle);
    if (!stream || !event) return cudaErrorInvalidResourceHandle;
    auto point = std::make_shared<Point>();
    point->stream = stream;
    point->captured = is_capturing(*stream);
    {
      const std::lock_guard lock(event->mutex);
      event->point = point;
    }
    if (point->captured) return cudaSuccess;  // a dependency within the graph, not work
    return enqueue(*stream, [point](bool) {
      point->time = std::chrono::steady_clock::now();
      point->done = true;
      return true;
    });
  });
}

namespace {
cudaError_t usable_point(cudaEvent_t handle, std::shared_ptr<Point>& point) {
  const auto event = handles().events.find(handle);
  if (!event) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t refused = refuse_in_any_capture()) return refused;
  point = last_point(*event);
  return point && point->captured ? cudaErrorCapturedEvent : cudaSuccess;
}
}  // namespace

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return call("cudaEventQuery", [&] {
    std::shared_ptr<Point> point;
    if (const cudaError_t refused = usable_point(event, point)) return refused;
    if (!point || point->done) return cudaSuccess;
    nudge(*point->stream);
    return cudaErrorNotReady;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return call("cudaEventSynchronize", [&] {
    std::shared_ptr<Point> point;
    if (const cudaError_t refused = usable_point(event, point)) return refused;
    if (point) reach(*point, true);
    return cudaSuccess;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  return call("cudaEventElapsedTime", [&] {
    const auto first = handles().events.find(begin), second = handles().events.find(end);
    if (milliseconds == nullptr) return cudaErrorInvalidValue;
    if (!first || !second || !first->timed || !second->timed) return cudaErrorInvalidResourceHandle;
    const auto from = last_point(*first), to = last_point(*second);
    if (!from || !to) return cudaErrorInvalidResourceHandle;
    if (!from->done || !to->done) return cudaErrorNotReady;
    constexpr float kResolution = 0.0005F;  // half a microsecond, as real ones; never zero
    *milliseconds = std::max(std::chrono::duration<float, std::milli>(to->time - from->time).count(), kResolution);
    return cudaSuccess;
  });
}

// ---- graphs ----

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture", [&] {
    const auto stream = stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    const std::lock_guard lock(stream->mutex);
    if (stream->capturing) return cudaErrorIllegalState;
    stream->capturing = true;
    stream->invalidated = false;
    stream->mode = mode;
    stream->capture_thread = std::this_thread::get_id();
    stream->graph = std::make_unique<CUgraph_st>();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", [&] {
    const auto stream = stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (graph == nullptr) return cudaErrorInvalidValue;
    *graph = nullptr;
    const std::lock_guard lock(stream->mutex);
    if (!stream->capturing) return cudaErrorIllegalState;
    if (stream->mode != cudaStreamCaptureModeRelaxed && stream->capture_thread != std::this_thread::get_id())
      return cudaErrorStreamCaptureWrongThread;
    stream->capturing = false;
    if (stream->invalidated) return cudaErrorStreamCaptureInvalidated;
    *graph = handles().graphs.add(std::move(stream->graph));
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t handle, unsigned long long flags) {
  return call("cudaGraphInstantiate", [&] {
    const auto graph = handles().graphs.find(handle);
    if (exec == nullptr || !graph || flags != 0) return cudaErrorInvalidValue;
    auto made = std::make_shared<CUgraphExec_st>();
    made->operations = graph->operations;
    *exec = handles().execs.add(std::move(made));
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  return call("cudaGraphLaunch", [&] {
    const auto exec = handles().execs.find(handle);
    const auto stream = stream_of(stream_handle);
    if (!exec) return cudaErrorInvalidValue;
    if (!stream) return cudaErrorInvalidResourceHandle;
    for (const Operation& operation : exec->operations)
      if (const cudaError_t refused = enqueue(*stream, operation)) return refused;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call("cudaGraphDestroy", [&] { return handles().graphs.remove(graph) ? cudaSuccess : cudaErrorInvalidValue; });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return call("cudaGraphExecDestroy",
              [&] { return handles().execs.remove(exec) ? cudaSuccess : cudaErrorInvalidValue; });
}
