#include "tests/sim/network.h"

#include <algorithm>

namespace herd::sim {

ConnectionPtr Network::connect(SimProcess& dialer, Machine from, const handshake::Hello& hello, const std::string& address) {
  const auto listener = listeners_.find(address);
  if (listener == listeners_.end()) return nullptr;
  const SimListener& to = listener->second;
  if (!to.process->alive() || to.process->sleeps() || is_cut_between(from, to.machine)) return nullptr;
  const std::string name = hello.node + " to " + address;
  std::erase_if(lines_, [](const Line& line) { return line.connection.expired() || line.connection.lock()->is_over(); });
  auto connection = std::make_shared<SimConnection>(world_, dialer, *to.process, hello, to.replica,
                                                     world_.chance(name + " " + std::to_string(++connected_[name])));
  lines_.push_back({from, to.machine, connection});
  return connection;
}

template <class Do>
void Network::for_each_between(Machine from, Machine to, Do what) {
  const std::vector<Line> lines = lines_;  // more may come meanwhile
  for (const Line& line : lines) {
    const auto connection = line.connection.lock();
    if (!connection) continue;
    if (line.from == from && line.to == to) what(*connection, SimConnection::kDialer);
    if (line.from == to && line.to == from) what(*connection, SimConnection::kAcceptor);
  }
}

void Network::cut(Machine from, Machine to, Instant until) {
  Instant& last = cut_until_[{from, to}];
  last = std::max(last, until);
  disturb(from);
  disturb(to);
  for_each_between(from, to, [](SimConnection& connection, SimConnection::End end) { connection.cut(end, true); });
  world_.loop.at(until, [this, from, to] { if (!is_cut(from, to)) restore(from, to); });
}

void Network::restore(Machine from, Machine to) {
  disturb(from);
  disturb(to);
  for_each_between(from, to, [](SimConnection& connection, SimConnection::End end) { connection.cut(end, false); });
}

void Network::reset(Machine one, Machine other) {
  disturb(one);
  disturb(other);
  for_each_between(one, other, [](SimConnection& connection, SimConnection::End) { connection.reset(); });
}

void Network::heal() {
  for (auto& [between, until] : cut_until_) {
    if (until <= world_.now()) continue;
    until = world_.now();
    restore(between.first, between.second);
  }
}

bool Network::is_cut(Machine from, Machine to) const {
  const auto until = cut_until_.find({from, to});
  return until != cut_until_.end() && until->second > world_.now();
}

// Dials ---------------------------------------------------------------------------------------------------------------

void SimDial::stop() {
  stopped_ = true;
  if (connection_) connection_->close(SimConnection::kDialer);
  connection_.reset();
}

void SimDial::again() {
  connection_.reset();
  process_.later(chance_.us_up_to(world_.options.redial_us_max), [self = shared_from_this()] { self->attempt(); });
}

void SimDial::attempt() {
  if (stopped_) return;
  const auto listener = network_.find(owner_.address);
  connection_ = network_.connect(process_, machine_, owner_.hello, owner_.address);
  if (!connection_) return again();
  const std::weak_ptr<SimDial> weak = weak_from_this();
  connection_->start(
      {.on_open = [weak] {
         const auto self = weak.lock();
         if (self && !self->stopped_) self->owner_.on_open(self->connection_);
       },
       .on_closed = [weak, was_open = std::weak_ptr(connection_)] {
         const auto self = weak.lock();
         if (!self || self->stopped_) return;
         const ConnectionPtr connection = was_open.lock();
         self->again();
         if (connection->was_open(SimConnection::kDialer)) self->owner_.on_closed(connection);
       }},
      listener->accept(connection_));
}

}  // namespace herd::sim
