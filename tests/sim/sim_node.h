#pragma once
// SimNode: one machine where the process of a node lives again and again: the product's NodeCore, and the replicas that it holds.
// When it ends its ranks end with it; when its machine is gone nobody hears of that. It may sleep alone, while its leaders go on, or
// with its machine.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "cluster/membership/node_core.h"
#include "tests/sim/network.h"
#include "tests/sim/request_book.h"
#include "tests/sim/sim_process.h"
#include "tests/sim/sim_replica.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimCoordinator;
class Truth;

class SimNode {
 public:
  SimNode(World& world, Network& network, Truth& truth, SimCoordinator& coordinator, RequestBook& book, std::uint32_t index);

  [[nodiscard]] std::uint32_t index() const { return index_; }
  [[nodiscard]] std::string name() const { return "node-" + std::to_string(index_); }
  [[nodiscard]] SimProcess& process() { return process_; }
  [[nodiscard]] bool alive() const { return process_.alive(); }
  // Null: it does not hold it.
  [[nodiscard]] SimReplica* find(ReplicaId replica);
  [[nodiscard]] const SimReplica* find(ReplicaId replica) const { return const_cast<SimNode*>(this)->find(replica); }
  [[nodiscard]] SimReplica* any_replica(Chance& chance);
  [[nodiscard]] bool is_full() const { return held_.size() >= world_.options.replicas_per_node; }
  [[nodiscard]] const std::set<ReplicaId>& gave_up() const { return gave_up_; }  // in this life

  void start();
  // It comes back after so long.
  void end(bool silently, std::int64_t back_after_us);
  void sleep(std::int64_t us, bool with_its_machine);
  // Its process is told to end: what it holds drains, for so long at the most; then it ends, and comes back. False: it is not there.
  bool tell_to_end(double drain_s);
  [[nodiscard]] bool leaving() const { return leaving_; }
  // From here on it can hold nothing.
  void lose_devices();
  void heal();

  // From the coordinator of that cluster epoch.
  void on_assignment(Epoch cluster_epoch, const membership::Assignment& assignment);
  void on_placed(Epoch cluster_epoch, const membership::Placed& placed);

  // From its replicas.
  void ask_place(const membership::PlaceAsk& ask);
  void say_serving(const routing::ReplicaView& view);
  void say_lost(const routing::ReplicaLoss& loss);
  void on_given_up(ReplicaId replica, const Status& why);
  void on_ended(ReplicaId replica);
  [[nodiscard]] bool is_new(routing::ReplicaGeneration generation);

  void check();
  void check_drained();

 private:
  // Asks the core and does what it says.
  template <class Ask>
  void decide(Ask ask) {
    membership::NodeEffects effects;
    ask(*core_, effects);
    for (const membership::NodeEffect& effect : effects) std::visit([this](const auto& what) { carry_out(what); }, effect);
  }
  void carry_out(const membership::StartReplica& effect);
  void carry_out(const membership::EndReplica& effect);
  void carry_out(const membership::Place& effect);
  void carry_out(const membership::SayToCoordinator& effect);
  void say(SimConnection& connection, const membership::NodeJoin& join);
  void say(SimConnection& connection, const membership::PlaceAsk& ask);
  void say(SimConnection& connection, const membership::Serving& serving);
  void say(SimConnection& connection, const routing::ReplicaLoss& loss);
  void say(SimConnection& connection, const membership::GivenUp& given_up);
  void say(SimConnection& connection, const membership::NodeLeaving& leaving);
  void end_in_order();
  template <class Tell>
  void tell(SimConnection& connection, Tell tell);
  void check_absence() const;
  void check_drained(const membership::Assignment& now) const;

  World& world_;
  Chance chance_;
  Network& network_;
  Truth& truth_;
  SimCoordinator& coordinator_;
  RequestBook& book_;
  std::uint32_t index_;
  SimProcess process_;
  std::shared_ptr<SimDial> dial_;
  std::deque<SimReplica> replicas_;          // ever held
  std::optional<membership::NodeCore> core_;
  std::map<ReplicaId, SimReplica*> held_;
  std::set<ReplicaId> gave_up_;
  membership::Assignment told_;  // last, in this life
  bool has_devices_ = true;
  bool leaving_ = false;
  std::vector<ReplicaId> fell_;  // with the last life
  Instant ended_;
};

}  // namespace herd::sim
