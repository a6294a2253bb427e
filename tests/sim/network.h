#pragma once
// Network: the machines, what is cut between them, and how a process gets connections and gets them again.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/sim_connection.h"
#include "tests/sim/sim_process.h"
#include "tests/sim/world.h"

namespace herd::sim {

// Where a process runs: the coordinator and each gateway and node on a machine of its own.
using Machine = std::uint32_t;
inline constexpr Machine kCoordinatorMachine = 0;

// Takes connections.
struct SimListener {
  SimProcess* process = nullptr;
  Machine machine = 0;
  std::function<SimConnection::Hooks(const ConnectionPtr&)> accept;
  SimReplica* replica = nullptr;  // whose leader it is
};

class Network {
 public:
  explicit Network(World& world) : world_(world) {}

  [[nodiscard]] Machine gateway_machine(std::uint32_t gateway) const { return 1 + gateway; }
  [[nodiscard]] Machine node_machine(std::uint32_t node) const { return 1 + world_.options.gateways + node; }

  // Null: it cannot be reached now.
  ConnectionPtr connect(SimProcess& dialer, Machine from, const handshake::Hello& hello, const std::string& address);

  // Nothing gets from one machine to the other before `until`.
  void cut(Machine from, Machine to, Instant until);
  // Every connection between them ends.
  void reset(Machine one, Machine other);
  void heal();
  [[nodiscard]] bool is_cut(Machine from, Machine to) const;
  [[nodiscard]] bool is_cut_between(Machine one, Machine other) const { return is_cut(one, other) || is_cut(other, one); }

  // Whoever listens at an address; a process that ended still does, and takes nothing.
  void listen(const std::string& address, SimListener listener) { listeners_[address] = std::move(listener); }
  void listen_no_more(const std::string& address, const SimReplica& replica) {
    std::erase_if(listeners_, [&](const auto& known) { return known.first == address && known.second.replica == &replica; });
  }
  [[nodiscard]] std::optional<SimListener> find(const std::string& address) const {
    const auto found = listeners_.find(address);
    return found == listeners_.end() ? std::nullopt : std::optional(found->second);
  }

  // Something that may delay or move streams has happened.
  void shake() { shaken_ = world_.now(); }
  // That machine was out of reach of others, or its process did not do its work.
  void disturb(Machine machine) {
    disturbed_[machine] = world_.now();
    shake();
  }
  [[nodiscard]] Instant disturbed(Machine machine) const {
    const auto last = disturbed_.find(machine);
    return last == disturbed_.end() ? Instant{} : last->second;
  }
  [[nodiscard]] Instant shaken() const { return shaken_; }

 private:
  struct Line {
    Machine from, to;
    std::weak_ptr<SimConnection> connection;
  };
  void restore(Machine from, Machine to);
  template <class Do>
  void for_each_between(Machine from, Machine to, Do what);

  World& world_;
  std::vector<Line> lines_;
  std::map<std::string, std::uint64_t> connected_;  // how often, by who and to whom
  std::map<std::string, SimListener> listeners_;
  std::map<std::pair<Machine, Machine>, Instant> cut_until_;
  std::map<Machine, Instant> disturbed_;
  Instant shaken_;
};

// SimDial: has a connection to whoever listens there, and has another one soon after it ended. Of one life of its process.
class SimDial : public std::enable_shared_from_this<SimDial> {
 public:
  // `on_open`, `on_closed`: in its process; a connection that was never open does not close.
  struct Owner {
    std::string address;
    handshake::Hello hello;
    std::function<void(const ConnectionPtr&)> on_open;
    std::function<void(const ConnectionPtr&)> on_closed;
  };
  SimDial(World& world, Network& network, SimProcess& process, Machine machine, Owner owner)
      : world_(world),
        chance_(world.chance(owner.hello.node + " dials " + owner.address)),
        network_(network),
        process_(process),
        machine_(machine),
        owner_(std::move(owner)) {}

  void start() { attempt(); }
  // No more of it; its connection closes, and nobody is told.
  void stop();
  // Null unless it is open.
  [[nodiscard]] SimConnection* connection() const {
    return connection_ && connection_->is_open(SimConnection::kDialer) ? connection_.get() : nullptr;
  }

 private:
  void attempt();
  void again();

  World& world_;
  Chance chance_;
  Network& network_;
  SimProcess& process_;
  Machine machine_;
  Owner owner_;
  ConnectionPtr connection_;
  bool stopped_ = false;
};

}  // namespace herd::sim
