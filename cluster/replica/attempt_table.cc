#include "cluster/replica/attempt_table.h"

#include "kernels/check.h"

namespace herd::replica {

SequenceId AttemptTable::add(const step::AttemptKey& key) {
  HERD_CHECK(!open_attempt(key.gateway, key.sequence), "two attempts of one sequence are open on a replica");
  ++last_.value;
  own_ids_.emplace(key, last_);
  keys_.emplace(last_, key);
  return last_;
}

void AttemptTable::remove(SequenceId own) {
  const auto key = keys_.find(own);
  HERD_CHECK(key != keys_.end(), "an attempt ends once");
  own_ids_.erase(key->second);
  keys_.erase(key);
}

void AttemptTable::clear() {
  own_ids_.clear();
  keys_.clear();
}

std::optional<step::AttemptKey> AttemptTable::open_attempt(GatewayId gateway, SequenceId sequence) const {
  const auto found = own_ids_.lower_bound({gateway, sequence, 0});
  if (found == own_ids_.end() || found->first.gateway != gateway || found->first.sequence != sequence)
    return std::nullopt;
  return found->first;
}

std::optional<SequenceId> AttemptTable::find(const step::AttemptKey& key) const {
  const auto found = own_ids_.find(key);
  return found == own_ids_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<SequenceId> AttemptTable::of_gateway(GatewayId gateway) const {
  std::vector<SequenceId> ids;
  for (auto entry = own_ids_.lower_bound({gateway, SequenceId(0), 0});
       entry != own_ids_.end() && entry->first.gateway == gateway; ++entry)
    ids.push_back(entry->second);
  return ids;
}

std::optional<step::AttemptKey> AttemptTable::attempt_of(SequenceId own) const {
  const auto found = keys_.find(own);
  return found == keys_.end() ? std::nullopt : std::optional(found->second);
}

const step::AttemptKey& AttemptTable::key_of(SequenceId own) const {
  const auto found = keys_.find(own);
  HERD_CHECK(found != keys_.end(), "a sequence of the scheduler belongs to an open attempt");
  return found->second;
}

}  // namespace herd::replica
