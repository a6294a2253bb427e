#include "cluster/replica/replica_moves.h"

#include <algorithm>
#include <utility>

namespace herd::replica {

SharedBlockBytes ReplicaMoves::on_event(const MoveEvent& event, const Status& why_not, scheduler::Scheduler& scheduler, Instant now) {
  if (const auto* said = std::get_if<FromHolder>(&event)) return on_heard(said->message, scheduler, now);
  if (const auto* said = std::get_if<FromTaker>(&event)) on_heard(said->taker, said->message, why_not, scheduler, now);
  if (const auto* gone = std::get_if<HolderGone>(&event)) fetches_.on_holder_gone(gone->holder, scheduler);
  if (const auto* gone = std::get_if<TakerGone>(&event)) exports_.on_taker_gone(gone->taker, scheduler);
  return nullptr;
}

SharedBlockBytes ReplicaMoves::on_heard(const ToTaker& message, scheduler::Scheduler& scheduler, Instant now) {
  if (const auto* found = std::get_if<MoveFound>(&message)) fetches_.on_found(*found, scheduler, now);
  if (const auto* over = std::get_if<MoveOver>(&message)) fetches_.on_over(*over, scheduler);
  const auto* bytes = std::get_if<SharedBlockBytes>(&message);
  return bytes == nullptr ? nullptr : fetches_.on_bytes(*bytes, scheduler, now);
}

void ReplicaMoves::on_heard(TakerId taker, const ToHolder& message, const Status& why_not, scheduler::Scheduler& scheduler, Instant now) {
  if (const auto* ask = std::get_if<MoveAsk>(&message)) exports_.on_ask(taker, *ask, why_not, scheduler, now);
  if (const auto* grant = std::get_if<MoveGrant>(&message)) exports_.on_grant(taker, *grant, scheduler, now);
  if (const auto* stop = std::get_if<MoveStop>(&message)) exports_.on_stop(taker, *stop, scheduler);
}

// Names of transfers begin anew in every epoch: a block of an older one would go to the taker of another.
void ReplicaMoves::on_block_read(Epoch epoch, step::BlockBytes bytes) {
  if (epoch == epoch_) return exports_.on_read(std::move(bytes));
  ++stale_blocks_;
}

std::vector<step::Submission> ReplicaMoves::settle(scheduler::Scheduler& scheduler, Instant now) {
  std::vector<step::Submission> ready;
  for (const scheduler::TransferEnd& end : scheduler.take_transfer_ends()) {
    if (end.kind == scheduler::TransferEnd::Kind::kExport) {
      exports_.on_end(end);
      if (left_at_) left_at_ = now;
      continue;
    }
    for (step::Submission& submission : fetches_.on_end(end, now)) ready.push_back(std::move(submission));
  }
  fetches_.grant_more(scheduler, now);
  return ready;
}

bool ReplicaMoves::lingers(Instant now) const {
  if (!exports_.empty()) return true;
  return enabled_ && left_at_ && now < seconds_after(*left_at_, kLingerSeconds);
}

void ReplicaMoves::stop(scheduler::Scheduler& scheduler) {
  exports_.end_all({StatusCode::kAborted, "the replica stops"}, scheduler);
  fetches_.end_all(scheduler);
}

void ReplicaMoves::clear() {
  fetches_.clear();
  exports_.clear();
}

void ReplicaMoves::report(MoveStats& stats, scheduler::SchedulerStats& work) const {
  fetches_.report(stats);
  exports_.report(stats);
  work.num_waiting += static_cast<std::uint32_t>(fetches_.num_waiting());
  work.queue_tokens += fetches_.waiting_tokens();
  const auto since = fetches_.oldest_waiting_since();
  if (since && (work.oldest_waiting_since == Instant() || *since < work.oldest_waiting_since)) work.oldest_waiting_since = *since;
}

}  // namespace herd::replica
