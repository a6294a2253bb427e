// How a standalone cluster's start ends when the machine takes a part of it away meanwhile.

#include "actors/standalone_actors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <memory>
#include <thread>

#include "tests/actors/toy_cluster.h"

namespace herd::actors {
namespace {

// Without this the start would wait for its whole time: the others serve, and all of them never will.
TEST(StandaloneActors, ALossWhileOthersAreMadeEndsTheStartAtOnce) {
  StandaloneConfig config = toy_config(2, 1, std::make_shared<ToyFaults>());
  std::promise<void> second_is_made;
  std::promise<void> go_on;
  config.make_rank = [&, make = config.make_rank](ReplicaId replica, std::uint32_t rank) {
    if (replica == ReplicaId(1)) {
      second_is_made.set_value();
      go_on.get_future().wait();
    }
    return make(replica, rank);
  };
  StandaloneActors actors(std::move(config));
  auto started = std::async(std::launch::async, [&] { return actors.start(); });
  second_is_made.get_future().wait();
  // By then start() has most likely heard that replica 0 serves, and asks the other one.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  caf::anon_send_exit(actors.rank(ReplicaId(0), 0), caf::exit_reason::kill);
  forget_actor_system();
  const auto replica_0_is_lost = [&] {
    const auto status = actors.client().status();
    return std::ranges::any_of(status->view.replicas, [](const routing::ReplicaView& replica) {
      return replica.state == routing::ReplicaState::kLost;
    });
  };
  while (!replica_0_is_lost()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  go_on.set_value();
  const Status status = started.get();
  EXPECT_EQ(status.code(), StatusCode::kAborted);
}

}  // namespace
}  // namespace herd::actors
