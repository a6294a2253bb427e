#include "tests/sim/sim_moves.h"

#include <algorithm>
#include <variant>
#include <vector>

#include "tests/sim/sim_life.h"
#include "tests/sim/sim_replica.h"
#include "tests/sim/through_wire.h"

namespace herd::sim {

using routing::ReplicaGeneration;

namespace {

constexpr double kOpenSeconds = 2.0;      // in which a connection has to open
constexpr std::size_t kWaitingMax = 256;  // messages, until it has

TransferId move_of(const replica::ToHolder& message) {
  return std::visit([](const auto& what) { return what.move; }, message);
}

TransferId move_of(const replica::ToTaker& message) {
  if (const auto* bytes = std::get_if<replica::SharedBlockBytes>(&message)) return (*bytes)->transfer;
  if (const auto* over = std::get_if<replica::MoveOver>(&message)) return over->move;
  return std::get<replica::MoveFound>(message).move;
}

}  // namespace

SimMoves::SimMoves(World& world, Network& network, MovesHost& host)
    : world_(world), chance_(world.chance("moves of " + host.name())), network_(network), host_(host) {}

// Dialled ---------------------------------------------------------------------------------------------------------------

SimMoves::Holder& SimMoves::dial(const std::string& address) {
  Holder& holder = holders_[address];
  holder.begun = world_.now();
  handshake::Hello hello;
  hello.cluster = "sim";
  hello.role = handshake::Role::kRank;
  hello.node = host_.name();
  hello.incarnation = 1 + chance_() / 2;
  holder.dial = std::make_shared<SimDial>(world_, network_, host_.moves_process(), host_.machine(),
                                          SimDial::Owner{.address = address,
                                                         .hello = hello,
                                                         .on_open =
                                                             [this, address](const ConnectionPtr& connection) {
                                                               for (const auto& [about, message] : std::exchange(holders_.at(address).waiting, {}))
                                                                 send(*connection, about, message);
                                                             },
                                                         .on_closed = [this, address](const ConnectionPtr&) { on_holder_closed(address); }});
  return holder;
}

void SimMoves::send(const routing::Route& to, const replica::ToHolder& message) {
  if (is_lost(message)) return;
  const auto known = holders_.find(to.address);
  const bool fresh = known == holders_.end();
  Holder& holder = fresh ? dial(to.address) : known->second;
  holder.asked.insert(to.generation);
  if (SimConnection* open = holder.dial->connection()) return send(*open, to.generation, message);
  if (seconds_between(holder.begun, world_.now()) > kOpenSeconds || holder.waiting.size() >= kWaitingMax) {
    holder.dial->stop();
    const std::set<ReplicaGeneration> asked = std::move(holder.asked);
    holders_.erase(to.address);
    return tell_gone(asked);
  }
  holder.waiting.emplace_back(to.generation, message);
  if (fresh) holder.dial->start();
}

void SimMoves::send(SimConnection& connection, ReplicaGeneration about, const replica::ToHolder& message) {
  connection.send(SimConnection::kDialer, world_.options.message_us_max,
                  [this, &replica = connection.replica(), weak = connection.weak_from_this(), about,
                   message = through_wire(world_.options.wire, message)] {
                    if (const auto living = weak.lock()) replica.moves().on_word(living, *this, about, message);
                  });
}

bool SimMoves::falls_silent() {
  if (world_.healed || !chance_.percent(world_.options.muted_percent)) return false;
  world_.reach(Reached::kMutedMoves);
  return true;
}

bool SimMoves::is_lost(const replica::ToHolder& message) {
  const TransferId move = move_of(message);
  if (!std::holds_alternative<replica::MoveAsk>(message)) return unheard_by_holders_.contains(move);
  if (falls_silent()) unheard_by_holders_.insert(move);
  return false;
}

bool SimMoves::is_lost(replica::TakerId taker, const replica::ToTaker& message) {
  const std::pair move{taker, move_of(message)};
  if (std::holds_alternative<replica::MoveFound>(message) && falls_silent()) unheard_by_takers_.insert(move);
  return unheard_by_takers_.contains(move);
}

void SimMoves::on_holder_closed(const std::string& address) {
  const auto known = holders_.find(address);
  known->second.dial->stop();
  const std::set<ReplicaGeneration> asked = std::move(known->second.asked);
  holders_.erase(known);
  tell_gone(asked);
}

// Behind what is being done.
void SimMoves::tell_gone(const std::set<ReplicaGeneration>& holders) {
  host_.moves_process().later(0, [this, holders, of = host_.generation()] {
    for (const ReplicaGeneration holder : holders) {
      if (host_.life() != nullptr && host_.generation() == of) host_.life()->on_holder_gone(holder);
    }
  });
}

void SimMoves::on_word(const replica::ToTaker& message, bool spoiled) {
  if (SimLife* life = host_.life()) life->on_move(message, spoiled);
}

// Accepted --------------------------------------------------------------------------------------------------------------

SimConnection::Hooks SimMoves::accept(const ConnectionPtr& connection) {
  const replica::TakerId taker = ++last_taker_;
  takers_[taker] = {connection, nullptr};
  return {.on_open = [] {}, .on_closed = [this, taker] {
            if (takers_.erase(taker) > 0 && host_.life() != nullptr) host_.life()->on_taker_gone(taker);
          }};
}

// Who asks for a generation that is not there is told so, and does not wait.
void SimMoves::on_word(const ConnectionPtr& connection, SimMoves& from, ReplicaGeneration about, const replica::ToHolder& message) {
  const auto known = std::ranges::find_if(takers_, [&](const auto& taker) { return taker.second.connection == connection; });
  if (known == takers_.end()) return;
  known->second.moves = &from;
  SimLife* const life = host_.life();
  if (life != nullptr && about == host_.generation()) return life->on_move(known->first, message);
  world_.reach(Reached::kStaleMoveWords);
  if (const auto* ask = std::get_if<replica::MoveAsk>(&message))
    send(known->first, replica::MoveFound{ask->move, {StatusCode::kAborted, "the generation that is asked is not there"}, {}});
}

void SimMoves::send(replica::TakerId taker, const replica::ToTaker& message) {
  const auto known = takers_.find(taker);
  if (known == takers_.end() || known->second.moves == nullptr || is_lost(taker, message)) return;
  const SimOptions& options = world_.options;
  const ConnectionPtr connection = known->second.connection;
  const auto* bytes = std::get_if<replica::SharedBlockBytes>(&message);
  const bool spoils = bytes != nullptr && !world_.healed && chance_.percent(options.spoiled_percent);
  connection->send(SimConnection::kAcceptor, bytes != nullptr ? options.block_us_max : options.message_us_max,
                   [to = known->second.moves, spoils, arrived = through_wire(options.wire, spoils ? spoiled(*bytes) : message)] {
                     to->on_word(arrived, spoils);
                   });
  if (world_.healed || !chance_.percent(options.broken_percent)) return;
  world_.reach(Reached::kMoveLinksBroken);
  connection->reset();
}

replica::ToTaker SimMoves::spoiled(const replica::SharedBlockBytes& bytes) {
  step::BlockBytes other = *bytes;
  if (chance_.percent(30)) {
    other.bytes.resize(1 + chance_.below(other.bytes.size() - 1));
  } else {
    other.bytes[chance_.below(other.bytes.size())] ^= std::byte{1};
  }
  return std::make_shared<const step::BlockBytes>(std::move(other));
}

void SimMoves::end() {
  for (auto& [address, holder] : std::exchange(holders_, {})) holder.dial->stop();
  for (auto& [id, taker] : std::exchange(takers_, {})) taker.connection->close(SimConnection::kAcceptor);
  unheard_by_holders_.clear();
  unheard_by_takers_.clear();
}

}  // namespace herd::sim
