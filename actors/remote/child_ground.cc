#include "actors/remote/child_ground.h"

#include <chrono>
#include <mutex>
#include <string>
#include <utility>

#include "actors/ranks/shared_group.h"
#include "actors/remote/led_now.h"
#include "actors/remote/led_replica.h"
#include "cluster/wire/group_codec.h"

namespace herd::actors {
namespace {

// What the actors of the ranks tell; they may outlive the ground for a moment.
struct Shared {
  explicit Shared(membership::ReplicaNumerics all) : numerics(std::move(all)) {}
  LedNow led;
  std::mutex mutex;  // of the below
  membership::ReplicaNumerics numerics;
  std::string address;                      // of the leader, once it is prepared
  std::shared_ptr<RankChannel> leader;      // of its process of now
  routing::ReplicaGeneration generation;    // that was formed last
};

class ChildGround final : public ReplicaGround {
 public:
  ChildGround(caf::actor_system& system, ChildGroundConfig config, std::shared_ptr<ProgressPage> progress)
      : system_(system),
        config_(std::move(config)),
        progress_(std::move(progress)),
        shared_(std::make_shared<Shared>(config_.numerics)),
        channels_(config_.specs.size()) {}
  ~ChildGround() override { config_.launcher->roster->erase(replica()); }
  ChildGround(const ChildGround&) = delete;
  ChildGround& operator=(const ChildGround&) = delete;

  // A process of its own has nothing in memory that is damaged: it reads its weights in any case.
  StartedRank start_rank(std::uint32_t rank, bool) override {
    auto channel = std::make_shared<RankChannel>();
    channels_.at(rank) = channel;
    if (rank == 0) {
      shared_->led.on_leader_started();
      const std::scoped_lock lock(shared_->mutex);
      shared_->leader = channel;
    }
    RankChildConfig child;
    child.spec = config_.specs[rank];
    child.cpus = config_.cpus[rank];
    child.launcher = config_.launcher;
    child.channel = std::move(channel);
    child.progress = progress_;
    child.on_ready = [shared = shared_, rank](const replica::RankReadyNote& ready) { return on_ready(*shared, rank, ready); };
    child.on_death = [shared = shared_, rank](const routing::RankLoss& death) { on_death(*shared, rank, death); };
    if (rank == 0) {
      child.on_serving = [shared = shared_](const membership::Serving& serving) { shared->led.tell(LeaderServes{serving.view}); };
      child.on_ended = [shared = shared_](const replica::GenerationEnded& ended) { shared->led.tell(LeaderEnded{ended}); };
    }
    return {system_.spawn(rank_child, std::move(child)), progress_->word(rank)};
  }

  void end_rank(const RankHandle& rank, EndRank how) override {
    if (how == EndRank::kAtOnce) return caf::anon_send(caf::actor_cast<RankChildHandle>(rank), KillRank{});
    end(rank);
  }

  PlaceReplica place_order() override {
    const std::scoped_lock lock(shared_->mutex);
    PlaceReplica order;
    order.replica = replica();
    order.address = shared_->address;
    order.numerics = shared_->numerics.id();
    order.sequences_max = config_.scheduler.max_num_seqs + config_.scheduler.queue_requests_max;
    order.max_model_len = config_.scheduler.max_model_len;
    return order;
  }

  Expected<ReplicaHandle> form(Formation formation) override {
    const routing::ReplicaGeneration generation = formation.view.route.generation;
    const std::string rendezvous =
        "replica-" + std::to_string(generation.replica.value) + "/epoch-" + std::to_string(generation.epoch.value);
    if (Status status = hand_out_group(rendezvous); !status.ok()) return fail(status);
    LedReplicaConfig led{generation,
                         channels_.front(),
                         config_.launcher->roster,
                         progress_,
                         static_cast<std::uint32_t>(config_.specs.size()),
                         std::move(formation.coordinator),
                         std::move(formation.supervisor)};
    const LedReplicaHandle replica = system_.spawn(led_replica, std::move(led));
    shared_->led.set(replica);
    {
      const std::scoped_lock lock(shared_->mutex);
      shared_->generation = generation;
    }
    replica::FormReplica order;
    order.view = std::move(formation.view);
    order.ranks = static_cast<std::uint32_t>(config_.specs.size());
    order.rendezvous = rendezvous;
    order.scheduler = config_.scheduler;
    order.rates = formation.rates;
    order.step_seconds_max = std::chrono::duration<double>(config_.specs.front().shape.step_timeout).count();
    order.watch = config_.watch;
    channels_.front()->port.send(wire::encode(order), generation);
    return ReplicaHandle(replica);
  }

  void abort(routing::ReplicaGeneration, const Status& why) override {
    if (group_) group_->abort(why.message());
    group_.reset();
    if (const LedReplicaHandle over = shared_->led.take()) end(over);
  }

 private:
  [[nodiscard]] ReplicaId replica() const { return config_.specs.front().replica; }

  static Status on_ready(Shared& shared, std::uint32_t rank, const replica::RankReadyNote& ready) {
    const std::scoped_lock lock(shared.mutex);
    Status status = shared.numerics.on_ready(rank, ready.numerics_class, ready.weights);
    if (status.ok() && rank == 0) shared.address = ready.address;
    return status;
  }

  // A leader hears how another rank of its group ended.
  static void on_death(Shared& shared, std::uint32_t rank, const routing::RankLoss& death) {
    if (rank == 0) return shared.led.on_leader_died(death);
    const std::scoped_lock lock(shared.mutex);
    if (shared.generation.epoch == Epoch() || !shared.leader) return;
    shared.leader->port.send(wire::encode(replica::RankEnded{rank, death}), shared.generation);
  }

  // The memory in which the ranks meet, and a connection between the leader and each of the others.
  Status hand_out_group(const std::string& rendezvous) {
    const placement::RankShape& shape = config_.specs.front().shape;
    auto group = SharedGroup::create(static_cast<int>(channels_.size()), {.deadline_ms = shape.step_timeout.count()});
    if (!group) return group.error();
    const children::OwnedFd& to_leader = channels_.front()->descriptors;
    for (std::size_t rank = 0; rank < channels_.size(); ++rank) {
      const int socket = channels_[rank]->descriptors.get();
      if (Status sent = children::send_descriptor(socket, rendezvous, (*group)->descriptor()); !sent.ok()) return sent;
      if (rank == 0) continue;
      auto pair = children::link_socket_pair();
      if (!pair) return pair.error();
      Status sent = children::send_descriptor(to_leader.get(), rendezvous + "/" + std::to_string(rank), pair->first.get());
      if (sent.ok()) sent = children::send_descriptor(socket, rendezvous + "/leader", pair->second.get());
      if (!sent.ok()) return sent;
    }
    group_ = std::move(*group);
    return {};
  }

  caf::actor_system& system_;
  const ChildGroundConfig config_;
  const std::shared_ptr<ProgressPage> progress_;
  const std::shared_ptr<Shared> shared_;
  std::vector<std::shared_ptr<RankChannel>> channels_;  // by rank, of the processes of now
  std::shared_ptr<SharedGroup> group_;                  // of the generation of now
};

}  // namespace

Expected<std::shared_ptr<ReplicaGround>> ground_of_children(caf::actor_system& system, ChildGroundConfig config) {
  auto progress = ProgressPage::create();
  if (!progress) return fail(progress.error());
  return std::static_pointer_cast<ReplicaGround>(std::make_shared<ChildGround>(system, std::move(config), std::move(*progress)));
}

}  // namespace herd::actors
