#pragma once
// Scheduler: decides what one replica computes next. Pure: no clock, no I/O, no actor library.
// Iteration-level batching (Orca, Yu et al. 2022) with chunked prefill (Sarathi-Serve, Agrawal et al. 2024):
// decodes go first, the leftover token budget prefills. Preemption recomputes.
//
// How it is driven:
//   on_submit → plan_step → (all ranks compute) → on_step_done, in step order; up to steps_ahead plans out.
//   Every accepted submission gets exactly one terminal delta: from on_step_done, or from on_abort.
//   The actor calls plan_step after each of these events until it returns nullopt.
//
// What a plan promises to ranks: every sequence started is released exactly once, in the first plan made after
// it ended or was preempted (a plan may carry `released` alone, and is acknowledged like any other); an id
// is started again only in that plan or later. A step in flight may still compute a released or
// ended sequence; what it brings beyond the end is dropped. A preempted sequence keeps the token of its step
// in flight, and is started again with it.
//
// Blocks are freed when the last step that uses them was acknowledged. They are published to the prefix cache
// when a sampled row at or after them was finite: attention makes a NaN reach every later row.
//
// A prefix is computed once: a sequence whose prefix another one computes right now is held back until that one's
// blocks are published, or it ends or is preempted without. Nobody is held back by who is served after it, so the
// first of those that wait always goes on. Others pass meanwhile, but leave it a seat and the blocks it will take.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "kernels/status.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/kv/block_manager.h"
#include "runtime/scheduler/sequence.h"
#include "runtime/step/step_plan.h"
#include "runtime/step/submission.h"

namespace herd::scheduler {

enum class SchedulingPolicy : std::uint8_t {
  kFcfs = 0,  // by arrival
  kPriority,  // lower priority value first, then arrival
};

// Value.
struct SchedulerConfig {
  std::uint32_t max_num_seqs = 64;              // sequences known to ranks at one time
  std::uint32_t max_num_batched_tokens = 512;   // rows of one step; at least max_num_seqs
  std::uint32_t max_prefill_seqs = 32;          // sequences prefilling in one step (--max-ce-batch-size)
  std::uint32_t prefill_chunk_max = 0;          // rows of one sequence's chunk; 0: only the step's budget
  std::uint32_t queue_requests_max = 1024;      // waiting sequences
  std::uint64_t queue_tokens_max = 1ULL << 20;  // tokens of waiting sequences; at least max_model_len
  std::uint32_t max_model_len = 0;              // prompt + emitted tokens of one sequence
  TokenId vocab_size = 0;                       // token ids lie below it; 0: not checked
  std::uint32_t block_size = kv::kBlockSizeDefault;
  std::uint32_t num_blocks = 0;
  std::uint32_t watermark_blocks = 0;  // kept available at admission while others run; 0: 1 % of the pool
  bool prefix_caching = true;
  std::uint32_t shared_prefix_min = 64;  // tokens another one must compute for a sequence to be held back; 0: never
  SchedulingPolicy policy = SchedulingPolicy::kFcfs;
  std::uint32_t steps_ahead = 2;          // plans out at one time: 2 = one step ahead, 1 = off
  std::uint32_t preempt_every_steps = 0;  // tests: preempt one sequence in every n-th plan; 0: never
  std::uint32_t hash_bits = 64;           // tests: weaker block hashes, see kv::BlockManagerConfig
  bool operator==(const SchedulerConfig&) const = default;

  [[nodiscard]] Status validate() const;  // kUsage with the field's name
};

// Plain numbers; the actor exports them. Counters rise only.
struct SchedulerStats {
  std::uint32_t num_waiting = 0;
  std::uint32_t num_held_back = 0;  // of these, until another one's prefix is computed
  std::uint64_t queue_tokens = 0;
  std::uint32_t num_running = 0;   // known to ranks
  std::uint32_t num_draining = 0;  // blocks held for a step in flight
  std::uint32_t plans_outstanding = 0;
  Instant oldest_waiting_since;  // 0 when none waits
  std::uint64_t accepted = 0;
  std::uint64_t refused_overloaded = 0;
  std::uint64_t refused_bad_input = 0;
  std::uint64_t finished_stop = 0;
  std::uint64_t finished_length = 0;
  std::uint64_t aborted = 0;
  std::uint64_t failed = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t held_back = 0;  // sequences, each time
  std::uint64_t steps_planned = 0;
  std::uint64_t prefill_rows = 0;  // planned, recomputed ones included
  std::uint64_t decode_rows = 0;
  std::uint64_t tokens_emitted = 0;
  std::uint64_t tokens_discarded = 0;  // computed past the end of a sequence
  std::uint64_t stale_results = 0;     // of another epoch or step: dropped
  kv::BlockStats blocks;
  bool operator==(const SchedulerStats&) const = default;
};

// Pure machine, for one epoch of one replica: after a loss a new one is made for the next epoch.
class Scheduler {
 public:
  // `config` is valid.
  Scheduler(const SchedulerConfig& config, Epoch epoch);

  // kBadInput: nothing to compute, too long, can never fit the pool, an id that is still open, or what would fail the step
  // at the ranks: a token outside the vocabulary, sampling parameters out of range.
  // kOverloaded: the queue is full. kAborted: the replica is lost. A refused submission gets no delta.
  Status on_submit(const step::Submission& submission, Instant now);
  // The terminal delta; nullopt when the sequence is unknown or has ended.
  [[nodiscard]] std::optional<step::TokenDelta> on_abort(SequenceId id);
  // nullopt when there is nothing to do, or nothing before a result arrives.
  [[nodiscard]] std::optional<step::StepPlan> plan_step(Instant now);
  // Deltas in plan order. A failed status ends every open sequence with kFailed. A result that is not the
  // oldest outstanding step's is counted and dropped.
  [[nodiscard]] std::vector<step::TokenDelta> on_step_done(const step::StepResult& result, Instant now);
  // Empties itself for good: no block held, nothing outstanding. Returns the sequences that were open, by
  // arrival; they get no terminal delta from here.
  [[nodiscard]] std::vector<SequenceId> on_replica_lost();

  // Tests: preempt up to `count` sequences that have sampled since their admission, at the next plan.
  void force_preempt(std::uint32_t count) { preempt_next_ += count; }

  [[nodiscard]] std::size_t num_open() const { return open_.size(); }  // accepted, without a terminal delta
  [[nodiscard]] bool idle() const { return open_.empty() && outstanding_.empty() && released_.empty(); }
  [[nodiscard]] SchedulerStats stats() const;
  [[nodiscard]] const kv::BlockManager& blocks() const { return blocks_; }
  [[nodiscard]] const SchedulerConfig& config() const { return config_; }
  void check_integrity() const;

 private:
  using Slot = std::uint32_t;  // index into sequences_
  // Position in the total order of service: smaller is served first, the largest is preempted first.
  using Rank = std::tuple<std::int32_t, std::uint64_t, Slot>;

  struct SliceInFlight {
    Slot slot = 0;
    std::uint32_t position = 0;
    std::uint32_t rows = 0;
    bool sample = false;
    std::uint32_t output_index = 0;
  };
  struct PlanInFlight {
    StepId step;
    std::vector<SliceInFlight> slices;
  };
  struct Budget {
    std::uint32_t rows = 0;
    std::uint32_t prefills = 0;
    std::uint32_t stalled = 0;  // sequences that wait for blocks to return
  };
  // A sequence whose computed blocks are to be published with its first token.
  struct Leader {
    Slot slot = 0;
    std::uint32_t first_block = 0;  // that was not cached at its admission
    kv::BlockHash hash;             // of first_block
    std::uint32_t followers = 0;    // held back by it
  };
  // What those held back who are served before a given sequence will take.
  struct Claims {
    std::set<Rank>::const_iterator next;  // of held_back_: the first that is not counted yet
    std::uint32_t seats = 0;
    std::uint64_t blocks = 0;
    void add(const Sequence& sequence) {
      ++seats;
      blocks += sequence.blocks_claimed;
    }
  };

  [[nodiscard]] Status check_submission(const step::Submission& submission) const;
  [[nodiscard]] Rank rank_of(Slot slot) const;
  [[nodiscard]] std::size_t num_waiting() const { return waiting_.size() + held_back_.size(); }
  Slot new_slot();
  void enqueue(Slot slot);

  void preempt_forced();
  void plan_decodes(step::StepPlan& plan, PlanInFlight& record, Budget& budget);
  void plan_prompts(step::StepPlan& plan, PlanInFlight& record, Budget& budget, Instant now);
  // The first of waiting_ is admitted or held back. False: it stays where it is, and so does who is behind it.
  bool admit_first(step::StepPlan& plan, PlanInFlight& record, Budget& budget, Claims& claims, Instant now);
  void plan_prefill_chunk(Slot slot, step::StepPlan& plan, PlanInFlight& record, Budget& budget);
  void add_slice(Slot slot, std::uint32_t rows, bool sample, step::StepPlan& plan, PlanInFlight& record);
  bool ensure_slot_for_decode(Slot slot, Budget& budget);
  void preempt(std::size_t index);  // of running_

  void start_leading(Slot slot, std::uint32_t cached_blocks);
  void stop_leading(Slot slot);  // its followers wait as everybody does; no leader: nothing changes
  bool hold_back(Slot slot);     // false: nobody computes enough of it
  // Full blocks that the leader computes, that are the sequence's own too and of use to it: the end of them.
  [[nodiscard]] std::uint32_t shared_blocks_end(Sequence& sequence, const Leader& leader) const;
  void forget_held_back(Slot slot);
  void check_leaders() const;

  void take_slice(const SliceInFlight& slice, const step::StepResult& result, Instant now, std::size_t& cursor,
                  std::vector<step::TokenDelta>& deltas);
  void take_token(Slot slot, const step::SampledToken& sampled, step::TokenDelta& delta);
  static void report_service(const Sequence& sequence, step::TokenDelta& delta);
  void fail_all(const Status& status, std::vector<step::TokenDelta>& deltas);
  void take_outputs(Sequence& sequence, const SliceInFlight& slice, const step::StepResult& result, step::TokenDelta& delta);
  void end_sequence(Slot slot, step::TokenDelta& delta, step::FinishReason reason, Status error);
  // Ends what a state without steps in flight waits for: kPreempting queues, kEnded frees the slot.
  void settle(Slot slot);
  void start_draining(Slot slot);

  SchedulerConfig config_;
  Epoch epoch_;
  bool lost_ = false;
  kv::BlockManager blocks_;
  std::vector<Sequence> sequences_;  // by slot
  std::vector<Slot> free_slots_;
  std::unordered_map<SequenceId, Slot> open_;  // look-up only, never iterated for a decision
  std::set<Rank> waiting_;
  std::set<Rank> held_back_;  // these wait too, each for one of leaders_
  std::vector<Leader> leaders_;
  std::vector<Slot> running_;             // in service order
  std::deque<PlanInFlight> outstanding_;  // at most steps_ahead
  std::vector<SequenceId> released_;      // for the next plan
  std::uint64_t queue_tokens_ = 0;
  std::uint32_t blocks_returning_ = 0;  // sum over draining sequences
  std::uint32_t num_draining_ = 0;
  std::uint32_t preempt_next_ = 0;
  std::uint64_t next_arrival_ = 0;
  StepId last_step_;
  SchedulerStats counters_;  // the counting fields only
};

}  // namespace herd::scheduler
