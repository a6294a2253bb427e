#include "tests/sim/sim_process.h"

#include <algorithm>
#include <utility>

#include "tests/sim/sim_connection.h"

namespace herd::sim {

void SimProcess::begin() {
  alive_ = true;
  ++lives_;
  sleeps_until_ = {};
}

void SimProcess::end() {
  if (!alive_) return;
  const auto connections = this->connections();
  const std::uint64_t life = lives_;
  vanish();
  for (const auto& connection : connections) connection->close_for(*this, life);
}

void SimProcess::vanish() {
  if (!alive_) return;
  const auto connections = this->connections();
  alive_ = false;
  asleep_.clear();
  connections_.clear();
  for (const auto& connection : connections) connection->look();
}

void SimProcess::sleep(Instant until) {
  if (!alive_ || until <= sleeps_until_) return;
  sleeps_until_ = until;
  ++sleeps_;
  for (const auto& connection : connections()) connection->look();
  world_.loop.at(until, [this, life = lives_] { if (is(life)) wake_up(); });
}

EventLoop::Event SimProcess::awake(EventLoop::Event event) {
  return [this, life = lives_, event = std::move(event)] {
    if (!is(life)) return;
    if (sleeps()) return asleep_.push_back(awake(event));
    event();
  };
}

void SimProcess::wake_up() {
  if (sleeps()) return;
  const std::uint64_t life = lives_;
  for (const auto& connection : connections()) connection->look();
  while (is(life) && !sleeps() && !asleep_.empty()) {
    const EventLoop::Event event = std::move(asleep_.front());
    asleep_.pop_front();
    event();
  }
}

void SimProcess::attach(const std::shared_ptr<SimConnection>& connection) {
  std::erase_if(connections_, [](const auto& known) { return known.expired(); });
  connections_.push_back(connection);
}

std::vector<std::shared_ptr<SimConnection>> SimProcess::connections() const {
  std::vector<std::shared_ptr<SimConnection>> living;
  for (const auto& known : connections_) {
    if (auto connection = known.lock()) living.push_back(std::move(connection));
  }
  return living;
}

}  // namespace herd::sim
