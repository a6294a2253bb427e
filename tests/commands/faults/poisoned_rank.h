#pragma once
// PoisonedRank: a rank of a process of its own that dies of certain prompts, as one does whose kernel has a fault that they reach.
//
//   HERD_TEST_POISON="token=7,position=40,rank=1"
// It ends by SIGABRT when a step computes a position from 40 on of a sequence whose prompt has the token 7. rank left out: every rank;
// position left out: with the first step.

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string_view>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/shard/rank_executor.h"

namespace herd::faults {

struct Poison {
  TokenId token = -1;
  std::uint32_t position = 0;
  std::optional<std::uint32_t> rank;
};
// kUsage says which word is wrong.
[[nodiscard]] Expected<Poison> parse_poison(std::string_view text);

class PoisonedRank final : public shard::RankExecutor {
 public:
  PoisonedRank(std::unique_ptr<shard::RankExecutor> executor, const Poison& poison) : executor_(std::move(executor)), poison_(poison) {}
  void submit(const step::StepPlan& plan) override;
  bool ready(std::chrono::microseconds patience) override { return executor_->ready(patience); }
  step::StepResult collect() override { return executor_->collect(); }
  void give(step::BlockBytes block) override { executor_->give(std::move(block)); }
  std::vector<step::BlockBytes> take_blocks_read() override { return executor_->take_blocks_read(); }

 private:
  const std::unique_ptr<shard::RankExecutor> executor_;
  const Poison poison_;
  std::set<SequenceId> poisoned_;
};

}  // namespace herd::faults
