#include "cluster/gateway/poison_list.h"

#include <algorithm>
#include <cstdint>

namespace herd::gateway {
namespace {

constexpr std::uint64_t kSalt = 0x706f69736f6eULL;  // no block of a cache has these names

}  // namespace

kv::BlockHash PoisonList::name_of(std::span<const TokenId> prompt) { return kv::chain_hash(kv::root_hash(kSalt), prompt); }

void PoisonList::add(const kv::BlockHash& prompt, Instant now) {
  forget(now);
  if (holds(prompt)) return;
  if (entries_.size() == kPromptsMax) entries_.pop_front();
  entries_.push_back({prompt, seconds_after(now, kSeconds)});
}

bool PoisonList::holds(std::span<const TokenId> prompt, Instant now) {
  forget(now);
  return !entries_.empty() && holds(name_of(prompt));
}

bool PoisonList::holds(const kv::BlockHash& prompt) const {
  return std::ranges::find(entries_, prompt, &Entry::prompt) != entries_.end();
}

void PoisonList::forget(Instant now) {
  while (!entries_.empty() && entries_.front().until <= now) entries_.pop_front();
}

}  // namespace herd::gateway
