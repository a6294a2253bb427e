#pragma once
// What computes the steps of one rank, as its actor drives it: plans go in, results come out in the same order. At most
// kStepsUnderWay plans are under way at once; a GPU computes one while the host prepares the next.

#include <chrono>
#include <vector>

#include "runtime/step/block_bytes.h"
#include "runtime/step/step_plan.h"

namespace herd::shard {

inline constexpr int kStepsUnderWay = 2;

// Used by one thread.
class RankExecutor {
 public:
  virtual ~RankExecutor() = default;
  // Starts a step. Fewer than kStepsUnderWay are under way when it is called. A CPU returns when the step is done.
  virtual void submit(const step::StepPlan& plan) = 0;
  // Whether the oldest step under way can be collected without waiting; looks for at most `patience`.
  virtual bool ready(std::chrono::microseconds patience) = 0;
  // Waits for the oldest step under way. A failed step is a result whose status is not ok.
  virtual step::StepResult collect() = 0;

  // Bytes of a block that a plan submitted later writes. Kept until that plan, or one that forgets the transfer.
  virtual void give(step::BlockBytes block) = 0;
  // What the steps collected since it was asked last have read, in plan order. A failed step's are of no use.
  [[nodiscard]] virtual std::vector<step::BlockBytes> take_blocks_read() = 0;
};

}  // namespace herd::shard
