#pragma once
// DrainOrder: one word of an operator on draining: whom it means, what it changes on the DrainBoard, and what the operator is told.
// Pure.

#include <optional>
#include <string>
#include <vector>

#include "cluster/membership/replica_places.h"
#include "cluster/report/operator_orders.h"
#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::membership {

class DrainOrder {
 public:
  // `places` outlives it.
  DrainOrder(ReplicaPlaces& places, const report::DrainAsk& ask);

  // kBadInput: there is no such node or replica.
  [[nodiscard]] Status check() const;
  // Of one that is ok. Whether anything has changed. Whoever called it calls ReplicaPlaces::fill() next.
  bool carry_out();
  // What comes of it, a sentence each. After that.
  [[nodiscard]] std::vector<std::string> lines(bool changed) const;

 private:
  [[nodiscard]] std::string line_of(ReplicaId replica) const;

  ReplicaPlaces& places_;
  const report::DrainAsk& ask_;
  std::optional<ReplicaId> replica_;     // nullopt: a node is meant
  std::vector<ReplicaId> affected_;      // that it means; of a node what it holds
};

}  // namespace herd::membership
