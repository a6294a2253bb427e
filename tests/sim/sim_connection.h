#pragma once
// SimConnection: a connection between two lives of processes as cluster/link makes them: in order in each direction, nothing lost
// while it is open, closed by either end, by the kernel of a process that ended, or by an end that has heard nothing for too long.
// A direction that is cut holds what is sent until it heals, as TCP does; what was held when an end closes is lost.

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "cluster/handshake/hello.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/sim_process.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimReplica;

class SimConnection : public std::enable_shared_from_this<SimConnection> {
 public:
  enum End : std::size_t { kDialer = 0, kAcceptor = 1 };
  // What an end hears, in its process: once each, and on_closed only if the other end or silence closed it.
  struct Hooks {
    std::function<void()> on_open;
    std::function<void()> on_closed;
  };

  SimConnection(World& world, SimProcess& dialer, SimProcess& acceptor, handshake::Hello hello, SimReplica* replica, Chance chance);

  // The first word goes out in both directions: an end is open once it has heard the other's.
  void start(Hooks dialer, Hooks acceptor);
  // To the other end, if it still listens then. Dropped unless this end is open.
  void send(End from, std::int64_t us_max, EventLoop::Event event);
  // This end closes: hears nothing more.
  void close(End end);
  // Something between the two ends closes it for both, with all that is under way.
  void reset();
  void cut(End from, bool is_cut);

  [[nodiscard]] bool is_open(End end) const { return ends_[end].open && !is_over(end); }
  [[nodiscard]] bool was_open(End end) const { return ends_[end].open; }
  // Nobody is left to hear anything.
  [[nodiscard]] bool is_over() const { return is_over(kDialer) && is_over(kAcceptor); }

  [[nodiscard]] const handshake::Hello& hello() const { return hello_; }  // the dialer's
  [[nodiscard]] SimReplica& replica() const { return *replica_; }  // whose leader accepted it

  // From its processes.
  void look();  // one of them sleeps, wakes or is gone
  void close_for(const SimProcess& process, std::uint64_t life);  // that has ended

 private:
  struct Side {
    explicit Side(SimProcess& of) : process(&of), life(of.life()) {}
    SimProcess* process;
    std::uint64_t life;
    Hooks hooks;
    bool open = false, closed = false;
    // What it sends.
    Link order;
    bool cut = false;
    std::deque<std::function<void()>> held;
    std::optional<Instant> silent_since;  // no word of it gets through since then
    std::uint64_t silences = 0;
  };
  static End other(End end) { return end == kDialer ? kAcceptor : kDialer; }
  [[nodiscard]] bool is_over(End end) const { return ends_[end].closed || !ends_[end].process->is(ends_[end].life); }
  void transmit(End from, std::int64_t us_max, EventLoop::Event arrive);
  void deliver(End to, const EventLoop::Event& event);
  void look(End sender);
  void watch_silence(End sender);
  void on_silence(End sender, std::uint64_t silence, Instant due);
  // The other end hears that this one has closed.
  void say_closed(End end);
  void on_closed(End end);

  World& world_;
  Chance chance_;
  handshake::Hello hello_;
  SimReplica* replica_;
  std::array<Side, 2> ends_;
};

using ConnectionPtr = std::shared_ptr<SimConnection>;

}  // namespace herd::sim
