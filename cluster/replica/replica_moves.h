#pragma once
// ReplicaMoves: the KV blocks that move into a replica and out of it (block_fetches.h, block_exports.h), as its core drives them. Pure.

#include <optional>
#include <vector>

#include "cluster/replica/block_exports.h"
#include "cluster/replica/block_fetches.h"
#include "cluster/replica/move_messages.h"
#include "cluster/replica/move_stats.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/scheduler/scheduler.h"
#include "runtime/step/submission.h"

namespace herd::replica {

// To the leader that has blocks, and to one that takes them.
using SendToHolder = BlockFetches::Message;
using SendToTaker = BlockExports::Message;

class ReplicaMoves {
 public:
  // A replica that drains waits so long for those that its sequences went to, to come for their blocks.
  static constexpr double kLingerSeconds = 1.0;

  ReplicaMoves(const MoveConfig& config, const scheduler::SchedulerConfig& scheduler, Epoch epoch)
      : epoch_(epoch), enabled_(config.enabled), fetches_(config, scheduler), exports_(config) {}

  // As BlockFetches: true, the sequence waits here; true, it did.
  [[nodiscard]] bool on_submission(const step::Submission& submission, double prompt_token_s, scheduler::Scheduler& scheduler,
                                   Instant now) {
    return fetches_.on_submission(submission, prompt_token_s, scheduler, now);
  }
  bool abort(SequenceId own, scheduler::Scheduler& scheduler) { return fetches_.abort(own, scheduler); }

  // `why_not`: nothing is given to others now; ok: it is. The bytes to be given to their rank; null: there are none, or they are not
  // wanted.
  [[nodiscard]] SharedBlockBytes on_event(const MoveEvent& event, const Status& why_not, scheduler::Scheduler& scheduler, Instant now);
  // A rank has read a block for another replica, by a plan of that epoch.
  void on_block_read(Epoch epoch, step::BlockBytes bytes);

  void on_timer(Instant now, scheduler::Scheduler& scheduler) {
    fetches_.on_timer(now, scheduler);
    exports_.on_timer(now, scheduler);
  }
  // Something is under way, so that on_timer is to be called.
  [[nodiscard]] bool wants_timer() const { return fetches_.deadline() || exports_.deadline(); }

  // To be asked after whatever may have ended a transfer of the scheduler: sequences whose blocks have come, or will not.
  [[nodiscard]] std::vector<step::Submission> settle(scheduler::Scheduler& scheduler, Instant now);
  // What is to be said since it was taken last.
  [[nodiscard]] std::vector<SendToHolder> take_to_holders() { return fetches_.take_messages(); }
  [[nodiscard]] std::vector<SendToTaker> take_to_takers() { return exports_.take_messages(); }

  // A sequence left before its end: perhaps for another replica, as this one drains.
  void on_left(Instant now) { left_at_ = now; }
  // Others may still come for what is in the cache.
  [[nodiscard]] bool lingers(Instant now) const;
  // The replica stops: nothing moves any more. The last blocks are let go when the steps in flight are through.
  void stop(scheduler::Scheduler& scheduler);
  // The replica is lost.
  void clear();

  [[nodiscard]] std::uint64_t stale_blocks() const { return stale_blocks_; }  // read in another epoch: dropped
  [[nodiscard]] std::size_t num_waiting() const { return fetches_.num_waiting(); }
  [[nodiscard]] std::uint64_t waiting_tokens() const { return fetches_.waiting_tokens(); }  // of their prompts
  // Sequences that wait for blocks are as good as queued.
  void report(MoveStats& stats, scheduler::SchedulerStats& work) const;
  void check_integrity() const { fetches_.check_integrity(); }

 private:
  [[nodiscard]] SharedBlockBytes on_heard(const ToTaker& message, scheduler::Scheduler& scheduler, Instant now);
  void on_heard(TakerId taker, const ToHolder& message, const Status& why_not, scheduler::Scheduler& scheduler, Instant now);

  const Epoch epoch_;
  const bool enabled_;
  std::uint64_t stale_blocks_ = 0;
  BlockFetches fetches_;
  BlockExports exports_;
  std::optional<Instant> left_at_;  // when a sequence left, or blocks followed one, last
};

}  // namespace herd::replica
