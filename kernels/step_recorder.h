#pragma once
// StepRecorder: steps that a device computes while the host goes on. The host sees how far it is by marks; a step of a
// known shape is recorded and repeated as one.

#include <cstdint>
#include <functional>

#include "kernels/status.h"

namespace herd {

// The most that one step of a rank will ask for; what a backend keeps as scratch follows from it.
struct ScratchLimits {
  std::int64_t rows = 0;
  std::int32_t query_heads = 0;  // of this rank
  std::int32_t head_dim = 0;
};

class StepRecorder {
 public:
  virtual ~StepRecorder() = default;

  // Once, before the first step: allocates all scratch, as a recorded step holds its addresses. kMissing when memory is
  // short. Without it attention takes its slow way, with the same bits.
  [[nodiscard]] virtual Status reserve(const ScratchLimits& limits) = 0;

  // A mark is a point in the order of operations, numbered from 1. reached: everything enqueued before it is done, or
  // an error has ended the stream (the next Device::wait says which). 0 is always reached.
  virtual std::uint64_t mark() = 0;
  [[nodiscard]] virtual bool reached(std::uint64_t mark) = 0;

  // Enqueues the operations of `body`. With a key other than 0 the device may record them when it meets the key and
  // repeat them as one (a CUDA graph) from then on: all that body enqueues, addresses and shapes included, must
  // follow from the key. body calls operations and nothing that waits.
  virtual void run_step(std::uint64_t key, const std::function<void()>& body) = 0;
  // When a group is left: forgets what was recorded, which refers to its communicator (keys are met for the first time again),
  // and that an abort of it ended the stream. A device with an error of its own keeps it. No step is waited for any more.
  virtual void forget() = 0;
};

}  // namespace herd
