#include "runtime/scheduler/scheduler_state.h"

#include <utility>

#include "kernels/check.h"

namespace herd::scheduler {
namespace {

std::uint64_t& counter_of(SchedulerStats& counters, step::FinishReason reason) {
  switch (reason) {
    case step::FinishReason::kStop:
      return counters.finished_stop;
    case step::FinishReason::kLength:
      return counters.finished_length;
    case step::FinishReason::kAborted:
      return counters.aborted;
    case step::FinishReason::kFailed:
      break;
    case step::FinishReason::kNone:
    case step::FinishReason::kRefused:
      HERD_CHECK(false, "not an end of an accepted sequence");
  }
  return counters.failed;
}

SchedulerConfig with_watermark(SchedulerConfig config) {
  if (config.watermark_blocks == 0) config.watermark_blocks = config.num_blocks / 100;
  return config;
}

}  // namespace

SchedulerState::SchedulerState(const SchedulerConfig& scheduler_config, Epoch replica_epoch,
                               const SchedulerProbe& scheduler_probe)
    : config(with_watermark(scheduler_config)),
      epoch(replica_epoch),
      probe(scheduler_probe),
      sequences(config, probe.hash_bits),
      leaders(config),
      transfers(config) {}

void SchedulerState::end_sequence(Slot slot, step::TokenDelta& delta, step::FinishReason reason, Status error) {
  const Sequence& sequence = sequences[slot];
  delta.sequence = sequence.id;
  delta.attempt = sequence.attempt;
  delta.finish = reason;
  delta.error = std::move(error);
  report_service(sequence, delta);
  delta.preemptions = sequence.preemptions;
  ++counter_of(counters, reason);
  leaders.stop_leading(slot, sequences);
  if (sequence.held_by) leaders.forget_follower(sequence);
  sequences.end(slot);
}

void report_service(const Sequence& sequence, step::TokenDelta& delta) {
  if (!sequence.was_admitted) return;
  delta.cached_tokens = sequence.cached_tokens;
  delta.queued_s = static_cast<float>(seconds_between(sequence.submitted_at, sequence.first_planned_at));
  delta.prefill_s = sequence.prefill_s;
}

}  // namespace herd::scheduler
