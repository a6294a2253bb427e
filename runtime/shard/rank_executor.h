#pragma once
// What computes the steps of one rank, as its actor drives it: plans go in, results come out in the same order. At most
// kStepsUnderWay plans are under way at once; a GPU computes one while the host prepares the next.

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
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

// A rank that computes a step in one call: toys, and tests.
class BlockingRank final : public RankExecutor {
 public:
  using Execute = std::function<step::StepResult(const step::StepPlan&)>;
  // What one does that has blocks to copy; by default there is nothing in them.
  struct Blocks {
    std::function<void(step::BlockBytes)> give = [](step::BlockBytes) {};
    std::function<std::vector<step::BlockBytes>()> take_read = [] { return std::vector<step::BlockBytes>(); };
  };
  explicit BlockingRank(Execute execute) : BlockingRank(std::move(execute), Blocks{}) {}
  BlockingRank(Execute execute, Blocks blocks) : execute_(std::move(execute)), blocks_(std::move(blocks)) {}
  void submit(const step::StepPlan& plan) override { results_.push_back(execute_(plan)); }
  bool ready(std::chrono::microseconds) override { return !results_.empty(); }
  step::StepResult collect() override {
    step::StepResult result = std::move(results_.front());
    results_.pop_front();
    return result;
  }
  void give(step::BlockBytes block) override { blocks_.give(std::move(block)); }
  std::vector<step::BlockBytes> take_blocks_read() override { return blocks_.take_read(); }

 private:
  const Execute execute_;
  const Blocks blocks_;
  std::deque<step::StepResult> results_;
};

}  // namespace herd::shard
