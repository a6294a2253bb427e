#include "cluster/admission/fair_queue.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "kernels/check.h"

namespace herd::admission {
namespace {

// Tenants remembered only for what they used: more than a key file can name. Beyond it those that used least are
// forgotten first.
constexpr std::size_t kIdleFlowsMax = 16384;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::uint64_t kLastTie = std::numeric_limits<std::uint64_t>::max();

}  // namespace

// Where what follows the first item has been served in virtual time; some item waits.
double FairQueue::Flow::last_tag() const {
  return start + static_cast<double>(backlog - waiting.begin()->second.cost) / weight;
}

void FairQueue::unlink(Flows::iterator flow) {
  const auto& [id, state] = *flow;
  if (!state.waiting.empty()) {
    const std::uint64_t arrival = state.waiting.begin()->first;
    starts_.erase({id.first, state.start, arrival});
    ends_.erase({id.first, state.last_tag(), arrival});
    heads_.erase(arrival);
  } else if (state.in_service == 0) {
    idle_ -= classes_.at(id.first).idle.erase({state.start, id.second});
  }
}

void FairQueue::link(Flows::iterator flow) {
  const auto& [id, state] = *flow;
  if (!state.waiting.empty()) {
    const auto& [arrival, head] = *state.waiting.begin();
    const double last = state.last_tag();
    starts_.insert({id.first, state.start, arrival}, {static_cast<double>(head.cost), state.weight,
                                                      state.weight * state.start, static_cast<double>(state.backlog)});
    ends_.insert({id.first, last, arrival}, {state.weight, state.weight * last, 0, 0});
    heads_.emplace(arrival, flow);
  } else if (state.in_service == 0) {
    Class& of = classes_.at(id.first);
    idle_ += of.idle.emplace(state.start, id.second).second ? 1 : 0;
    forget_idle(id.first, of, kIdleFlowsMax);  // perhaps this one
  }
}

void FairQueue::forget_idle(std::int32_t priority, Class& of, std::size_t idle_max) {
  while (!of.idle.empty() && (of.idle.begin()->first <= of.virtual_time || idle_ > idle_max)) {
    flows_.erase({priority, of.idle.begin()->second});
    of.idle.erase(of.idle.begin());
    --idle_;
  }
}

void FairQueue::leave(std::int32_t priority) {
  const auto of = classes_.find(priority);
  if (--of->second.items > 0) return;
  of->second.virtual_time = kInfinity;  // a busy period ends: all begin alike
  forget_idle(priority, of->second, 0);
  classes_.erase(of);
}

void FairQueue::push(const Item& item, double weight) {
  Class& of = classes_[item.priority];
  ++of.items;
  const auto [flow, is_new] = flows_.try_emplace({item.priority, item.tenant});
  if (!is_new) unlink(flow);
  Flow& state = flow->second;
  state.weight = weight;
  if (state.waiting.empty()) state.start = std::max(of.virtual_time, state.start);
  state.waiting.emplace(item.arrival, item);
  state.backlog += item.cost;
  link(flow);
}

const FairQueue::Item& FairQueue::first() const {
  return heads_.at(starts_.first().tie)->second.waiting.begin()->second;
}

FairQueue::Item FairQueue::pop() {
  const auto flow = heads_.at(starts_.first().tie);
  unlink(flow);
  Flow& state = flow->second;
  const Item item = state.waiting.extract(state.waiting.begin()).mapped();
  serve(state, item);
  link(flow);
  return item;
}

FairQueue::Item FairQueue::pop_part(std::uint64_t cost) {
  const auto flow = heads_.at(starts_.first().tie);
  unlink(flow);
  Item& rest = flow->second.waiting.begin()->second;
  HERD_CHECK(cost > 0 && cost < rest.cost, "a part is less than all");
  Item part = rest;
  part.cost = cost;
  rest.cost -= cost;
  ++classes_.at(part.priority).items;
  serve(flow->second, part);
  link(flow);
  return part;
}

void FairQueue::serve(Flow& state, const Item& item) {
  Class& of = classes_.at(item.priority);
  of.virtual_time = std::max(of.virtual_time, state.start);
  forget_idle(item.priority, of, kIdleFlowsMax);
  state.backlog -= item.cost;
  state.start += static_cast<double>(item.cost) / state.weight;
  ++state.in_service;
}

void FairQueue::erase(const Item& item) {
  const auto flow = flows_.find({item.priority, item.tenant});
  HERD_CHECK(flow != flows_.end() && flow->second.waiting.contains(item.arrival), "only what waits leaves the queue");
  unlink(flow);
  flow->second.waiting.erase(item.arrival);
  flow->second.backlog -= item.cost;
  link(flow);
  leave(item.priority);
}

void FairQueue::on_served(const Item& item, std::int64_t correction) {
  const auto flow = flows_.find({item.priority, item.tenant});
  HERD_CHECK(flow != flows_.end() && flow->second.in_service > 0, "only what was popped is served");
  unlink(flow);
  flow->second.start += static_cast<double>(correction) / flow->second.weight;
  --flow->second.in_service;
  link(flow);
  leave(item.priority);
}

double FairQueue::cost_ahead(TenantId tenant, std::int32_t priority) const {
  const SumTree::Sums before = starts_.sum_through({priority, -kInfinity, 0});
  const auto of = classes_.find(priority);
  if (of == classes_.end()) return before[3];
  // The tag it would get; of the others, what lies before that tag in virtual time goes first: the first item and
  // weight * (tag - start) of what follows, at most all there is.
  double tag = of->second.virtual_time;
  if (const auto flow = flows_.find({priority, tenant}); flow != flows_.end()) {
    const Flow& state = flow->second;
    const double next = state.start + static_cast<double>(state.backlog) / state.weight;
    tag = state.waiting.empty() ? std::max(tag, next) : next;
  }
  const SumTree::Sums started = starts_.sum_through({priority, tag, kLastTie});
  const SumTree::Sums ended_before = ends_.sum_through({priority, -kInfinity, 0});
  const SumTree::Sums ended = ends_.sum_through({priority, tag, kLastTie});
  const double going = (started[1] - before[1]) * tag - (started[2] - before[2]);
  const double gone = (ended[0] - ended_before[0]) * tag - (ended[1] - ended_before[1]);
  return before[3] + std::max(0.0, started[0] - before[0] + going - gone);
}

double FairQueue::cost_waiting() const { return starts_.sum()[3]; }

void FairQueue::check_integrity() const {
  std::map<std::int32_t, std::size_t> items;
  std::size_t idle = 0;
  std::size_t active = 0;
  for (const auto& [id, flow] : flows_) {
    const auto of = classes_.find(id.first);
    HERD_CHECK(of != classes_.end(), "a flow has a class");
    items[id.first] += flow.waiting.size() + flow.in_service;
    std::uint64_t backlog = 0;
    for (const auto& [arrival, item] : flow.waiting) {
      HERD_CHECK(item.arrival == arrival && FlowId(item.priority, item.tenant) == id,
                 "items are filed where they belong");
      backlog += item.cost;
    }
    HERD_CHECK(backlog == flow.backlog, "the backlog is the cost of what waits");
    HERD_CHECK(flow.weight > 0, "weights are positive");
    if (!flow.waiting.empty()) {
      ++active;
      const auto head = heads_.find(flow.waiting.begin()->first);
      HERD_CHECK(head != heads_.end() && head->second->first == id, "a flow is found by its first item");
    } else if (flow.in_service == 0) {
      ++idle;
      HERD_CHECK(of->second.idle.contains({flow.start, id.second}), "an idle flow can be forgotten");
      HERD_CHECK(flow.start > of->second.virtual_time, "a flow that would begin at the virtual time is forgotten");
    }
  }
  HERD_CHECK(heads_.size() == active && starts_.size() == active && ends_.size() == active,
             "each waiting flow is in order");
  HERD_CHECK(idle == idle_ && idle <= kIdleFlowsMax, "idle flows are counted and bounded");
  HERD_CHECK(items.size() <= classes_.size(), "a class has flows");
  for (const auto& [priority, of] : classes_)
    HERD_CHECK(of.items > 0 && items[priority] == of.items, "a class counts its items");
}

}  // namespace herd::admission
