#pragma once
// SimProcess: a place where one process lives after another. What is told to a process that sleeps happens when it wakes, in the
// order in which it came; what was told to one that has ended never does.

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "tests/sim/world.h"

namespace herd::sim {

class SimConnection;

class SimProcess {
 public:
  explicit SimProcess(World& world) : world_(world) {}

  void begin();
  // The kernel closes its connections.
  void end();
  // With its machine: nobody closes anything.
  void vanish();
  // At that instant it goes on; one that sleeps longer already stays as it is.
  void sleep(Instant until);

  // Runs it in this life, as soon as that is awake.
  [[nodiscard]] EventLoop::Event awake(EventLoop::Event event);
  void later(std::int64_t us, EventLoop::Event event) { world_.loop.after(us, awake(std::move(event))); }

  [[nodiscard]] bool alive() const { return alive_; }
  [[nodiscard]] bool sleeps() const { return alive_ && sleeps_until_ > world_.now(); }
  [[nodiscard]] std::uint64_t life() const { return lives_; }
  [[nodiscard]] bool is(std::uint64_t life) const { return alive_ && lives_ == life; }
  [[nodiscard]] std::uint64_t sleeps_so_far() const { return sleeps_; }

  // A connection of this life.
  void attach(const std::shared_ptr<SimConnection>& connection);

 private:
  void wake_up();
  [[nodiscard]] std::vector<std::shared_ptr<SimConnection>> connections() const;

  World& world_;
  bool alive_ = false;
  std::uint64_t lives_ = 0, sleeps_ = 0;
  Instant sleeps_until_;
  std::deque<EventLoop::Event> asleep_;  // what came meanwhile
  std::vector<std::weak_ptr<SimConnection>> connections_;
};

}  // namespace herd::sim
