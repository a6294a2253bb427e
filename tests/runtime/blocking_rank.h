#pragma once
// BlockingRank: a rank that computes a step in one call, for toys.

#include <chrono>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "runtime/shard/rank_executor.h"

namespace herd::shard {

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
