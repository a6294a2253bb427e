#include "actors/roles/local_moves.h"

#include <algorithm>
#include <utility>

namespace herd::actors {

class LocalMoves::Port final : public MovePort {
 public:
  Port(std::shared_ptr<LocalMoves> moves, replica::TakerId number) : moves_(std::move(moves)), number_(number) {}
  ~Port() override { moves_->leave(number_); }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  void send(const routing::Route& holder, replica::ToHolder message) override { moves_->send(number_, holder, std::move(message)); }
  void send(replica::TakerId taker, replica::ToTaker message) override { moves_->send(taker, std::move(message)); }

 private:
  const std::shared_ptr<LocalMoves> moves_;
  const replica::TakerId number_;
};

std::unique_ptr<MovePort> LocalMoves::enter(routing::ReplicaGeneration generation, ReplicaHandle replica) {
  const std::scoped_lock lock(mutex_);
  members_.emplace(++last_, Member{generation, std::move(replica)});
  return std::make_unique<Port>(shared_from_this(), last_);
}

void LocalMoves::leave(replica::TakerId number) {
  const std::scoped_lock lock(mutex_);
  const auto gone = members_.extract(number);
  if (gone.empty()) return;
  for (const auto& [other, member] : members_) {
    caf::anon_send(member.replica, MoveHeard{replica::TakerGone{number}});
    caf::anon_send(member.replica, MoveHeard{replica::HolderGone{gone.mapped().generation}});
  }
}

void LocalMoves::send(replica::TakerId from, const routing::Route& holder, replica::ToHolder message) {
  const std::scoped_lock lock(mutex_);
  const auto to = std::ranges::find_if(members_, [&](const auto& member) { return member.second.generation == holder.generation; });
  if (to != members_.end()) return caf::anon_send(to->second.replica, MoveHeard{replica::FromTaker{from, std::move(message)}});
  const auto asker = members_.find(from);
  if (asker != members_.end()) caf::anon_send(asker->second.replica, MoveHeard{replica::HolderGone{holder.generation}});
}

void LocalMoves::send(replica::TakerId taker, replica::ToTaker message) {
  const std::scoped_lock lock(mutex_);
  const auto to = members_.find(taker);
  if (to != members_.end()) caf::anon_send(to->second.replica, MoveHeard{replica::FromHolder{std::move(message)}});
}

}  // namespace herd::actors
