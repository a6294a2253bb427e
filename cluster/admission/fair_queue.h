#pragma once
// FairQueue: in which order waiting items are served. Pure. Start-time fair queueing (Goyal, Vin, Chen 1996):
// each tenant's first item carries a start tag, the smallest tag is served, and the tenant's next tag is that plus
// cost / weight. The virtual time is the largest tag served; a tenant that comes back begins there or where it was.
// While two tenants f, m both wait: | served_f / weight_f - served_m / weight_m | <= cost_max_f / weight_f +
// cost_max_m / weight_m (their Theorem 1).
//
// Two things differ from the paper. A tag is fixed when its item becomes its tenant's first, not when it arrives, so an
// item that leaves unserved costs its tenant nothing. And costs are forecasts: when the true one is known the tenant's
// next tag is corrected.
//
// A smaller priority value goes first always; each value has a virtual time of its own, which ends with its last item.

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "cluster/admission/sum_tree.h"
#include "runtime/ids.h"

namespace herd::admission {

using TenantId = StrongId<struct TenantIdTag, std::uint64_t>;

class FairQueue {
 public:
  struct Item {
    RequestId id;
    TenantId tenant;
    std::int32_t priority = 0;
    std::uint64_t arrival = 0;  // unique, rising: order within a tenant, and between equal tags
    std::uint64_t cost = 1;     // tokens
  };

  FairQueue() = default;
  FairQueue(FairQueue&&) = default;  // not copied: heads_ points into flows_
  FairQueue& operator=(FairQueue&&) = default;

  // `weight` > 0 holds for all of the tenant's items of this priority from here on.
  void push(const Item& item, double weight);
  [[nodiscard]] bool empty() const { return starts_.empty(); }
  [[nodiscard]] const Item& first() const;  // of a queue that is not empty
  // The first one is now in service.
  Item pop();
  // A part of the first one, of so much of its cost, is now in service; the rest waits on in its place. 0 < `cost` < its own.
  Item pop_part(std::uint64_t cost);
  // A waiting item leaves unserved.
  void erase(const Item& item);
  // An item is no longer in service; its cost was `correction` more than said (less: negative).
  void on_served(const Item& item, std::int64_t correction);

  // Expected cost to be served before an item that would be pushed now: off by at most one item of each tenant.
  [[nodiscard]] double cost_ahead(TenantId tenant, std::int32_t priority) const;
  [[nodiscard]] double cost_waiting() const;

  [[nodiscard]] std::size_t flows() const { return flows_.size(); }
  void check_integrity() const;

 private:
  // A tenant's items of one priority. Forgotten when nothing of it waits or is in service and its tag lies at or before
  // the virtual time (it would begin there anyway).
  struct Flow {
    double start = 0;  // tag of the first waiting item, or of the next to come
    double weight = 1;
    std::uint64_t backlog = 0;  // cost of `waiting`
    std::size_t in_service = 0;
    std::map<std::uint64_t, Item> waiting;  // by arrival
    [[nodiscard]] double last_tag() const;
  };
  struct Class {
    double virtual_time = 0;
    std::size_t items = 0;                       // waiting or in service
    std::set<std::pair<double, TenantId>> idle;  // flows with neither, by tag
  };
  using FlowId = std::pair<std::int32_t, TenantId>;  // priority first: a class's flows lie together
  using Flows = std::map<FlowId, Flow>;
  using Classes = std::map<std::int32_t, Class>;

  // Every change of a flow happens between these two.
  void unlink(Flows::iterator flow);
  void link(Flows::iterator flow);
  void forget_idle(std::int32_t priority, Class& of, std::size_t idle_max);
  void leave(std::int32_t priority);
  // The flow's tag and its class's time after `item` of it went into service. Between unlink() and link().
  void serve(Flow& state, const Item& item);

  Flows flows_;
  Classes classes_;                                 // with items
  std::map<std::uint64_t, Flows::iterator> heads_;  // by the arrival of a flow's first item
  std::size_t idle_ = 0;                            // flows in all `idle`
  SumTree starts_;  // (priority, start, arrival of the first) -> cost of the first, weight, weight * start, backlog
  SumTree ends_;    // (priority, last tag, arrival of the first) -> weight, weight * last tag
};

}  // namespace herd::admission
