#include "actors/remote/rank_proxy.h"

#include <chrono>
#include <string>
#include <utility>

#include "cluster/replica/group_messages.h"
#include "cluster/wire/group_codec.h"
#include "cluster/wire/step_codec.h"

namespace herd::actors {
namespace {

// For the node's word on how the rank's process ended, which it hears of at the same time.
constexpr std::chrono::milliseconds kWordOfNode{50};

}  // namespace

class RemoteRank::Owner final : public link::LinkOwner {
 public:
  explicit Owner(std::shared_ptr<RemoteRank> remote) : remote_(std::move(remote)) {}
  void on_frame(wire::OpenedFrame frame) override { remote_->on_frame(frame); }
  void on_closed(const Status& why) override { remote_->on_closed(why); }

 private:
  const std::shared_ptr<RemoteRank> remote_;
};

link::OpenLink RemoteRank::opener() {
  return [self = shared_from_this()](std::shared_ptr<link::Link> link, const link::PeerOpened&) {
    self->port_.open(std::move(link));
    return std::make_shared<Owner>(self);
  };
}

void RemoteRank::on_frame(const wire::OpenedFrame& frame) {
  if (frame.header.replica == generation_)  // of another one it is dropped
    if (Status status = take(frame); !status.ok()) port_.finish(status);
  port_.consumed(frame);
}

Status RemoteRank::take(const wire::OpenedFrame& frame) {
  ReplicaHandle replica;
  {
    const std::scoped_lock lock(mutex_);
    replica = replica_;
  }
  switch (frame.header.kind) {
    case wire::FrameKind::kRankJoined: {
      auto joined = wire::decode_rank_joined(frame.frame.words);
      if (!joined) return joined.error();
      caf::anon_send(replica, RankJoined{rank_, std::move(joined->status)});
      return {};
    }
    case wire::FrameKind::kStepResult: {
      auto result = wire::decode_step_result(frame.frame.words);
      if (!result) return result.error();
      if (result->rank != rank_)
        return bad_input("a result of rank " + std::to_string(result->rank) + " from rank " + std::to_string(rank_));
      caf::anon_send(replica, StepDone{std::move(*result)});
      return {};
    }
    case wire::FrameKind::kBlockPart: {
      auto part = wire::decode_block_part(frame.frame.words);
      if (!part) return part.error();
      if (part->rank != rank_)
        return bad_input("a block of rank " + std::to_string(part->rank) + " from rank " + std::to_string(rank_));
      auto block = blocks_.add(std::move(*part));
      if (!block) return block.error();
      if (*block) caf::anon_send(replica, BlockRead{generation_.epoch, std::make_shared<step::BlockBytes>(std::move(**block))});
      return {};
    }
    default:
      return bad_input("rank " + std::to_string(rank_) + " says what only rank 0 has to say");
  }
}

void RemoteRank::on_closed(const Status& why) {
  {
    const std::scoped_lock lock(mutex_);
    closed_why_ = {StatusCode::kAborted, "the connection with rank " + std::to_string(rank_) + " ended: " + why.message()};
  }
  tell({.last = fate_->end().has_value()});
}

// Where nobody saw the process end.
void RemoteRank::tell_what_is_known() {
  const std::scoped_lock lock(mutex_);
  if (!closed_why_.ok()) fate_->tell({routing::LossCause::kKilled, closed_why_});
}

void RemoteRank::on_ended(const routing::RankLoss& end) {
  fate_->tell(end);
  tell({.last = true});
}

void RemoteRank::tell(const RankLinkClosed& closed) {
  const std::scoped_lock lock(mutex_);
  closed_ = true;
  if (proxy_) caf::anon_send(proxy_, closed);
}

void RankProxyState::start(std::shared_ptr<RemoteRank> remote) {
  remote_ = std::move(remote);
  end_process_on_exception(self_);
  const std::scoped_lock lock(remote_->mutex_);
  remote_->proxy_ = RankProxyHandle(self_);
  if (remote_->closed_) self_->send(self_, RankLinkClosed{.last = true});
}

// Both hold each other until then.
RankProxyState::~RankProxyState() {
  if (!remote_) return;
  const std::scoped_lock lock(remote_->mutex_);
  remote_->proxy_ = nullptr;
  remote_->replica_ = nullptr;
}

void RankProxyState::on_join(const JoinGroup& order) {
  {
    const std::scoped_lock lock(remote_->mutex_);
    remote_->replica_ = order.replica;
  }
  remote_->port_.send(wire::encode(replica::JoinGroupOrder{order.rendezvous}), remote_->generation_);
}

void RankProxyState::on_plan(const ExecutePlan& order) { remote_->port_.send(wire::encode(*order.plan), remote_->generation_); }

void RankProxyState::on_block(const TakeBlock& given) {
  for (const step::BlockPart& part : step::cut_block(*given.bytes)) remote_->port_.send(wire::encode(part), remote_->generation_);
}

void RankProxyState::on_closed(const RankLinkClosed& closed) {
  if (closed.last) {
    remote_->tell_what_is_known();
    return self_->quit(caf::exit_reason::kill);
  }
  tell_self_after(self_, kWordOfNode, RankLinkClosed{.last = true});
}

RankProxyHandle::behavior_type rank_proxy(RankProxyState::Self self, std::shared_ptr<RemoteRank> remote) {
  RankProxyState& state = self->state;
  state.start(std::move(remote));
  return {
      [](const PrepareRank&) {},  // its node says so, in its own process; likewise below
      [&state](const JoinGroup& order) { state.on_join(order); },
      [&state](const ExecutePlan& order) { state.on_plan(order); },
      [&state](const TakeBlock& given) { state.on_block(given); },
      [](const CollectStep&) {},
      [](const LeaveGroup&) {},
      [&state](const RankLinkClosed& closed) { state.on_closed(closed); },
  };
}

}  // namespace herd::actors
