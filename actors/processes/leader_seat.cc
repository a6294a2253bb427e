#include "actors/processes/leader_seat.h"

#include <utility>

#include "actors/ranks/move_config.h"
#include "actors/roles/replica_actor.h"
#include "runtime/scheduler/step_cost.h"

namespace herd::actors {

LeaderSeat::LeaderSeat(LeaderParts parts)
    : parts_(std::move(parts)), desk_(std::make_shared<GatewayDesk>(*parts_.system, parts_.replica, parts_.clock)) {}

LeaderSeat::~LeaderSeat() {
  if (replica_) caf::anon_send_exit(replica_, caf::exit_reason::user_shutdown);
  forget({StatusCode::kAborted, "the replica's leader ends"});
}

Status LeaderSeat::form(const replica::FormReplica& order) {
  if (Status status = check(order); !status.ok()) return status;
  auto connections = take_connections(order);
  if (!connections) return connections.error();
  if (generation_) supersede(order.view.route.generation.epoch);
  generation_ = order.view.route.generation;
  newest_ = generation_->epoch;
  connect(std::move(*connections));
  replica_ = desk_->open(*generation_, [&] { return spawn_replica(order); });
  return {};
}

Status LeaderSeat::check(const replica::FormReplica& order) const {
  const routing::ReplicaGeneration& made = order.view.route.generation;
  if (made.replica != parts_.replica)
    return bad_input("replica " + std::to_string(made.replica.value) + " is formed by another rank's process");
  if (made.epoch <= newest_)
    return {StatusCode::kAborted,
            "epoch " + std::to_string(made.epoch.value) + " is not newer than " + std::to_string(newest_.value)};
  if (order.ranks != parts_.site->model().shards.size())
    return bad_input("a group of " + std::to_string(order.ranks) + " ranks, but the model is cut for " +
                     std::to_string(parts_.site->model().shards.size()));
  return order.scheduler.validate();
}

Expected<std::vector<children::OwnedFd>> LeaderSeat::take_connections(const replica::FormReplica& order) const {
  std::vector<children::OwnedFd> connections;
  for (std::uint32_t rank = 1; rank < order.ranks; ++rank) {
    auto end = parts_.inbox->take(order.rendezvous + "/" + std::to_string(rank), kDescriptorPatience);
    if (!end) return fail(end.error());
    connections.push_back(std::move(*end));
  }
  return connections;
}

void LeaderSeat::connect(std::vector<children::OwnedFd> connections) {
  for (std::uint32_t rank = 1; rank <= connections.size(); ++rank) {
    auto remote = std::make_shared<RemoteRank>(*generation_, rank);
    RankProxyHandle proxy = parts_.system->spawn(rank_proxy, remote);
    const std::vector<link::PeerName> accepts{{handshake::Role::kRank, parts_.node}};
    if (Status status = parts_.pairs->adopt(connections[rank - 1].release(), accepts, remote->opener()); !status.ok())
      remote->on_ended({routing::LossCause::kDiedOfItself, std::move(status)});
    others_.push_back({std::move(remote), std::move(proxy)});
  }
}

ReplicaHandle LeaderSeat::spawn_replica(const replica::FormReplica& order) const {
  ReplicaConfig config;
  config.core = {.generation = *generation_,
                 .scheduler = order.scheduler,
                 .ranks = order.ranks,
                 .step_seconds_max = order.step_seconds_max,
                 .watch = order.watch};
  const placement::ShardedModel& model = parts_.site->model();
  config.core.cost.emplace(model.config, model.encoding, static_cast<int>(order.ranks), order.rates);
  config.view = order.view;
  config.ranks.push_back({parts_.rank, parts_.progress->word(0)});
  for (std::uint32_t rank = 1; rank < order.ranks; ++rank) {
    const Other& other = others_.at(rank - 1);
    config.ranks.push_back({other.proxy, parts_.progress->word(rank), other.remote->fate()});
  }
  config.rendezvous = order.rendezvous;
  config.ground = parts_.site;
  config.page = parts_.progress;
  config.on_step = parts_.on_step;
  config.on_stats = parts_.on_stats;
  if (moves_) {
    config.core.moves = move_config(model, order.scheduler, parts_.site->numerics_class(), order.view.route.numerics);
    config.join_moves = [moves = moves_](routing::ReplicaGeneration generation, ReplicaHandle replica) {
      moves->set_replica(generation, std::move(replica));
      return moves;
    };
  }
  config.clock = parts_.clock;
  return parts_.system->spawn(replica_actor, std::move(config), CoordinatorHandle(), parts_.supervisor);
}

void LeaderSeat::on_rank_ended(const replica::RankEnded& ended) {
  if (ended.rank >= 1 && ended.rank <= others_.size()) others_[ended.rank - 1].remote->on_ended(ended.loss);
}

void LeaderSeat::stop(double drain_s) {
  if (replica_) caf::anon_send(replica_, StopReplica{drain_s});
}

void LeaderSeat::on_over(const routing::ReplicaLoss& loss) {
  if (generation_ != loss.replica) return;
  desk_->close(loss);
  forget(loss.why);
}

// Its replica may wait for a rank that has left: it says nothing more, so that its gateways are told here.
void LeaderSeat::supersede(Epoch newer) {
  routing::ReplicaLoss loss;
  loss.replica = *generation_;
  loss.cause = routing::LossCause::kOverdue;
  loss.why = {StatusCode::kAborted, "epoch " + std::to_string(newer.value) + " takes the place of " +
                                        std::to_string(generation_->epoch.value) + ", which has not ended"};
  caf::anon_send_exit(replica_, caf::exit_reason::user_shutdown);
  on_over(loss);
}

void LeaderSeat::forget(const Status& why) {
  if (moves_) moves_->set_replica({}, ReplicaHandle());
  for (const Other& other : others_) {
    other.remote->finish(why);
    caf::anon_send_exit(other.proxy, caf::exit_reason::user_shutdown);
  }
  others_.clear();
  replica_ = nullptr;
  generation_.reset();
}

}  // namespace herd::actors
