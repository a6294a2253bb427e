#pragma once
// AttemptTable: the open attempts of one replica, under the sequence ids that its scheduler and ranks know. Two gateways
// may both have a sequence 1; these ids are counted by the replica alone and never come twice. Pure.

#include <cstddef>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "runtime/ids.h"
#include "runtime/step/attempt_key.h"

namespace herd::replica {

class AttemptTable {
 public:
  // The replica's own id of a new attempt, of whose sequence none is open.
  SequenceId add(const step::AttemptKey& key);
  // `own` is open.
  void remove(SequenceId own);
  void clear();

  // The open attempt of that gateway's sequence.
  [[nodiscard]] std::optional<step::AttemptKey> open_attempt(GatewayId gateway, SequenceId sequence) const;
  // nullopt unless exactly this attempt is open.
  [[nodiscard]] std::optional<SequenceId> find(const step::AttemptKey& key) const;
  [[nodiscard]] std::vector<SequenceId> of_gateway(GatewayId gateway) const;  // by the gateway's numbers, rising
  [[nodiscard]] std::optional<step::AttemptKey> attempt_of(SequenceId own) const;  // nullopt: not open
  // `own` is open.
  [[nodiscard]] const step::AttemptKey& key_of(SequenceId own) const;
  [[nodiscard]] std::size_t size() const { return own_ids_.size(); }

 private:
  std::map<step::AttemptKey, SequenceId> own_ids_;  // at most one attempt of a sequence
  std::unordered_map<SequenceId, step::AttemptKey> keys_;  // look-up only
  SequenceId last_;
};

}  // namespace herd::replica
