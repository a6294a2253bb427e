#include "actors/remote/leader_proxy.h"

#include <string>
#include <utility>

#include "cluster/replica/group_messages.h"
#include "cluster/wire/group_codec.h"
#include "cluster/wire/step_codec.h"

namespace herd::actors {

ReplicaHandle::behavior_type leader_proxy(ReplicaHandle::stateful_pointer<LeaderProxyState> self, std::shared_ptr<FramePort> port,
                                          routing::ReplicaGeneration about) {
  LeaderProxyState& state = self->state;
  state.port = std::move(port);
  state.about = about;
  end_process_on_exception(self);
  return {
      [](const GatewayJoined&) {},  // gateways speak with the leader itself; likewise below
      [](const RunSequence&) {},
      [](const StopSequence&) {},
      [&state](const RankJoined& joined) { state.port->send(wire::encode(replica::RankJoinedNote{joined.status}), state.about); },
      [&state](const StepDone& done) { state.port->send(wire::encode(done.result), state.about); },
      [](const WakeUp&) {},
      [](const Tick&) {},
      [](const StopReplica&) {},
      [&state](const BlockRead& read) {
        for (const step::BlockPart& part : step::cut_block(*read.bytes)) state.port->send(wire::encode(part), state.about);
      },
      [](const MoveHeard&) {},
  };
}

GroupLink::GroupLink(caf::actor_system& system, std::shared_ptr<link::Link> link, ReplicaId replica, RankHandle rank,
                       std::shared_ptr<RankGround> ground)
    : system_(system), replica_(replica), rank_(std::move(rank)), ground_(std::move(ground)) {
  port_->open(std::move(link));
}

void GroupLink::on_frame(wire::OpenedFrame frame) {
  if (Status status = take(frame); !status.ok()) port_->finish(status);
  port_->consumed(frame);
}

Status GroupLink::take(const wire::OpenedFrame& frame) {
  if (frame.header.kind == wire::FrameKind::kJoinGroup) return join(frame);
  if (generation_.epoch == Epoch() || frame.header.replica != generation_) return {};
  if (frame.header.kind == wire::FrameKind::kBlockPart) return take_block(frame);
  if (frame.header.kind != wire::FrameKind::kStepPlan) return bad_input("a leader gives its ranks orders, plans and blocks, nothing else");
  auto plan = wire::decode_step_plan(frame.frame.words);
  if (!plan) return plan.error();
  caf::anon_send(rank_, ExecutePlan{std::make_shared<const step::StepPlan>(std::move(*plan))});
  return {};
}

Status GroupLink::take_block(const wire::OpenedFrame& frame) {
  auto part = wire::decode_block_part(frame.frame.words);
  if (!part) return part.error();
  auto block = blocks_.add(std::move(*part));
  if (!block) return block.error();
  if (*block) caf::anon_send(rank_, TakeBlock{generation_.epoch, std::make_shared<const step::BlockBytes>(std::move(**block))});
  return {};
}

Status GroupLink::join(const wire::OpenedFrame& frame) {
  const routing::ReplicaGeneration about = frame.header.replica;
  if (about.replica != replica_ || about.epoch == Epoch())
    return bad_input("a group of replica " + std::to_string(about.replica.value) + " is none of this rank's");
  if (generation_.epoch != Epoch()) return bad_input("the rank is to join a second group on one connection");
  auto order = wire::decode_join_group(frame.frame.words);
  if (!order) return order.error();
  generation_ = about;
  proxy_ = system_.spawn(leader_proxy, port_, about);
  caf::anon_send(rank_, JoinGroup{about.epoch, std::move(order->rendezvous), proxy_});
  return {};
}

void GroupLink::on_closed(const Status& why) {
  if (!proxy_) return;
  ground_->abort_group(generation_.replica, generation_.epoch, {StatusCode::kAborted, "the group's leader is gone: " + why.message()});
  caf::anon_send_exit(proxy_, caf::exit_reason::user_shutdown);
  proxy_ = nullptr;
}

}  // namespace herd::actors
