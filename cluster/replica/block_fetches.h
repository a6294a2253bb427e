#pragma once
// BlockFetches: the moves of KV blocks into this replica. A sequence whose prompt another replica has in its prefix cache waits here
// until the blocks are in this one's; then it is submitted like any other, and hits them. What does not come in time, or not as it was
// sent, is computed. Pure.
//
//   on_submission ──> MoveAsk ──MoveFound──> MoveGrant, BlockBytes … ──all written, or no more comes──> its sequences are ready
//
// A move is worth it only while it is predicted to be faster than computing by far: moves are bounded by what computing would take.

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "cluster/replica/move_messages.h"
#include "cluster/replica/move_stats.h"
#include "cluster/routing/cluster_view.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/scheduler/scheduler.h"
#include "runtime/step/submission.h"

namespace herd::replica {

struct MoveConfig {
  bool enabled = false;
  KvKind kind;
  std::uint64_t block_bytes = 0;  // of all ranks together
  bool operator==(const MoveConfig&) const = default;
};

class BlockFetches {
 public:
  static constexpr std::uint32_t kBlocksMin = 4;            // fewer are computed sooner than asked for
  static constexpr double kFactor = 2.0;                    // so many times faster than computing is worth it
  static constexpr double kSilenceSeconds = 2.0;            // in which nothing came: no more will
  static constexpr double kSecondsLeast = 2.0;              // what a move may take in any case: the machine may be busy
  static constexpr double kBytesPerSecond = 1e9;            // as long as nothing has moved lately
  static constexpr double kMeasuredSeconds = 30.0;          // for so long what moved last says how fast the next will
  static constexpr std::uint64_t kBytesOnTheWay = 16 << 20; // of a move: granted and not here yet
  // Of all moves: granted and not written. No rank keeps more (step::GivenBlocks), whatever its share of a block is.
  static constexpr std::uint64_t kBytesUnwritten = 128 << 20;

  BlockFetches(const MoveConfig& config, const scheduler::SchedulerConfig& scheduler)
      : config_(config), block_size_(scheduler.block_size), prefix_caching_(scheduler.prefix_caching) {}

  // What is to be said to holders since it was taken last.
  struct Message {
    routing::Route to;
    ToHolder message;
  };
  [[nodiscard]] std::vector<Message> take_messages() { return std::exchange(messages_, {}); }

  // True: the sequence waits here from now on. `prompt_token_s`: what a token takes to compute; 0: nobody knows, and then nothing
  // is fetched.
  [[nodiscard]] bool on_submission(const step::Submission& submission, double prompt_token_s, scheduler::Scheduler& scheduler,
                                   Instant now);
  // It waits here no more; false: it does not.
  bool abort(SequenceId own, scheduler::Scheduler& scheduler);

  // From holders; what is about no move of now is dropped.
  void on_found(const MoveFound& found, scheduler::Scheduler& scheduler, Instant now);
  // The bytes to be given to their rank; null: they are not wanted.
  [[nodiscard]] SharedBlockBytes on_bytes(SharedBlockBytes bytes, scheduler::Scheduler& scheduler, Instant now);
  void on_over(const MoveOver& over, scheduler::Scheduler& scheduler);
  // That generation cannot be reached.
  void on_holder_gone(routing::ReplicaGeneration holder, scheduler::Scheduler& scheduler);
  void on_timer(Instant now, scheduler::Scheduler& scheduler);
  // Blocks may have been written, or moves be over: more may come.
  void grant_more(const scheduler::Scheduler& scheduler, Instant now);
  // The scheduler says that an import is over. The sequences that waited for it.
  [[nodiscard]] std::vector<step::Submission> on_end(const scheduler::TransferEnd& end, Instant now);
  // No more comes, and sequences that wait are computed here.
  void end_all(scheduler::Scheduler& scheduler) {
    for (Fetch& fetch : fetches_) stop(fetch, scheduler);
  }
  // Everything is over.
  void clear();

  // When on_timer has something to do.
  [[nodiscard]] std::optional<Instant> deadline() const;
  [[nodiscard]] std::size_t num_waiting() const;            // sequences
  [[nodiscard]] std::uint64_t waiting_tokens() const;       // of their prompts
  [[nodiscard]] std::optional<Instant> oldest_waiting_since() const;
  void report(MoveStats& stats) const;
  void check_integrity() const;

 private:
  struct Waiting {
    step::Submission submission;
    Instant since;
  };
  struct Fetch {
    TransferId id;
    routing::Route holder;
    std::uint64_t salt = 0;
    std::vector<TokenId> tokens;          // of the chain: whole blocks
    std::uint32_t first = 0;              // blocks before it were here
    std::uint32_t granted = 0;            // blocks before it may come
    std::uint32_t end = 0;                // blocks from it on do not come
    std::vector<std::uint32_t> ranks;     // by block behind the first: which ranks' bytes are here, a bit each
    std::uint32_t complete = 0;           // blocks of which all bytes are here
    Instant begun, heard;
    Instant ends_by;
    bool found = false;                   // the holder has said what it has
    bool stopped = false;                 // it waits for its blocks to come back, and takes nothing more
    std::vector<Waiting> waiting;
  };

  [[nodiscard]] std::vector<TokenId> chain_of(const step::Submission& submission) const;
  [[nodiscard]] Fetch* find(TransferId id);
  // A move under way that brings what the submission needs.
  [[nodiscard]] Fetch* find_for(const step::Submission& submission, std::span<const TokenId> chain);
  void grant(Fetch& fetch, const scheduler::Scheduler& scheduler, Instant now);
  [[nodiscard]] std::uint64_t unwritten(const scheduler::Scheduler& scheduler) const;  // blocks that were granted
  // When it is not waited for any longer: the holder is silent only while something is to come from it.
  [[nodiscard]] static Instant given_up_at(const Fetch& fetch);
  void stop(Fetch& fetch, scheduler::Scheduler& scheduler);
  void give_up(Fetch& fetch, scheduler::Scheduler& scheduler);
  [[nodiscard]] double block_seconds(Instant now) const;

  const MoveConfig config_;
  const std::uint32_t block_size_;
  const bool prefix_caching_;
  std::vector<Fetch> fetches_;
  std::vector<Message> messages_;  // not taken yet
  std::uint64_t last_id_ = 0;
  double block_s_ = 0.0;  // what a block took, lately; 0: none has come
  Instant measured_;      // when it was measured last
  MoveStats counters_;
};

}  // namespace herd::replica
