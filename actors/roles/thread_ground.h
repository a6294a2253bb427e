#pragma once
// ThreadGround: the ranks of a replica as threads of this process, and its generations as replica_actors.

#include <functional>
#include <memory>
#include <string>

#include "actors/messages/observers.h"
#include "actors/ranks/rank_ground.h"
#include "actors/roles/address_book.h"
#include "actors/roles/live_ranks.h"
#include "actors/roles/local_moves.h"
#include "actors/roles/replica_ground.h"
#include "cluster/replica/replica_core.h"
#include "runtime/clock.h"

namespace herd::actors {

struct ThreadGroundConfig {
  ReplicaId replica;
  replica::ReplicaCoreConfig core;  // of every generation; which one, and what its operations cost, is filled in
  routing::NumericsId numerics;
  // Predicts from what the slowest of the ranks was measured to do; empty: nothing is predicted.
  std::function<scheduler::StepCost(const scheduler::DeviceRates&)> make_cost;
  std::shared_ptr<RankGround> ranks;
  std::shared_ptr<AddressBook> addresses;
  std::shared_ptr<LocalMoves> moves{};  // null: no KV blocks move
  std::shared_ptr<LiveRanks> live = std::make_shared<LiveRanks>();
  OnStep on_step{};  // may be empty
  std::function<Instant()> clock;
  scheduler::SchedulerProbe scheduler_probe{};  // tests
  bool ranks_have_threads = true;               // false: tests, which run every actor themselves
};

// "replica/3"
[[nodiscard]] std::string replica_address(ReplicaId replica);

// `system` outlives it.
[[nodiscard]] std::shared_ptr<ReplicaGround> ground_of_threads(caf::actor_system& system, ThreadGroundConfig config);

}  // namespace herd::actors
