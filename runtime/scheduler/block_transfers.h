#pragma once
// BlockTransfers: copies of KV blocks out of this replica (exports) and into it (imports), as its scheduler drives them.
//
//   export   begin: the cached blocks of a chain are pinned → granted blocks become reads of plans, in chain order → over when
//            the last block's plan is acknowledged
//   import   begin: what is cached of a chain is held, blocks for the rest are reserved → a block that has arrived at all ranks
//            becomes a write of a plan → acknowledged without damage and all blocks before it there too: published, so that
//            sequences hit it → over when the last one is
//
// Either may end early: by its owner, by a damaged block, by a step that failed, or because a sequence needs its blocks. What is
// published stays. Blocks return when the last plan that copies them was acknowledged; until then the transfer drains.
// Every transfer that was begun ends in exactly one TransferEnd.
//
// Transfers are of use, never needed: whoever cannot get blocks by a transfer computes them. So sequences do not wait for one:
// its blocks are taken only above the watermark, and it gives them up before anybody is preempted.

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/status.h"
#include "runtime/ids.h"
#include "runtime/kv/block_hash.h"
#include "runtime/kv/block_manager.h"
#include "runtime/scheduler/scheduler_config.h"
#include "runtime/step/step_plan.h"

namespace herd::scheduler {

inline constexpr std::size_t kTransfersMax = 64;  // exports, and as many imports, that are not over

// What an export found. The importer compares the tokens with its own before it takes a block.
struct ExportBegun {
  std::uint32_t blocks = 0;          // leading ones of the chain that are cached and now pinned; may be none
  std::vector<TokenId> tokens;       // that they hold
  bool operator==(const ExportBegun&) const = default;
};

struct TransferEnd {
  enum class Kind : std::uint8_t { kExport, kImport };
  enum class Cause : std::uint8_t {
    kDone,     // all of it
    kEnded,    // by its owner
    kNoRoom,   // a sequence needed the blocks
    kDamaged,  // a rank could not fill a block with what was sent
    kFailed,   // a step failed
  };
  TransferId transfer;
  Kind kind = Kind::kExport;
  Cause cause = Cause::kDone;
  // Export: so many blocks were read. Import: so many leading blocks of the chain are cached, those that were so before too.
  std::uint32_t blocks = 0;
  bool operator==(const TransferEnd&) const = default;
};

// The copies of a plan that is out.
struct CopiesInFlight {
  std::vector<step::BlockCopy> reads;
  std::vector<step::BlockCopy> writes;
  [[nodiscard]] bool empty() const { return reads.empty() && writes.empty(); }
};

// Pure machine. The block manager is the scheduler's, given to what changes it.
class BlockTransfers {
 public:
  explicit BlockTransfers(const SchedulerConfig& config) : config_(config) {}

  // Pins the chain of these hashes, and hands out its blocks from number `first` on as they are granted. kBadInput: the id is
  // in use. kOverloaded: too many exports.
  [[nodiscard]] Expected<ExportBegun> begin_export(kv::BlockManager& blocks, TransferId transfer,
                                                   std::span<const kv::BlockHash> hashes, std::uint64_t salt,
                                                   std::uint32_t first);
  // So many more blocks may be read. Nothing when the export is over.
  void grant(TransferId transfer, std::uint32_t blocks);
  void end_export(kv::BlockManager& blocks, TransferId transfer);

  // Reserves the chain of `tokens` (whole blocks). Returns how many leading blocks are cached: those from there on are to be
  // fetched. kBadInput: the id is in use, or no whole blocks. kOverloaded: too many imports, or no room. kMissing: no cache.
  [[nodiscard]] Expected<std::uint32_t> begin_import(kv::BlockManager& blocks, TransferId transfer,
                                                     std::vector<TokenId> tokens, std::uint64_t salt);
  // The other side has only so many of the chain's blocks: the rest is given up.
  void shorten_import(kv::BlockManager& blocks, TransferId transfer, std::uint32_t num_blocks);
  // Whether that block is still to be fetched. Its bytes are given to ranks only while it is.
  [[nodiscard]] bool wants(TransferId transfer, std::uint32_t index) const;
  // Every rank has its bytes, or will have them before the next plan. Nothing when it is not wanted.
  void on_block_arrived(TransferId transfer, std::uint32_t index);
  // Blocks that have arrived, and whose write is not acknowledged.
  [[nodiscard]] std::uint32_t unwritten(TransferId transfer) const;
  void end_import(kv::BlockManager& blocks, TransferId transfer);

  // Some transfer is not over, or there is something that ranks are to forget.
  [[nodiscard]] bool active() const { return !exports_.empty() || !imports_.empty() || !forgotten_.empty(); }
  // Adds what may be copied now to the plan.
  void add_copies(step::StepPlan& plan, CopiesInFlight& record);
  // A plan with these copies was acknowledged; `result` is all ranks'.
  void on_step_done(kv::BlockManager& blocks, const CopiesInFlight& copies, const step::StepResult& result);

  // A sequence needs blocks: one more transfer ends early, the last one first, imports before exports. False: none is left that
  // was not ended already.
  bool give_way(kv::BlockManager& blocks);
  // What those who drain are expected to give back.
  [[nodiscard]] std::uint32_t blocks_returning(const kv::BlockManager& blocks) const;

  // Those over since it was asked last, in that order.
  [[nodiscard]] std::vector<TransferEnd> take_ends();
  // Forgets everything; nothing ends.
  void clear(kv::BlockManager& blocks);

  void report(SchedulerStats& stats) const;
  // Their tables, for the block manager's check.
  void list_tables(std::vector<const kv::BlockTable*>& tables) const;
  // `outstanding`: the copies of all plans that are out.
  void check_integrity(std::span<const CopiesInFlight* const> outstanding) const;

 private:
  // What both kinds have in common.
  struct Transfer {
    TransferId id;
    kv::BlockTable table;
    std::uint32_t in_flight = 0;  // copies in plans not acknowledged
    bool ended = false;           // early: it drains
    TransferEnd::Cause cause = TransferEnd::Cause::kDone;
    void end(TransferEnd::Cause why) {
      if (!ended) cause = why;
      ended = true;
    }
  };
  struct Export : Transfer {
    std::uint32_t next = 0;     // block to be read
    std::uint32_t granted = 0;  // blocks before this one may be read
    std::uint32_t copied = 0;   // acknowledged ones
    [[nodiscard]] std::uint32_t end_block() const { return static_cast<std::uint32_t>(table.blocks.size()); }
    [[nodiscard]] bool reads_next() const { return !ended && next < granted; }
    [[nodiscard]] bool over() const { return in_flight == 0 && (ended || next >= end_block()); }
  };
  enum class BlockState : std::uint8_t { kWanted, kArrived, kPlanned, kFilled };
  struct Import : Transfer {
    std::vector<TokenId> tokens;
    std::uint64_t salt = 0;
    std::vector<BlockState> states;       // by block of the chain
    std::vector<std::uint32_t> arrived;   // by arrival
    std::uint32_t filled = 0;             // leading blocks, published
    std::uint32_t wanted_end = 0;         // blocks before this one are wanted
    [[nodiscard]] bool over() const { return in_flight == 0 && (ended || filled >= wanted_end); }
  };

  [[nodiscard]] Export* find_export(TransferId transfer);
  [[nodiscard]] Import* find_import(TransferId transfer);
  void publish(kv::BlockManager& blocks, Import& import);
  // Removes those that are over.
  void settle(kv::BlockManager& blocks);
  void settle(kv::BlockManager& blocks, Import& import);

  SchedulerConfig config_;
  std::vector<Export> exports_;  // by beginning
  std::vector<Import> imports_;  // by beginning
  std::vector<TransferId> forgotten_;
  std::vector<TransferEnd> ends_;
  SchedulerStats counters_;      // of blocks only
};

}  // namespace herd::scheduler
