#include "tests/sim/plan_checker.h"

#include <algorithm>
#include <set>
#include <utility>

namespace herd::sim {

PlanChecker::PlanChecker(const scheduler::SchedulerConfig& config)
    : config_(config), holders_(config.num_blocks), in_flight_(config.num_blocks), whole_(config.num_blocks) {}

void PlanChecker::violate(const step::StepPlan& plan, const std::string& what) {
  if (!violation_) violation_ = "plan of step " + std::to_string(plan.step.value) + ": " + what;
}

void PlanChecker::take_new_block(const step::StepPlan& plan, SequenceId id, BlockId block) {
  if (block.value >= config_.num_blocks) return violate(plan, "a block beyond the pool");
  if (holders_[block.value] > 0) violate(plan, "a new block is in another table");
  if (in_flight_[block.value] > 0) violate(plan, "a new block is still used by a plan not acknowledged");
  tables_[id].push_back(block);
  ++holders_[block.value];
  whole_[block.value] = false;
}

void PlanChecker::start(const step::StepPlan& plan, const step::SequenceStart& start) {
  const SequenceId id = start.sequence;
  if (tables_.contains(id)) violate(plan, "starts a sequence that ranks know");
  tables_[id] = start.prefix_blocks;
  known_tokens_[id] = static_cast<std::uint32_t>(start.tokens.size());
  for (const BlockId block : start.prefix_blocks) {
    ++holders_[block.value];
    if (!whole_[block.value]) violate(plan, "a cached block is not known to be whole");
  }
  if (!config_.prefix_caching && !start.prefix_blocks.empty()) violate(plan, "a cached prefix without a cache");
}

void PlanChecker::check_copies(const step::StepPlan& plan) {
  if (plan.reads.size() > config_.transfer_blocks_per_step || plan.writes.size() > config_.transfer_blocks_per_step)
    violate(plan, "more copies than allowed");
  const bool copies = !plan.reads.empty() || !plan.writes.empty() || !plan.forgotten.empty();
  if (plan.slices.empty() && plan.released.empty() && !copies) violate(plan, "an empty plan");
  if (plan.slices.empty() && plan.released.empty() && !outstanding_.empty()) violate(plan, "copies alone behind another plan");
  for (const step::BlockCopy& copy : plan.reads) {
    if (copy.block.value >= config_.num_blocks) return violate(plan, "reads a block beyond the pool");
    if (!whole_[copy.block.value]) violate(plan, "reads a block that is not known to be whole");
  }
  std::set<BlockId> written;
  for (const step::BlockCopy& copy : plan.writes) {
    if (copy.block.value >= config_.num_blocks) return violate(plan, "writes a block beyond the pool");
    if (holders_[copy.block.value] > 0) violate(plan, "writes a block that is in a table");
    if (in_flight_[copy.block.value] > 0) violate(plan, "writes a block that a plan not acknowledged uses");
    if (!written.insert(copy.block).second) violate(plan, "writes a block twice");
    whole_[copy.block.value] = false;
  }
}

void PlanChecker::on_plan(const step::StepPlan& plan) {
  if (outstanding_.size() >= config_.steps_ahead) violate(plan, "too many plans are out");
  for (const SequenceId id : plan.released) {
    if (!tables_.contains(id)) violate(plan, "releases a sequence that ranks do not know");
    for (const BlockId block : tables_[id]) --holders_[block.value];
    tables_.erase(id);
    known_tokens_.erase(id);
  }
  for (const step::SequenceStart& sequence : plan.started) start(plan, sequence);
  if (tables_.size() > config_.max_num_seqs) violate(plan, "more sequences than ranks can hold");
  check_copies(plan);
  std::uint64_t rows = 0;
  std::uint32_t prefills = 0;
  std::set<SequenceId> sequences;
  Out out;
  out.writes = plan.writes;
  for (const auto* copies : {&plan.reads, &plan.writes}) {
    for (const step::BlockCopy& copy : *copies) out.used.push_back(copy.block);
  }
  for (const BlockId block : out.used) ++in_flight_[block.value];  // at once: no slice may take one
  const std::size_t copied = out.used.size();
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
    out.used.insert(out.used.end(), table.begin(), table.end());
    for (std::uint32_t i = slice.position / config_.block_size; (i + 1) * config_.block_size <= slice.position + slice.rows; ++i) {
      if (i < table.size()) out.filled.push_back(table[i]);
    }
  }
  for (const step::SequenceStart& start : plan.started) {
    if (!sequences.contains(start.sequence)) violate(plan, "starts a sequence without computing it");
  }
  if (rows > config_.max_num_batched_tokens) violate(plan, "more rows than the step's budget");
  if (prefills > config_.max_prefill_seqs) violate(plan, "more prefills than allowed");
  for (std::size_t i = copied; i < out.used.size(); ++i) ++in_flight_[out.used[i].value];
  outstanding_.push_back(std::move(out));
}

void PlanChecker::on_result(const std::vector<step::DamagedBlock>& damaged) {
  const Out& out = outstanding_.front();
  for (const BlockId block : out.used) --in_flight_[block.value];
  for (const BlockId block : out.filled) whole_[block.value] = true;
  for (const step::BlockCopy& copy : out.writes)
    whole_[copy.block.value] = std::ranges::count(damaged, step::DamagedBlock{copy.transfer, copy.index}) == 0;
  outstanding_.pop_front();
}

}  // namespace herd::sim
