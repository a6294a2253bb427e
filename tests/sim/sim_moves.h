#pragma once
// SimMoves: the connections of a leader on which KV blocks move, as the product's leaders have them (actors/remote/move_links.h): those
// that it dials, to take blocks from others, and those on which others ask for its own. A connection is dialled when something is to be
// said there; when it ends, everything that was under way there is over. Another generation never shares one.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "cluster/replica/move_messages.h"
#include "tests/sim/network.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimLife;

// The leader whose connections they are.
class MovesHost {
 public:
  virtual ~MovesHost() = default;
  [[nodiscard]] virtual std::string name() const = 0;  // its address
  [[nodiscard]] virtual SimProcess& moves_process() = 0;
  [[nodiscard]] virtual Machine machine() const = 0;
  [[nodiscard]] virtual SimLife* life() = 0;  // null: none
  [[nodiscard]] virtual routing::ReplicaGeneration generation() const = 0;  // of it
};

class SimMoves {
 public:
  SimMoves(World& world, Network& network, MovesHost& host);

  void send(const routing::Route& holder, const replica::ToHolder& message);
  void send(replica::TakerId taker, const replica::ToTaker& message);
  // Another leader wants to ask for blocks.
  [[nodiscard]] SimConnection::Hooks accept(const ConnectionPtr& connection);
  // The generation is over: its connections end.
  void end();

 private:
  struct Holder {
    std::shared_ptr<SimDial> dial;
    Instant begun;
    std::deque<std::pair<routing::ReplicaGeneration, replica::ToHolder>> waiting;  // until it is open
    std::set<routing::ReplicaGeneration> asked;
  };
  struct Taker {
    ConnectionPtr connection;
    SimMoves* moves = nullptr;  // where it hears; null: it has said nothing
  };

  Holder& dial(const std::string& address);
  void send(SimConnection& connection, routing::ReplicaGeneration about, const replica::ToHolder& message);
  // Some moves fall silent: their holder hears no more than the first word, or their taker nothing at all.
  [[nodiscard]] bool falls_silent();
  [[nodiscard]] bool is_lost(const replica::ToHolder& message);
  [[nodiscard]] bool is_lost(replica::TakerId taker, const replica::ToTaker& message);
  // In the process of who is told.
  void on_word(const ConnectionPtr& connection, SimMoves& from, routing::ReplicaGeneration about, const replica::ToHolder& message);
  void on_word(const replica::ToTaker& message, bool spoiled);
  void on_holder_closed(const std::string& address);
  void tell_gone(const std::set<routing::ReplicaGeneration>& holders);
  [[nodiscard]] replica::ToTaker spoiled(const replica::SharedBlockBytes& bytes);

  World& world_;
  Chance chance_;
  Network& network_;
  MovesHost& host_;
  std::map<std::string, Holder> holders_;  // by address
  std::map<replica::TakerId, Taker> takers_;
  replica::TakerId last_taker_ = 0;
  std::set<TransferId> unheard_by_holders_;
  std::set<std::pair<replica::TakerId, TransferId>> unheard_by_takers_;
};

}  // namespace herd::sim
