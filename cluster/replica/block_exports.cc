#include "cluster/replica/block_exports.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

namespace herd::replica {

void BlockExports::on_ask(TakerId taker, const MoveAsk& ask, const Status& why_not, scheduler::Scheduler& scheduler, Instant now) {
  const auto refuse = [&](Status why) { messages_.push_back({taker, MoveFound{ask.move, std::move(why), {}}}); };
  if (!why_not.ok()) return refuse(why_not);
  if (Status status = check(ask); !status.ok()) return refuse(std::move(status));
  if (find(taker, ask.move) != nullptr) return refuse(bad_input("a move of that number is under way"));
  const TransferId own(++last_id_);
  auto begun = scheduler.begin_export(own, ask.hashes, ask.salt, ask.first);
  if (!begun) return refuse(begun.error());
  exports_.push_back({own, taker, ask.move, now});
  messages_.push_back({taker, MoveFound{ask.move, {}, std::move(begun->tokens)}});
}

Status BlockExports::check(const MoveAsk& ask) const {
  if (!config_.enabled) return {StatusCode::kMissing, "the replica gives no blocks"};
  if (ask.kind.numerics != config_.kind.numerics)
    return bad_input("blocks of numerics \"" + config_.kind.numerics + "\" cannot be used by \"" + ask.kind.numerics + "\"");
  if (ask.kind.layout != config_.kind.layout || ask.kind.ranks != config_.kind.ranks)
    return bad_input("blocks of layout " + config_.kind.layout + " on " + std::to_string(config_.kind.ranks) +
                     " ranks cannot be used as " + ask.kind.layout + " on " + std::to_string(ask.kind.ranks));
  return {};
}

BlockExports::Export* BlockExports::find(TakerId taker, TransferId move) {
  const auto found =
      std::ranges::find_if(exports_, [&](const Export& given) { return given.taker == taker && given.move == move && !given.stopped; });
  return found == exports_.end() ? nullptr : &*found;
}

void BlockExports::on_grant(TakerId taker, const MoveGrant& grant, scheduler::Scheduler& scheduler, Instant now) {
  Export* given = find(taker, grant.move);
  if (given == nullptr) return;
  given->heard = now;
  scheduler.grant_reads(given->own, grant.blocks);
}

void BlockExports::on_stop(TakerId taker, const MoveStop& stop, scheduler::Scheduler& scheduler) {
  if (Export* given = find(taker, stop.move)) end(*given, scheduler);
}

void BlockExports::on_taker_gone(TakerId taker, scheduler::Scheduler& scheduler) {
  for (Export& given : exports_)
    if (given.taker == taker && !given.stopped) end(given, scheduler);
}

// on_end comes when its blocks are back.
void BlockExports::end(Export& given, scheduler::Scheduler& scheduler) {
  given.stopped = true;
  scheduler.end_export(given.own);
}

void BlockExports::on_read(step::BlockBytes bytes) {
  const auto given = std::ranges::find(exports_, bytes.transfer, &Export::own);
  if (given == exports_.end() || given->stopped) return;
  bytes.transfer = given->move;
  counters_.bytes_out += bytes.bytes.size();
  messages_.push_back({given->taker, std::make_shared<const step::BlockBytes>(std::move(bytes))});
}

void BlockExports::on_timer(Instant now, scheduler::Scheduler& scheduler) {
  for (Export& given : exports_) {
    if (given.stopped || seconds_after(given.heard, kLeaseSeconds) > now) continue;
    ++counters_.leases_expired;
    messages_.push_back({given.taker, MoveOver{given.move, {StatusCode::kAborted, "nothing was heard of its taker for too long"}}});
    end(given, scheduler);
  }
}

void BlockExports::on_end(const scheduler::TransferEnd& end) {
  const auto over = std::ranges::find(exports_, end.transfer, &Export::own);
  if (over == exports_.end()) return;
  counters_.blocks_out += end.blocks;
  if (!over->stopped && end.cause != scheduler::TransferEnd::Cause::kDone)
    messages_.push_back({over->taker, MoveOver{over->move, {StatusCode::kAborted, "the replica needs the blocks"}}});
  exports_.erase(over);
}

void BlockExports::end_all(const Status& why, scheduler::Scheduler& scheduler) {
  for (Export& given : exports_) {
    if (given.stopped) continue;
    messages_.push_back({given.taker, MoveOver{given.move, why}});
    end(given, scheduler);
  }
}

void BlockExports::clear() {
  exports_.clear();
  messages_.clear();
}

std::optional<Instant> BlockExports::deadline() const {
  std::optional<Instant> next;
  for (const Export& given : exports_) {
    if (given.stopped) continue;
    const Instant at = seconds_after(given.heard, kLeaseSeconds);
    next = next ? std::min(*next, at) : at;
  }
  return next;
}

void BlockExports::report(MoveStats& stats) const {
  stats.blocks_out = counters_.blocks_out;
  stats.bytes_out = counters_.bytes_out;
  stats.leases_expired = counters_.leases_expired;
  stats.open += static_cast<std::uint32_t>(exports_.size());
}

}  // namespace herd::replica
