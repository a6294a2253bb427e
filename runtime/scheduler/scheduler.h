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
//
// While sequences decode, the chunks of a step are so short that its predicted time stays within SchedulerConfig::max_step_ms
// (chunk_rows.h). With steps ahead the prediction is made before the step before has ended, from what steps took until then.
//
// A suspect (step::Submission::alone_until) shares no step with another sequence: probation.h.
//
// KV blocks of a cached prefix are copied from one replica to another (block_transfers.h) in the plans that compute, or in plans
// of their own while nothing else is out:
//   here to there   begin_export → grant_reads, again and again → plans with reads → take_transfer_ends
//   there to here   begin_import → (on_block_arrived → a plan with a write → its result), for each block → take_transfer_ends
// A sequence that is submitted after an import hits what was published, and computes the rest.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/status.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/kv/block_hash.h"
#include "runtime/scheduler/block_transfers.h"
#include "runtime/scheduler/scheduler_config.h"
#include "runtime/scheduler/scheduler_probe.h"
#include "runtime/scheduler/scheduler_state.h"
#include "runtime/scheduler/step_cost.h"
#include "runtime/step/step_plan.h"
#include "runtime/step/submission.h"

namespace herd::scheduler {

// Pure machine, for one epoch of one replica: after a loss a new one is made for the next epoch.
class Scheduler {
 public:
  // `config` is valid. Only tests give a probe.
  Scheduler(const SchedulerConfig& config, Epoch epoch, const SchedulerProbe& probe = {});

  // kBadInput: an id that is still open, or what check_submission() refuses. kOverloaded: the queue is full. kAborted: the
  // replica is lost. A refused submission gets no delta.
  Status on_submit(const step::Submission& submission, Instant now);
  // What on_submit() would say, and counts, if so many sequences with so many tokens waited besides those that it knows.
  [[nodiscard]] Status may_submit(const step::Submission& submission, std::size_t waiting_besides = 0, std::uint64_t tokens_besides = 0);
  // The terminal delta; nullopt when the sequence is unknown or has ended.
  [[nodiscard]] std::optional<step::TokenDelta> on_abort(SequenceId id);
  // nullopt when there is nothing to do, or nothing before a result arrives. `cost`: what steps are predicted to take; null:
  // nobody knows, and chunks are bounded by rows alone.
  [[nodiscard]] std::optional<step::StepPlan> plan_step(Instant now, const StepCost* cost = nullptr);
  // Deltas in plan order. A failed status ends every open sequence with kFailed. A result that is not the
  // oldest outstanding step's is counted and dropped.
  [[nodiscard]] std::vector<step::TokenDelta> on_step_done(const step::StepResult& result, Instant now);
  // Empties itself for good: no block held, nothing outstanding. Returns the sequences that were open, by
  // arrival; they get no terminal delta from here, and transfers no end.
  [[nodiscard]] std::vector<SequenceId> on_replica_lost();

  // Hands out the cached blocks of a chain, from number `first` on, as they are granted; they stay until it is over. Says which
  // are cached, perhaps none. kBadInput: an id that is in use. kOverloaded: too many exports. kAborted: the replica is lost.
  [[nodiscard]] Expected<ExportBegun> begin_export(TransferId transfer, std::span<const kv::BlockHash> hashes, std::uint64_t salt,
                                                   std::uint32_t first);
  // So many more blocks may be read: as many as whoever carries the bytes has room for. Nothing when the export is over.
  void grant_reads(TransferId transfer, std::uint32_t blocks) { state_.transfers.grant(transfer, blocks); }
  void end_export(TransferId transfer) { state_.transfers.end_export(state_.sequences.blocks(), transfer); }
  // Reserves blocks for the chain of these tokens, which are whole blocks. Says how many leading ones are cached: those from
  // there on are to be fetched. kBadInput: an id that is in use, no whole blocks. kOverloaded: too many imports, no room.
  // kMissing: no prefix cache. kAborted: the replica is lost.
  [[nodiscard]] Expected<std::uint32_t> begin_import(TransferId transfer, std::vector<TokenId> tokens, std::uint64_t salt);
  // The other side has only so many of the chain's blocks: the rest is given up.
  void shorten_import(TransferId transfer, std::uint32_t blocks) {
    state_.transfers.shorten_import(state_.sequences.blocks(), transfer, blocks);
  }
  // Whether that block is still to be fetched: its bytes are given to ranks only then, just before on_block_arrived.
  [[nodiscard]] bool wants_block(TransferId transfer, std::uint32_t index) const { return state_.transfers.wants(transfer, index); }
  // Every rank has the block's bytes, or will have them before the next plan. Nothing when it is not wanted.
  void on_block_arrived(TransferId transfer, std::uint32_t index) { state_.transfers.on_block_arrived(transfer, index); }
  // Blocks that have arrived, and whose write is not acknowledged.
  [[nodiscard]] std::uint32_t blocks_unwritten(TransferId transfer) const { return state_.transfers.unwritten(transfer); }
  void end_import(TransferId transfer) { state_.transfers.end_import(state_.sequences.blocks(), transfer); }
  // Of the transfers that are over since it was asked last: each that was begun has exactly one. To be asked after whatever
  // may end one: all of the above, plan_step, on_step_done.
  [[nodiscard]] std::vector<TransferEnd> take_transfer_ends() { return state_.transfers.take_ends(); }

  [[nodiscard]] std::size_t num_open() const { return state_.sequences.num_open(); }  // without a terminal delta yet
  [[nodiscard]] bool idle() const {
    return num_open() == 0 && state_.outstanding.empty() && state_.sequences.nothing_to_release() && !state_.transfers.active();
  }
  [[nodiscard]] SchedulerStats stats() const;
  // kv::BlockManager's: what its prefix cache took up and gave up.
  [[nodiscard]] kv::BlockNews take_news() { return state_.sequences.blocks().take_news(); }
  [[nodiscard]] const kv::BlockManager& blocks() const { return state_.sequences.blocks(); }
  [[nodiscard]] const SchedulerConfig& config() const { return state_.config; }
  void check_integrity() const;

 private:
  SchedulerState state_;
  bool lost_ = false;
};

}  // namespace herd::scheduler
