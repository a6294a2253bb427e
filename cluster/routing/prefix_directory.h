#pragma once
// PrefixDirectory: which replica holds which blocks in its prefix cache, as the replicas tell it (runtime/kv/block_news.h). Pure. A
// gateway routes by it. What it says may be wrong by now: that costs time, never bytes, as a replica looks in its cache itself.
//
// Memory: an entry is a key of 8 bytes and 64 bits that say which of 64 replicas hold it; the table is at most two thirds full. So a
// block costs at most 24 bytes, and less where several replicas hold the same ones.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "cluster/routing/prompt_prefix.h"
#include "cluster/routing/replica_generation.h"
#include "runtime/kv/block_news.h"

namespace herd::routing {

class PrefixDirectory {
 public:
  static constexpr std::size_t kBytesPerBlock = 24;
  static constexpr std::size_t kBlocksMax = std::size_t{1} << 22;  // entries; what does not fit is not written down
  static constexpr std::size_t kReplicasMax = 1024;                // likewise

  explicit PrefixDirectory(std::size_t blocks_max = kBlocksMax) : blocks_max_(blocks_max) {}

  // Bytes of a directory of replicas with so many blocks in all.
  [[nodiscard]] static constexpr std::size_t bytes_for(std::size_t num_blocks) {
    return std::min(num_blocks, kBlocksMax) * kBytesPerBlock;
  }

  // False: a batch is missing before this one. What is known of that replica is forgotten until it tells all that it has.
  [[nodiscard]] bool on_news(ReplicaGeneration from, const kv::BlockNews& news);
  void forget(ReplicaGeneration replica);
  template <class Keep>
  void keep_only(Keep keep) {
    std::vector<ReplicaGeneration> gone;
    for (const auto& [replica, known] : replicas_)
      if (!keep(replica)) gone.push_back(replica);
    for (const ReplicaGeneration replica : gone) forget(replica);
  }

  // It has told what it holds.
  [[nodiscard]] bool knows(ReplicaGeneration replica) const { return replicas_.contains(replica); }
  // Tokens of a block, of the replica that told last; 0: nobody has told.
  [[nodiscard]] std::uint32_t block_size() const { return replicas_.empty() ? 0 : block_size_; }

  struct Holder {
    ReplicaGeneration replica;
    std::uint64_t tokens = 0;  // of the longest beginning that it holds; above 0
  };
  // Who holds a beginning of the prompt, in the order of the replicas.
  [[nodiscard]] std::vector<Holder> find(const PromptPrefix& prefix) const;

  [[nodiscard]] bool holds(ReplicaGeneration replica, kv::BlockKey key) const;
  [[nodiscard]] std::size_t blocks(ReplicaGeneration replica) const;  // that it is known to hold
  [[nodiscard]] std::size_t blocks() const;                           // of all
  [[nodiscard]] std::size_t bytes() const { return table_.capacity() * sizeof(Entry); }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }    // blocks that were told and not written down
  void check_integrity() const;

 private:
  // Replicas have slots, in groups of 64: an entry says which of one group hold a key.
  using Holders = std::uint64_t;
  struct Entry {
    std::uint64_t name = 0;  // 60 bits of the key, 4 of the group
    Holders holders = 0;     // 0: the entry is free
  };
  struct Known {
    std::uint32_t slot = 0;
    std::uint64_t next_number = 0;
    std::uint32_t num_blocks = 0;  // that it has
    std::size_t blocks = 0;        // that it is known to hold
  };
  static constexpr std::uint32_t kGroup = 64;
  static constexpr std::size_t kNone = ~std::size_t{0};

  [[nodiscard]] static std::uint64_t name_of(kv::BlockKey key, std::uint32_t group) { return key << 4 | group; }
  [[nodiscard]] static std::uint32_t group_of(const Entry& entry) { return entry.name & 0xF; }
  [[nodiscard]] std::size_t home_of(std::uint64_t name) const;
  [[nodiscard]] std::size_t next(std::size_t at) const { return at + 1 == table_.size() ? 0 : at + 1; }
  [[nodiscard]] std::size_t find_entry(std::uint64_t name) const;  // kNone: there is none
  [[nodiscard]] Holders holders_of(kv::BlockKey key, std::uint32_t group) const;
  void store(Known& known, kv::BlockKey key);
  void evict(Known& known, kv::BlockKey key);
  void erase(std::size_t at);
  [[nodiscard]] bool make_room();  // for one more entry
  Entry& put(std::uint64_t name);  // there is room, and none of that name
  [[nodiscard]] std::size_t entries_max() const;
  Known* enter(ReplicaGeneration replica);  // null: there is no slot for it
  void clear(Known& known);
  [[nodiscard]] std::optional<std::uint32_t> free_slot() const;
  struct Search;

  std::size_t blocks_max_;
  std::map<ReplicaGeneration, Known> replicas_;
  std::uint32_t block_size_ = 0;
  std::vector<Entry> table_;  // open addressing, linear probing
  std::size_t used_ = 0;      // entries that are not free
  std::uint64_t dropped_ = 0;
};

}  // namespace herd::routing
