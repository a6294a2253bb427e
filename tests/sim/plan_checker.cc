#include "tests/sim/plan_checker.h"

#include <set>
#include <utility>

namespace herd::sim {

PlanChecker::PlanChecker(const scheduler::SchedulerConfig& config)
    : config_(config), holders_(config.num_blocks), in_flight_(config.num_blocks) {}

void PlanChecker::violate(const step::StepPlan& plan, const std::string& what) {
  if (!violation_) violation_ = "plan of step " + std::to_string(plan.step.value) + ": " + what;
}

void PlanChecker::take_new_block(const step::StepPlan& plan, SequenceId id, BlockId block) {
  if (block.value >= config_.num_blocks) return violate(plan, "a block beyond the pool");
  if (holders_[block.value] > 0) violate(plan, "a new block is in another table");
  if (in_flight_[block.value] > 0) violate(plan, "a new block is still used by a plan not acknowledged");
  tables_[id].push_back(block);
  ++holders_[block.value];
}

void PlanChecker::on_plan(const step::StepPlan& plan) {
  if (outstanding_.size() >= config_.steps_ahead) violate(plan, "too many plans are out");
  for (const SequenceId id : plan.released) {
    if (!tables_.contains(id)) violate(plan, "releases a sequence that ranks do not know");
    for (const BlockId block : tables_[id]) --holders_[block.value];
    tables_.erase(id);
    known_tokens_.erase(id);
  }
  for (const step::SequenceStart& start : plan.started) {
    const SequenceId id = start.sequence;
    if (tables_.contains(id)) violate(plan, "starts a sequence that ranks know");
    tables_[id] = start.prefix_blocks;
    known_tokens_[id] = static_cast<std::uint32_t>(start.tokens.size());
    for (const BlockId block : start.prefix_blocks) ++holders_[block.value];
    if (!config_.prefix_caching && !start.prefix_blocks.empty()) violate(plan, "a cached prefix without a cache");
  }
  if (tables_.size() > config_.max_num_seqs) violate(plan, "more sequences than ranks can hold");
  if (plan.slices.empty() && plan.released.empty()) violate(plan, "an empty plan");
  std::uint64_t rows = 0;
  std::uint32_t prefills = 0;
  std::set<SequenceId> sequences;
  std::vector<BlockId> used;
  for (const step::SequenceSlice& slice : plan.slices) {
    if (!tables_.contains(slice.sequence)) return violate(plan, "a slice of a sequence that ranks do not know");
    if (!sequences.insert(slice.sequence).second) violate(plan, "two slices of one sequence");
    for (const BlockId block : slice.new_blocks) take_new_block(plan, slice.sequence, block);
    rows += slice.rows;
    const bool prefill = slice.position < known_tokens_[slice.sequence];
    prefills += prefill ? 1 : 0;
    if (!prefill && slice.rows != 1) violate(plan, "a decode of several rows");
    if (prefill && config_.prefill_chunk_max > 0 && slice.rows > config_.prefill_chunk_max)
      violate(plan, "a chunk too long");
    const std::vector<BlockId>& table = tables_[slice.sequence];
    used.insert(used.end(), table.begin(), table.end());
  }
  for (const step::SequenceStart& start : plan.started) {
    if (!sequences.contains(start.sequence)) violate(plan, "starts a sequence without computing it");
  }
  if (rows > config_.max_num_batched_tokens) violate(plan, "more rows than the step's budget");
  if (prefills > config_.max_prefill_seqs) violate(plan, "more prefills than allowed");
  for (const BlockId block : used) ++in_flight_[block.value];
  outstanding_.push_back(std::move(used));
}

void PlanChecker::on_result() {
  for (const BlockId block : outstanding_.front()) --in_flight_[block.value];
  outstanding_.pop_front();
}

}  // namespace herd::sim
