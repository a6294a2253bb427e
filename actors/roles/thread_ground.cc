#include "actors/roles/thread_ground.h"

#include <string>
#include <utility>

#include "actors/roles/rank_actor.h"
#include "actors/roles/replica_actor.h"

namespace herd::actors {
namespace {

class ThreadGround final : public ReplicaGround {
 public:
  ThreadGround(caf::actor_system& system, ThreadGroundConfig config) : system_(system), config_(std::move(config)) {}

  StartedRank start_rank(std::uint32_t rank, bool read_weights_again) override {
    auto progress = std::make_shared<ProgressWord>();
    RankStart start{config_.replica, rank, read_weights_again, progress};
    RankHandle handle = config_.ranks_have_threads
                            ? system_.spawn<caf::detached>(rank_actor, std::move(start), config_.ranks, config_.live)
                            : system_.spawn(rank_actor, std::move(start), config_.ranks, config_.live);
    return {std::move(handle), std::move(progress)};
  }

  void end_rank(const RankHandle& rank, EndRank) override { end(rank); }

  PlaceReplica place_order() override {
    const scheduler::SchedulerConfig& scheduler = config_.core.scheduler;
    PlaceReplica order;
    order.replica = config_.replica;
    order.address = replica_address(config_.replica);
    order.numerics = config_.numerics;
    order.sequences_max = scheduler.max_num_seqs + scheduler.queue_requests_max;
    order.max_model_len = scheduler.max_model_len;
    return order;
  }

  Expected<ReplicaHandle> form(Formation formation) override {
    const routing::ReplicaGeneration generation = formation.view.route.generation;
    auto rendezvous = config_.ranks->open_group(generation.replica, generation.epoch);
    if (!rendezvous) return fail(rendezvous.error());
    ReplicaConfig config;
    config.core = config_.core;
    config.core.generation = generation;
    if (config_.make_cost) config.core.cost = config_.make_cost(formation.rates);
    config.view = std::move(formation.view);
    config.rendezvous = std::move(*rendezvous);
    config.ground = config_.ranks;
    config.addresses = config_.addresses;
    if (config_.moves) {
      config.join_moves = [moves = config_.moves](routing::ReplicaGeneration made, ReplicaHandle replica) -> std::shared_ptr<MovePort> {
        return moves->enter(made, std::move(replica));
      };
    }
    config.on_step = config_.on_step;
    config.clock = config_.clock;
    config.scheduler_probe = config_.scheduler_probe;
    for (StartedRank& rank : formation.ranks) config.ranks.push_back({std::move(rank.handle), std::move(rank.progress)});
    return system_.spawn(replica_actor, std::move(config), std::move(formation.coordinator), std::move(formation.supervisor));
  }

  // Whoever asks for its address meanwhile is told that it leads nowhere.
  void abort(routing::ReplicaGeneration generation, const Status& why) override {
    config_.addresses->erase(replica_address(config_.replica));
    config_.ranks->abort_group(generation.replica, generation.epoch, why);
  }

 private:
  caf::actor_system& system_;
  const ThreadGroundConfig config_;
};

}  // namespace

std::string replica_address(ReplicaId replica) { return "replica/" + std::to_string(replica.value); }

std::shared_ptr<ReplicaGround> ground_of_threads(caf::actor_system& system, ThreadGroundConfig config) {
  return std::make_shared<ThreadGround>(system, std::move(config));
}

}  // namespace herd::actors
