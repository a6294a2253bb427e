#include "tests/sim/sim_connection.h"

#include <utility>

namespace herd::sim {

SimConnection::SimConnection(World& world, SimProcess& dialer, SimProcess& acceptor, handshake::Hello hello, SimReplica* replica,
                             Chance chance)
    : world_(world), chance_(chance), hello_(std::move(hello)), replica_(replica), ends_{Side(dialer), Side(acceptor)} {}

void SimConnection::start(Hooks dialer, Hooks acceptor) {
  ends_[kDialer].hooks = std::move(dialer);
  ends_[kAcceptor].hooks = std::move(acceptor);
  for (const End end : {kDialer, kAcceptor}) {
    ends_[end].process->attach(shared_from_this());
    look(end);
    transmit(end, world_.options.message_us_max, [this, to = other(end)] {
      deliver(to, [this, to] {
        ends_[to].open = true;
        ends_[to].hooks.on_open();
      });
    });
  }
}

void SimConnection::send(End from, std::int64_t us_max, EventLoop::Event event) {
  if (!is_open(from)) return;
  transmit(from, us_max, [this, to = other(from), event = std::move(event)] { deliver(to, event); });
}

void SimConnection::transmit(End from, std::int64_t us_max, EventLoop::Event arrive) {
  Side& side = ends_[from];
  auto go = [self = shared_from_this(), from, us_max, arrive = std::move(arrive)] {
    self->ends_[from].order.send(self->world_.loop, self->chance_, us_max, [self, arrive] { arrive(); });
  };
  if (side.cut) {
    side.held.emplace_back(std::move(go));
  } else {
    go();
  }
}

void SimConnection::deliver(End to, const EventLoop::Event& event) {
  if (is_over(to)) return;
  ends_[to].process->awake([self = shared_from_this(), to, event] { if (!self->ends_[to].closed) event(); })();
}

// Ends ----------------------------------------------------------------------------------------------------------------

void SimConnection::close(End end) {
  if (is_over(end)) return;
  ends_[end].closed = true;
  say_closed(end);
}

void SimConnection::close_for(const SimProcess& process, std::uint64_t life) {
  for (const End end : {kDialer, kAcceptor}) {
    Side& side = ends_[end];
    if (side.process != &process || side.life != life || side.closed) continue;
    side.closed = true;
    say_closed(end);
  }
}

// In order behind what was sent, or hard: what is under way is lost.
void SimConnection::say_closed(End end) {
  look(end);
  const End to = other(end);
  if (is_over(to)) return;
  const auto arrive = [this, to] { deliver(to, [this, to] { on_closed(to); }); };
  if (ends_[end].cut || chance_.percent(50)) return transmit(end, world_.options.detect_us_max, arrive);
  world_.loop.after(chance_.us_up_to(world_.options.detect_us_max), [self = shared_from_this(), arrive] { arrive(); });
}

void SimConnection::on_closed(End end) {
  Side& side = ends_[end];
  if (side.closed) return;
  side.closed = true;
  say_closed(end);
  if (side.hooks.on_closed) side.hooks.on_closed();
}

void SimConnection::reset() {
  for (const End end : {kDialer, kAcceptor})
    world_.loop.after(chance_.us_up_to(world_.options.detect_us_max), [self = shared_from_this(), end] {
      self->deliver(end, [self, end] { self->on_closed(end); });
    });
}

// Cuts and silence ----------------------------------------------------------------------------------------------------

void SimConnection::cut(End from, bool is_cut) {
  Side& side = ends_[from];
  if (side.cut == is_cut) return;
  side.cut = is_cut;
  look(from);
  if (is_cut) return;
  for (const auto& go : std::exchange(side.held, {})) go();
}

void SimConnection::look() {
  look(kDialer);
  look(kAcceptor);
}

void SimConnection::look(End sender) {
  Side& side = ends_[sender];
  const bool silent = side.cut || is_over(sender) || side.process->sleeps();
  if (silent == side.silent_since.has_value()) return;
  ++side.silences;
  side.silent_since.reset();
  if (!silent) return;
  side.silent_since = world_.now();
  watch_silence(sender);
}

// The last word came at most a ping before.
void SimConnection::watch_silence(End sender) {
  const SimOptions& options = world_.options;
  const std::int64_t us = options.silence_us - static_cast<std::int64_t>(chance_.below(static_cast<std::uint64_t>(options.silence_us) / 4));
  const Instant due{world_.now().ns + us * 1000};
  world_.loop.at(due, [self = shared_from_this(), sender, silence = ends_[sender].silences, due] {
    self->deliver(other(sender), [self, sender, silence, due] { self->on_silence(sender, silence, due); });
  });
}

void SimConnection::on_silence(End sender, std::uint64_t silence, Instant due) {
  if (silence != ends_[sender].silences) return;
  // It slept itself, and the other end may have spoken meanwhile.
  if (world_.now().ns - due.ns > world_.options.silence_us * 250) return watch_silence(sender);
  world_.reach(Reached::kSilentLinks);
  on_closed(other(sender));
}

}  // namespace herd::sim
