// How a standalone cluster starts when the machine takes a part of it away meanwhile.

#include "actors/standalone_actors.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <cstdint>
#include <memory>
#include <thread>

#include "tests/actors/toy_cluster.h"

namespace herd::actors {
namespace {

// Makes the ranks of replica 1 when it is told to.
class SlowGround final : public RankGround {
 public:
  explicit SlowGround(std::shared_ptr<RankGround> ground) : ground_(std::move(ground)) {}
  Expected<std::unique_ptr<Rank>> make_rank(const RankStart& start) override {
    if (start.replica == ReplicaId(1)) {
      second_is_made.set_value();
      go_on.get_future().wait();
    }
    return ground_->make_rank(start);
  }
  Expected<Rendezvous> open_group(ReplicaId replica, Epoch epoch) override { return ground_->open_group(replica, epoch); }
  void abort_group(ReplicaId replica, Epoch epoch, const Status& why) override { ground_->abort_group(replica, epoch, why); }

  std::promise<void> second_is_made;
  std::promise<void> go_on;

 private:
  const std::shared_ptr<RankGround> ground_;
};

// The replica that has served comes back meanwhile, and nobody who waits for the start is told of it.
TEST(StandaloneActors, ALossWhileOthersAreMadeDoesNotEndTheStart) {
  StandaloneConfig config = toy_config(2, 1, std::make_shared<ToyFaults>());
  const auto ground = std::make_shared<SlowGround>(config.ground);
  config.ground = ground;
  StandaloneActors actors(std::move(config));
  auto started = std::async(std::launch::async, [&] { return actors.start(); });
  ground->second_is_made.get_future().wait();
  const auto epoch_of_replica_0 = [&] {  // once it serves, else 0
    const auto status = actors.client().status();
    for (const routing::ReplicaView& replica : status->view.replicas) {
      if (replica.route.generation.replica == ReplicaId(0) && replica.state == routing::ReplicaState::kServing)
        return replica.route.generation.epoch.value;
    }
    return std::uint64_t{0};
  };
  // By then start() has most likely heard that replica 0 serves, and asks the other one.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  while (epoch_of_replica_0() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const std::uint64_t first = epoch_of_replica_0();
  caf::anon_send_exit(actors.rank(ReplicaId(0), 0), caf::exit_reason::kill);
  forget_actor_system();
  while (epoch_of_replica_0() <= first) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ground->go_on.set_value();
  const Status status = started.get();
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(actors.client().status()->serving_replicas(), 2U);
}

}  // namespace
}  // namespace herd::actors
