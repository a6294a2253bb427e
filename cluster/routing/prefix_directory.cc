#include "cluster/routing/prefix_directory.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "kernels/check.h"

namespace herd::routing {
namespace {

constexpr std::size_t kEntriesMin = 1024;

__extension__ using Uint128 = unsigned __int128;

}  // namespace

bool PrefixDirectory::on_news(ReplicaGeneration from, const kv::BlockNews& news) {
  using Kind = kv::BlockNews::Kind;
  if (news.kind == Kind::kAll) {
    forget(from);
    if (Known* known = enter(from)) known->next_number = news.number + 1;
  }
  const auto found = replicas_.find(from);
  if (found == replicas_.end()) return replicas_.size() >= kReplicasMax;  // telling all again would change nothing
  Known& known = found->second;
  const std::uint64_t expected = known.next_number - (news.kind == Kind::kChanges ? 0 : 1);
  if (news.number != expected) {
    forget(from);
    return false;
  }
  if (news.kind == Kind::kChanges) ++known.next_number;
  known.num_blocks = news.num_blocks;
  block_size_ = news.block_size;
  for (const kv::BlockKey key : news.evicted) evict(known, key);
  for (const kv::BlockKey key : news.stored) store(known, key);
  return true;
}

PrefixDirectory::Known* PrefixDirectory::enter(ReplicaGeneration replica) {
  const auto slot = free_slot();
  if (!slot) return nullptr;
  Known& known = replicas_[replica];
  known.slot = *slot;
  return &known;
}

std::optional<std::uint32_t> PrefixDirectory::free_slot() const {
  std::array<bool, kReplicasMax> taken{};
  for (const auto& [replica, known] : replicas_) taken[known.slot] = true;
  const auto free = std::ranges::find(taken, false);
  if (free == taken.end()) return std::nullopt;
  return static_cast<std::uint32_t>(free - taken.begin());
}

void PrefixDirectory::forget(ReplicaGeneration replica) {
  const auto known = replicas_.find(replica);
  if (known == replicas_.end()) return;
  clear(known->second);
  replicas_.erase(known);
}

void PrefixDirectory::clear(Known& known) {
  const Holders bit = Holders{1} << (known.slot % kGroup);
  for (std::size_t at = 0; at < table_.size() && known.blocks > 0;) {
    Entry& entry = table_[at];
    if ((entry.holders & bit) == 0 || group_of(entry) != known.slot / kGroup) {
      ++at;
      continue;
    }
    entry.holders &= ~bit;
    --known.blocks;
    if (entry.holders != 0) {
      ++at;
    } else {
      erase(at);  // another one may come to its place
    }
  }
}

void PrefixDirectory::store(Known& known, kv::BlockKey key) {
  const std::uint64_t name = name_of(key, known.slot / kGroup);
  const Holders bit = Holders{1} << (known.slot % kGroup);
  const std::size_t at = find_entry(name);
  if (at == kNone && !make_room()) {
    ++dropped_;
    return;
  }
  Entry& entry = at == kNone ? put(name) : table_[at];
  if ((entry.holders & bit) != 0) return;
  entry.holders |= bit;
  ++known.blocks;
}

void PrefixDirectory::evict(Known& known, kv::BlockKey key) {
  const Holders bit = Holders{1} << (known.slot % kGroup);
  const std::size_t at = find_entry(name_of(key, known.slot / kGroup));
  if (at == kNone || (table_[at].holders & bit) == 0) return;
  table_[at].holders &= ~bit;
  --known.blocks;
  if (table_[at].holders == 0) erase(at);
}

// The table --------------------------------------------------------------------------------------------------------------

// The high half of a product, so that the table has any length; the factor (2^64 / golden ratio) spreads names that are not random.
std::size_t PrefixDirectory::home_of(std::uint64_t name) const {
  return static_cast<std::size_t>(static_cast<Uint128>(name * 0x9E3779B97F4A7C15) * table_.size() >> 64);
}

std::size_t PrefixDirectory::find_entry(std::uint64_t name) const {
  if (table_.empty()) return kNone;
  // Ends: at least a third of the entries are free.
  for (std::size_t at = home_of(name); table_[at].holders != 0; at = next(at)) {
    if (table_[at].name == name) return at;
  }
  return kNone;
}

PrefixDirectory::Entry& PrefixDirectory::put(std::uint64_t name) {
  std::size_t at = home_of(name);
  while (table_[at].holders != 0) at = next(at);
  table_[at].name = name;
  ++used_;
  return table_[at];
}

// Whoever follows without a gap and could stand here moves up, so that no search ends early.
void PrefixDirectory::erase(std::size_t at) {
  --used_;
  for (std::size_t from = next(at); table_[from].holders != 0; from = next(from)) {
    const std::size_t home = home_of(table_[from].name);
    const bool between = at < from ? at < home && home <= from : at < home || home <= from;
    if (between) continue;
    table_[at] = table_[from];
    at = from;
  }
  table_[at].holders = 0;
}

std::size_t PrefixDirectory::entries_max() const {
  std::size_t blocks = 0;
  for (const auto& [replica, known] : replicas_) blocks += known.num_blocks;
  return std::max(kEntriesMin, std::min(blocks, blocks_max_) * 3 / 2);
}

bool PrefixDirectory::make_room() {
  if ((used_ + 1) * 3 <= table_.size() * 2) return true;
  const std::size_t entries = std::min(std::max(kEntriesMin, table_.size() * 2), entries_max());
  if (entries <= table_.size()) return false;
  std::vector<Entry> old = std::exchange(table_, std::vector<Entry>(entries));
  used_ = 0;
  for (const Entry& entry : old)
    if (entry.holders != 0) put(entry.name).holders = entry.holders;
  return (used_ + 1) * 3 <= table_.size() * 2;
}

// Questions --------------------------------------------------------------------------------------------------------------

// A replica that holds a beginning holds every shorter one, but for a moment, so that the longest is found by halving. Replicas go
// down the halves together as long as they hold the same.
struct PrefixDirectory::Search {
  const PrefixDirectory& directory;
  const PromptPrefix& prefix;
  std::uint32_t group = 0;
  std::array<std::size_t, kGroup> keys_held{};  // by slot of the group

  [[nodiscard]] Holders holders_of(std::size_t key) const {
    const std::size_t at = directory.find_entry(name_of(prefix.keys[key], group));
    return at == kNone ? 0 : directory.table_[at].holders;
  }
  // All of `who` hold `from` keys, none is known to hold more than `to`.
  void descend(Holders who, std::size_t from, std::size_t to) {
    if (who == 0) return;
    if (from == to) {
      for (std::uint32_t slot = 0; slot < kGroup; ++slot)
        if ((who >> slot & 1) != 0) keys_held[slot] = from;
      return;
    }
    const std::size_t middle = from + (to - from) / 2;
    const Holders longer = who & holders_of(middle);
    descend(longer, middle + 1, to);
    descend(who & ~longer, from, middle);
  }
};

std::vector<PrefixDirectory::Holder> PrefixDirectory::find(const PromptPrefix& prefix) const {
  std::vector<Holder> holders;
  if (prefix.empty()) return holders;
  std::uint32_t slots = 0;
  for (const auto& [replica, known] : replicas_) slots = std::max(slots, known.slot + 1);
  std::vector<std::size_t> keys_held;  // by slot
  for (std::uint32_t group = 0; group * kGroup < slots; ++group) {
    Search search{*this, prefix, group};
    search.descend(search.holders_of(0), 1, prefix.keys.size());
    keys_held.insert(keys_held.end(), search.keys_held.begin(), search.keys_held.end());
  }
  for (const auto& [replica, known] : replicas_)
    if (keys_held[known.slot] > 0) holders.push_back({replica, prefix.tokens_of(keys_held[known.slot])});
  return holders;
}

bool PrefixDirectory::holds(ReplicaGeneration replica, kv::BlockKey key) const {
  const auto known = replicas_.find(replica);
  if (known == replicas_.end()) return false;
  const std::size_t at = find_entry(name_of(key, known->second.slot / kGroup));
  return at != kNone && (table_[at].holders >> (known->second.slot % kGroup) & 1) != 0;
}

std::size_t PrefixDirectory::blocks(ReplicaGeneration replica) const {
  const auto known = replicas_.find(replica);
  return known == replicas_.end() ? 0 : known->second.blocks;
}

std::size_t PrefixDirectory::blocks() const {
  std::size_t blocks = 0;
  for (const auto& [replica, known] : replicas_) blocks += known.blocks;
  return blocks;
}

void PrefixDirectory::check_integrity() const {
  std::size_t used = 0, held = 0;
  for (const Entry& entry : table_) {
    if (entry.holders == 0) continue;
    ++used;
    held += static_cast<std::size_t>(std::popcount(entry.holders));
    HERD_CHECK(&table_[find_entry(entry.name)] == &entry, "every entry is found");
  }
  HERD_CHECK(used == used_ && used_ * 3 <= std::max(table_.size(), std::size_t{1}) * 2, "the table is as full as it is counted");
  HERD_CHECK(held == blocks(), "holders are counted");
}

}  // namespace herd::routing
