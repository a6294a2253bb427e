#pragma once
// BlockExports: the moves of KV blocks out of this replica, on behalf of others that asked. Each is a lease: the blocks stay in the
// cache while the taker goes on granting, and are let go when the last one was read, or when it stops, is gone, or is silent for too
// long. Pure.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "cluster/replica/block_fetches.h"
#include "cluster/replica/move_messages.h"
#include "cluster/replica/move_stats.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/scheduler/scheduler.h"

namespace herd::replica {

class BlockExports {
 public:
  static constexpr double kLeaseSeconds = 5.0;  // without a word of the taker

  explicit BlockExports(const MoveConfig& config) : config_(config) {}

  // What is to be said to takers since it was taken last.
  struct Message {
    TakerId to = 0;
    ToTaker message;
  };
  [[nodiscard]] std::vector<Message> take_messages() { return std::exchange(messages_, {}); }

  // From takers. `why_not`: the replica gives nothing now; ok: it does.
  void on_ask(TakerId taker, const MoveAsk& ask, const Status& why_not, scheduler::Scheduler& scheduler, Instant now);
  void on_grant(TakerId taker, const MoveGrant& grant, scheduler::Scheduler& scheduler, Instant now);
  void on_stop(TakerId taker, const MoveStop& stop, scheduler::Scheduler& scheduler);
  void on_taker_gone(TakerId taker, scheduler::Scheduler& scheduler);

  // A rank has read a block for one of these; each rank its own.
  void on_read(step::BlockBytes bytes);
  void on_timer(Instant now, scheduler::Scheduler& scheduler);
  // The scheduler says that an export is over.
  void on_end(const scheduler::TransferEnd& end);
  // The replica stops: all are told.
  void end_all(const Status& why, scheduler::Scheduler& scheduler);
  void clear();

  [[nodiscard]] std::optional<Instant> deadline() const;
  [[nodiscard]] bool empty() const { return exports_.empty(); }
  void report(MoveStats& stats) const;

 private:
  struct Export {
    TransferId own;  // as the scheduler and the ranks name it
    TakerId taker = 0;
    TransferId move;  // as the taker does
    Instant heard;
    bool stopped = false;  // nobody waits for more of it
  };
  [[nodiscard]] Export* find(TakerId taker, TransferId move);
  [[nodiscard]] Status check(const MoveAsk& ask) const;
  void end(Export& given, scheduler::Scheduler& scheduler);

  const MoveConfig config_;
  std::vector<Export> exports_;
  std::vector<Message> messages_;  // not taken yet
  std::uint64_t last_id_ = 0;
  MoveStats counters_;
};

}  // namespace herd::replica
