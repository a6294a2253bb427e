#include "actors/remote/move_links.h"

#include <deque>
#include <optional>
#include <utility>
#include <variant>

#include "actors/remote/frame_port.h"
#include "cluster/config/cluster_spec.h"
#include "cluster/wire/moves_codec.h"
#include "cluster/wire/step_codec.h"
#include "runtime/steady_clock.h"

namespace herd::actors {
namespace {

using routing::ReplicaGeneration;
using wire::FrameKind;

constexpr double kOpenSeconds = 2.0;      // in which a connection has to open
constexpr std::size_t kWaitingMax = 256;  // messages, until it has

std::vector<wire::Frame> frames_of(const replica::ToTaker& message) {
  std::vector<wire::Frame> frames;
  if (const auto* found = std::get_if<replica::MoveFound>(&message)) frames.push_back(wire::encode(*found));
  if (const auto* over = std::get_if<replica::MoveOver>(&message)) frames.push_back(wire::encode(*over));
  if (const auto* bytes = std::get_if<replica::SharedBlockBytes>(&message))
    for (const step::BlockPart& part : step::cut_block(**bytes)) frames.push_back(wire::encode(part));
  return frames;
}

wire::Frame frame_of(const replica::ToHolder& message) {
  return std::visit([](const auto& what) { return wire::encode(what); }, message);
}

}  // namespace

// A connection to the leader at one address, from the first word until it has ended. It speaks for one generation of this leader's
// replica, and to that one alone: transfers of the next have the same numbers.
class MoveLinks::HolderLink : public std::enable_shared_from_this<HolderLink> {
 public:
  HolderLink(std::weak_ptr<MoveLinks> moves, ReplicaHandle taker, std::string address)
      : moves_(std::move(moves)), taker_(std::move(taker)), address_(std::move(address)), begun_(steady_now()) {}

  link::OpenLink opener() {
    return [self = shared_from_this()](std::shared_ptr<link::Link> link, const link::PeerOpened&) {
      return self->on_open(std::move(link));
    };
  }

  // False: it has not opened for too long, or too much waits for that.
  bool send(ReplicaGeneration about, const wire::Frame& frame) {
    const std::scoped_lock lock(mutex_);
    asked_.insert(about);
    if (link_) {
      (void)link_->send(frame, Epoch(), about);  // where it has ended, on_closed says so
      return true;
    }
    if (seconds_between(begun_, steady_now()) > kOpenSeconds || waiting_.size() >= kWaitingMax) return false;
    waiting_.emplace_back(about, frame);
    return true;
  }
  [[nodiscard]] const std::string& address() const { return address_; }
  std::set<ReplicaGeneration> asked() {
    const std::scoped_lock lock(mutex_);
    return asked_;
  }
  void finish(const Status& why) {
    const std::scoped_lock lock(mutex_);
    if (link_) link_->finish(why);
  }

 private:
  class Owner final : public link::LinkOwner {
   public:
    Owner(std::shared_ptr<HolderLink> holder, std::shared_ptr<link::Link> link) : holder_(std::move(holder)), link_(std::move(link)) {}
    void on_frame(wire::OpenedFrame frame) override {
      if (Status status = holder_->on_frame(frame, held_frame(link_, frame)); !status.ok()) link_->finish(status);
      forget_actor_system();
    }
    void on_closed(const Status&) override {
      holder_->on_closed();
      link_.reset();
      forget_actor_system();
    }

   private:
    const std::shared_ptr<HolderLink> holder_;
    std::shared_ptr<link::Link> link_;
  };

  std::shared_ptr<link::LinkOwner> on_open(std::shared_ptr<link::Link> link) {
    const std::scoped_lock lock(mutex_);
    if (closed_) return nullptr;  // this one is over; another may have been begun
    for (const auto& [about, frame] : std::exchange(waiting_, {})) (void)link->send(frame, Epoch(), about);
    link_ = link;
    return std::make_shared<Owner>(shared_from_this(), std::move(link));
  }

  void tell(replica::ToTaker message, std::shared_ptr<const void> held) {
    caf::anon_send(taker_, MoveHeard{replica::FromHolder{std::move(message)}, std::move(held)});
  }

  Status on_frame(const wire::OpenedFrame& frame, std::shared_ptr<const void> held) {
    switch (frame.header.kind) {
      case FrameKind::kMoveFound: {
        auto found = wire::decode_move_found(frame.frame.words);
        if (!found) return found.error();
        tell(std::move(*found), std::move(held));
        return {};
      }
      case FrameKind::kMoveOver: {
        auto over = wire::decode_move_over(frame.frame.words);
        if (!over) return over.error();
        joiner_.forget(over->move);
        tell(std::move(*over), std::move(held));
        return {};
      }
      case FrameKind::kBlockPart: {
        auto part = wire::decode_block_part(frame.frame.words);
        if (!part) return part.error();
        auto block = joiner_.add(std::move(*part));
        if (!block) return block.error();
        if (*block) tell(std::make_shared<const step::BlockBytes>(std::move(**block)), std::move(held));
        return {};
      }
      default:
        return bad_input("a frame that a leader does not send to one that takes blocks");
    }
  }

  void on_closed() {
    std::set<ReplicaGeneration> asked;
    {
      const std::scoped_lock lock(mutex_);
      closed_ = true;
      link_.reset();
      asked = asked_;
    }
    for (const ReplicaGeneration generation : asked) caf::anon_send(taker_, MoveHeard{replica::HolderGone{generation}});
    if (const auto moves = moves_.lock()) moves->on_holder_closed(*this);
  }

  const std::weak_ptr<MoveLinks> moves_;
  const ReplicaHandle taker_;
  const std::string address_;
  const Instant begun_;
  step::BlockJoiner joiner_{step::kBlocksBegunMax};  // the host's thread
  std::mutex mutex_;  // of the below
  std::shared_ptr<link::Link> link_;  // null: it is not open
  bool closed_ = false;
  std::deque<std::pair<ReplicaGeneration, wire::Frame>> waiting_;
  std::set<ReplicaGeneration> asked_;
};

// A connection on which another leader asks for blocks.
class MoveLinks::TakerLink final : public link::LinkOwner {
 public:
  TakerLink(std::weak_ptr<MoveLinks> moves, replica::TakerId taker, std::shared_ptr<link::Link> link)
      : moves_(std::move(moves)), taker_(taker), link_(std::move(link)) {}
  void on_frame(wire::OpenedFrame frame) override {
    const auto moves = moves_.lock();
    if (!moves) return;
    if (Status status = moves->on_taker_frame(taker_, frame, held_frame(link_, frame)); !status.ok()) link_->finish(status);
    forget_actor_system();
  }
  void on_closed(const Status&) override {
    if (const auto moves = moves_.lock()) moves->on_taker_closed(taker_);
    link_.reset();
    forget_actor_system();
  }

 private:
  const std::weak_ptr<MoveLinks> moves_;
  const replica::TakerId taker_;
  std::shared_ptr<link::Link> link_;
};

MoveLinks::~MoveLinks() = default;

// Transfers of two generations have the same numbers, so that they never share a connection.
void MoveLinks::set_replica(ReplicaGeneration generation, ReplicaHandle replica) {
  end_connections({StatusCode::kAborted, "another generation of the replica"}, [&] {
    generation_ = generation;
    replica_ = std::move(replica);
  });
}

// Dials end behind the lock, as the host's thread may wait for it.
template <class Change>
void MoveLinks::end_connections(const Status& why, Change change) {
  std::map<std::string, Holder> holders;
  std::vector<std::unique_ptr<link::Dial>> over;
  std::map<replica::TakerId, std::shared_ptr<link::Link>> takers;
  {
    const std::scoped_lock lock(mutex_);
    change();
    holders.swap(holders_);
    over.swap(over_);
    takers.swap(takers_);
  }
  for (const auto& [taker, link] : takers) link->finish(why);
  for (const auto& [address, holder] : holders) holder.link->finish(why);
}

// Takers ----------------------------------------------------------------------------------------------------------------

link::OpenLink MoveLinks::opener() {
  return [weak = weak_from_this()](std::shared_ptr<link::Link> link, const link::PeerOpened&) -> std::shared_ptr<link::LinkOwner> {
    const auto moves = weak.lock();
    if (!moves) return nullptr;
    const std::scoped_lock lock(moves->mutex_);
    if (moves->finished_) return nullptr;
    const replica::TakerId taker = ++moves->last_taker_;
    moves->takers_.emplace(taker, link);
    return std::make_shared<TakerLink>(weak, taker, std::move(link));
  };
}

Status MoveLinks::on_taker_frame(replica::TakerId taker, const wire::OpenedFrame& frame, std::shared_ptr<const void> held) {
  const auto give = [&](auto decoded) -> Status {
    if (!decoded) return decoded.error();
    const std::scoped_lock lock(mutex_);
    if (replica_ && frame.header.replica == generation_) {
      caf::anon_send(replica_, MoveHeard{replica::FromTaker{taker, std::move(*decoded)}, std::move(held)});
      return {};
    }
    // Who asks is answered, so that it does not wait; of a generation that is over the rest is about nothing.
    using Message = std::decay_t<decltype(*decoded)>;
    if constexpr (std::is_same_v<Message, replica::MoveAsk>) {
      const replica::MoveFound none{decoded->move, {StatusCode::kAborted, "the generation that is asked is not there"}, {}};
      if (const auto link = takers_.find(taker); link != takers_.end())
        (void)link->second->send(wire::encode(none), Epoch(), frame.header.replica);
    }
    return {};
  };
  switch (frame.header.kind) {
    case FrameKind::kMoveAsk:
      return give(wire::decode_move_ask(frame.frame.words));
    case FrameKind::kMoveGrant:
      return give(wire::decode_move_grant(frame.frame.words));
    case FrameKind::kMoveStop:
      return give(wire::decode_move_stop(frame.frame.words));
    default:
      return bad_input("a frame that a leader does not send to one that holds blocks");
  }
}

void MoveLinks::on_taker_closed(replica::TakerId taker) {
  const std::scoped_lock lock(mutex_);
  takers_.erase(taker);
  if (replica_) caf::anon_send(replica_, MoveHeard{replica::TakerGone{taker}});
}

void MoveLinks::send(replica::TakerId taker, replica::ToTaker message) {
  const std::vector<wire::Frame> frames = frames_of(message);
  const std::scoped_lock lock(mutex_);
  const auto to = takers_.find(taker);
  if (to == takers_.end()) return;
  for (const wire::Frame& frame : frames) {
    // What cannot be sent is not missed: the connection has ended, or the taker reads nothing and is not waited for.
    if (Status sent = to->second->send(frame, Epoch(), generation_); !sent.ok()) return to->second->finish(sent);
  }
}

// Holders ---------------------------------------------------------------------------------------------------------------

void MoveLinks::tidy() {
  std::vector<std::unique_ptr<link::Dial>> over;  // ends behind the lock
  const std::scoped_lock lock(mutex_);
  over.swap(over_);
}

void MoveLinks::send(const routing::Route& holder, replica::ToHolder message) {
  std::vector<std::unique_ptr<link::Dial>> over;
  const std::scoped_lock lock(mutex_);
  const std::uint16_t port = config::port_of(holder.address);
  const auto gone = [&](ReplicaGeneration generation) {
    if (replica_) caf::anon_send(replica_, MoveHeard{replica::HolderGone{generation}});
  };
  if (finished_ || !replica_ || port == 0) return gone(holder.generation);
  auto known = holders_.find(holder.address);
  if (known == holders_.end()) {
    auto link = std::make_shared<HolderLink>(weak_from_this(), replica_, holder.address);
    auto dial = host_.dial(config::host_of(holder.address), port, {{handshake::Role::kRank, ""}}, link->opener());
    known = holders_.emplace(holder.address, Holder{std::move(link), std::move(dial)}).first;
  }
  if (known->second.link->send(holder.generation, frame_of(message))) return;
  for (const ReplicaGeneration generation : known->second.link->asked()) gone(generation);
  over.push_back(std::move(known->second.dial));
  holders_.erase(known);
}

// Everything that was under way there is over; the next word dials anew.
void MoveLinks::on_holder_closed(const HolderLink& link) {
  const std::scoped_lock lock(mutex_);
  const auto known = holders_.find(link.address());
  if (known == holders_.end() || known->second.link.get() != &link) return;  // another one has taken its place
  over_.push_back(std::move(known->second.dial));
  holders_.erase(known);
}

void MoveLinks::finish(const Status& why) {
  end_connections(why, [this] {
    finished_ = true;
    replica_ = nullptr;
  });
}

}  // namespace herd::actors
