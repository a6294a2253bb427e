#pragma once
// PrefixLeaders: a prefix is computed once. Knows who computes one that is not cached yet, and decides who is held back
// until it is.

#include <cstdint>
#include <vector>

#include "runtime/kv/block_hash.h"
#include "runtime/scheduler/scheduler_config.h"
#include "runtime/scheduler/sequence_table.h"

namespace herd::scheduler {

class PrefixLeaders {
 public:
  explicit PrefixLeaders(const SchedulerConfig& config)
      : block_size_(config.block_size),
        prefill_chunk_max_(config.prefill_chunk_max),
        shared_prefix_min_(config.prefix_caching ? config.shared_prefix_min : 0) {}

  // `slot` was admitted with so many cached blocks: the rest of its full blocks will be published with its first token.
  void start_leading(Slot slot, std::uint32_t cached_blocks, SequenceTable& sequences);
  // Its followers wait as everybody does. No leader: nothing changes.
  void stop_leading(Slot slot, SequenceTable& sequences);
  // The first of those who wait is held back, when somebody served before it computes enough of it. False: nobody does.
  bool hold_back(Slot slot, SequenceTable& sequences);
  // `follower` is held back and about to end.
  void forget_follower(const Sequence& follower);
  void clear() { leaders_.clear(); }

  void check_integrity(const SequenceTable& sequences) const;

 private:
  // A sequence whose computed blocks are to be published with its first token.
  struct Leader {
    Slot slot = 0;
    std::uint32_t first_block = 0;  // that was not cached at its admission
    kv::BlockHash hash;             // of first_block
    std::uint32_t followers = 0;    // held back by it
  };
  // Full blocks that the leader computes, that are the sequence's own too and of use to it: the end of them.
  [[nodiscard]] std::uint32_t shared_blocks_end(Sequence& sequence, const Leader& leader,
                                                const SequenceTable& sequences) const;

  std::uint32_t block_size_;
  std::uint32_t prefill_chunk_max_;
  std::uint32_t shared_prefix_min_;  // 0: nobody leads
  std::vector<Leader> leaders_;
};

}  // namespace herd::scheduler
