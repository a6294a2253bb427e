#pragma once
// coordinator_proxy: the coordinator as the supervisors of a node see it, whatever becomes of the connection with it, and the node as
// the coordinator sees it. It starts and ends the node's replicas as the coordinator assigns them. What that comes to is decided by
// cluster/membership/node_core.h.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "actors/link/link_host.h"
#include "actors/messages/type_ids.h"
#include "cluster/membership/node_core.h"
#include "cluster/membership/restart_budget.h"
#include "cluster/reload/reload_vote.h"
#include "cluster/report/process_report.h"

namespace herd::actors {

// To the proxy, from the connection of that number.
struct CoordinatorOpened {
  std::uint64_t link = 0;
  std::shared_ptr<link::Link> to;
};
struct CoordinatorSaid {
  std::uint64_t link = 0;
  Epoch cluster_epoch;
  std::variant<membership::Assignment, membership::Placed, reload::ReloadOrder> message;
};
struct CoordinatorClosed {
  std::uint64_t link = 0;
  Status why;
};
// From the node's process: what it reports has changed; it is to drain what it holds and end.
struct ReportsChanged {};
struct StopNode {
  double drain_s = 0;
};
// Likewise: what to tell the coordinator of a reload; what every supervisor's budget is now.
struct SayPrepared {
  report::ReloadPrepared prepared;
};
struct BudgetChanged {
  membership::RestartBudget budget;
};

using CoordinatorProxyHandle =
    CoordinatorHandle::extend<caf::reacts_to<CoordinatorOpened>, caf::reacts_to<CoordinatorSaid>, caf::reacts_to<CoordinatorClosed>,
                              caf::reacts_to<ReportsChanged>, caf::reacts_to<StopNode>, caf::reacts_to<SayPrepared>,
                              caf::reacts_to<BudgetChanged>>;

struct CoordinatorProxyConfig {
  std::size_t slots = 1;
  // A supervisor of that replica, in that slot; it watches over it until StopReplica. Not ok: it cannot be had here.
  std::function<Expected<SupervisorHandle>(ReplicaId, std::size_t slot, CoordinatorHandle)> start_replica;
  std::function<std::vector<report::ProcessReport>()> reports;  // of all processes that the node speaks for
  // What the coordinator says of a reload. May be empty.
  std::function<void(const reload::ReloadOrder&)> on_reload;
  // Called once nothing is left of a node that was told to stop.
  std::function<void()> on_over;
  // The coordinator has taken this node in (ok), as its first frame shows; or a connection has ended, perhaps before that.
  std::function<void(const Status&)> on_link;
};

class CoordinatorProxyState {
 public:
  using Self = CoordinatorProxyHandle::stateful_pointer<CoordinatorProxyState>;
  explicit CoordinatorProxyState(Self self) : self_(self) {}
  void start(CoordinatorProxyConfig config);

  template <class Ask>
  void decide(Ask ask) {
    ask(*core_, effects_);
    carry_out();
  }
  void on_opened(const CoordinatorOpened& opened);
  void on_said(const CoordinatorSaid& said);
  void on_closed(const CoordinatorClosed& closed);
  void on_place(const PlaceReplica& order);
  void on_stop(const StopNode& order);
  void on_prepared(const SayPrepared& order);
  void on_budget(const BudgetChanged& order);
  void send_reports();

 private:
  void on_down(const caf::actor_addr& source);
  void carry_out();
  void carry_out(const membership::StartReplica& order);
  void carry_out(const membership::EndReplica& order);
  void carry_out(const membership::Place& order);
  void carry_out(const membership::SayToCoordinator& order);
  void send(const wire::Frame& frame, routing::ReplicaGeneration about = {});
  void end_when_over();

  Self self_;
  CoordinatorProxyConfig config_;
  std::optional<membership::NodeCore> core_;
  membership::NodeEffects effects_;
  std::map<ReplicaId, SupervisorHandle> supervisors_;  // watched
  std::uint64_t link_number_ = 0;
  std::shared_ptr<link::Link> link_;  // null: it is away
  bool taken_in_ = false;             // it has said something on that connection
  bool over_ = false;
};

CoordinatorProxyHandle::behavior_type coordinator_proxy(CoordinatorProxyState::Self self, CoordinatorProxyConfig config);

// Whom to give to the host that dials the coordinator.
[[nodiscard]] link::OpenLink opener_of(CoordinatorProxyHandle proxy);

}  // namespace herd::actors

HERD_LOCAL_MESSAGE(herd::actors::BudgetChanged)
HERD_LOCAL_MESSAGE(herd::actors::CoordinatorClosed)
HERD_LOCAL_MESSAGE(herd::actors::CoordinatorOpened)
HERD_LOCAL_MESSAGE(herd::actors::CoordinatorSaid)
HERD_LOCAL_MESSAGE(herd::actors::ReportsChanged)
HERD_LOCAL_MESSAGE(herd::actors::SayPrepared)
HERD_LOCAL_MESSAGE(herd::actors::StopNode)
