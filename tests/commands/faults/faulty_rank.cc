#include "tests/commands/faults/faulty_rank.h"

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <utility>

#include <unistd.h>

namespace herd::faults {
namespace {

void say(const char* what, ReplicaId replica, std::uint32_t rank) {
  std::fprintf(stderr, "faults: %s: replica %u, rank %u, thread %d\n", what, replica.value, rank,
               static_cast<int>(::gettid()));
}

step::StepResult failed_result(const step::StepPlan& plan, std::uint32_t rank) {
  step::StepResult result;
  result.epoch = plan.epoch;
  result.step = plan.step;
  result.rank = rank;
  result.status = {StatusCode::kInternal, "a planted fault"};
  return result;
}

void flip_token(step::StepResult& result) {
  result.token_hash ^= 1;
  if (!result.sampled.empty()) result.sampled.front().token ^= 1;
}

}  // namespace

void say_fault(FaultKind kind, ReplicaId replica, std::uint32_t rank) { say(fault_name(kind), replica, rank); }

void hang() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

FaultyRank::FaultyRank(std::unique_ptr<shard::RankExecutor> executor, std::shared_ptr<FaultSchedule> schedule, ReplicaId replica,
                       std::uint32_t rank)
    : executor_(std::move(executor)), schedule_(std::move(schedule)), replica_(replica), rank_(rank) {}

void FaultyRank::submit(const step::StepPlan& plan) {
  if (!has_said_thread_) say("computes", replica_, rank_);  // for tests that stop the thread themselves
  has_said_thread_ = true;
  UnderWay step;
  if (!plan.slices.empty()) {
    if (const auto fault = schedule_->on_step(replica_, rank_)) step = happen(*fault, plan);
  }
  if (!step.failed) executor_->submit(plan);
  steps_.push_back(std::move(step));
}

FaultyRank::UnderWay FaultyRank::happen(const PlantedFault& fault, const step::StepPlan& plan) const {
  say_fault(fault.kind, replica_, rank_);
  switch (fault.kind) {
    case FaultKind::kFail: return {.failed = failed_result(plan, rank_)};
    case FaultKind::kDie: throw std::runtime_error("a planted fault");
    case FaultKind::kHang: hang();
    case FaultKind::kHangFor: std::this_thread::sleep_for(std::chrono::duration<double>(fault.seconds)); return {};
    case FaultKind::kFlipToken: return {.flips_token = true};
    case FaultKind::kDamageBlock: return {.damages_block = true};
    default: return {};
  }
}

bool FaultyRank::ready(std::chrono::microseconds patience) {
  return (!steps_.empty() && steps_.front().failed) || executor_->ready(patience);
}

step::StepResult FaultyRank::collect() {
  UnderWay step = std::move(steps_.front());
  steps_.pop_front();
  if (step.failed) return std::move(*step.failed);
  step::StepResult result = executor_->collect();
  if (step.flips_token) flip_token(result);
  blocks_to_damage_ += step.damages_block ? 1 : 0;
  return result;
}

// Behind its checksum, as on the way.
std::vector<step::BlockBytes> FaultyRank::take_blocks_read() {
  std::vector<step::BlockBytes> blocks = executor_->take_blocks_read();
  for (step::BlockBytes& block : blocks) {
    if (blocks_to_damage_ == 0) break;
    --blocks_to_damage_;
    block.bytes[block.bytes.size() / 3] ^= std::byte{0x10};
  }
  return blocks;
}

}  // namespace herd::faults
