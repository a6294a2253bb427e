#pragma once
// PromptHolders: which replicas have a beginning of a prompt in their prefix caches: as the caches tell (prefix_directory.h), and as they
// will soon, for what was sent there a moment ago (prefix_memory.h). Pure.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "cluster/routing/prefix_directory.h"
#include "cluster/routing/prefix_memory.h"
#include "cluster/routing/prompt_prefix.h"
#include "cluster/routing/replica_generation.h"
#include "runtime/clock.h"
#include "runtime/ids.h"

namespace herd::routing {

class PromptHolders {
 public:
  // False, once until it does: something was missed, and the replica is to tell all.
  [[nodiscard]] bool on_news(ReplicaGeneration replica, const kv::BlockNews& news);
  // The question may be lost; on the next connection it tells all by itself.
  void on_link_lost(ReplicaGeneration replica) { asked_for_all_.erase(replica); }
  void forget(ReplicaGeneration replica) { directory_.forget(replica); }
  template <class Keep>
  void keep_only(Keep keep) {
    directory_.keep_only(keep);
    std::erase_if(asked_for_all_, [&](ReplicaGeneration replica) { return !keep(replica); });
  }

  // Names of a prompt's beginnings, in the blocks of the replicas.
  [[nodiscard]] PromptPrefix prefix_of(std::span<const TokenId> tokens, std::uint64_t salt) const;
  // It was sent there, and is in that cache by then; if it is not, it will not be.
  void on_sent(const PromptPrefix& prompt, ReplicaGeneration to, Instant computed_by) { sent_.remember(prompt, to, computed_by); }

  // Of one prompt, at one time.
  class Holdings {
   public:
    // Tokens that the replica has, or has soon: the sequence that comes next waits there for the same blocks.
    [[nodiscard]] std::uint64_t tokens(ReplicaGeneration replica) const;
    // Tokens that its cache has told of.
    [[nodiscard]] std::uint64_t told(ReplicaGeneration replica) const;
    [[nodiscard]] bool was_sent_last(ReplicaGeneration replica) const { return sent_last_ && sent_last_->by == replica; }
    [[nodiscard]] bool empty() const { return told_.empty(); }

   private:
    friend class PromptHolders;
    std::vector<PrefixDirectory::Holder> told_;  // in the order of the replicas
    std::optional<PrefixMemory::Held> sent_last_;
    bool soon_ = false;  // what was sent last counts
  };
  [[nodiscard]] Holdings find(const PromptPrefix& prompt, Instant now) const;

  [[nodiscard]] const PrefixDirectory& directory() const { return directory_; }
  [[nodiscard]] std::uint64_t news_missed() const { return news_missed_; }

 private:
  PrefixDirectory directory_;
  PrefixMemory sent_;
  std::set<ReplicaGeneration> asked_for_all_;  // they have not answered yet
  std::uint64_t news_missed_ = 0;
};

}  // namespace herd::routing
