#include "actors/remote/coordinator_proxy.h"

#include <atomic>
#include <utility>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/membership_codec.h"
#include "cluster/wire/report_codec.h"

namespace herd::actors {
namespace {

// The generation that a message is about stands in its header too.
routing::ReplicaGeneration about(const routing::ReplicaLoss& loss) { return loss.replica; }
routing::ReplicaGeneration about(const membership::Serving& serving) { return serving.view.route.generation; }
template <class Message>
routing::ReplicaGeneration about(const Message&) {
  return {};
}

// The node's end of one connection with the coordinator.
class CoordinatorLink final : public link::LinkOwner {
 public:
  CoordinatorLink(std::uint64_t number, std::shared_ptr<link::Link> link, CoordinatorProxyHandle proxy)
      : number_(number), link_(std::move(link)), proxy_(std::move(proxy)) {
    caf::anon_send(proxy_, CoordinatorOpened{number_, link_});
  }

  void on_frame(wire::OpenedFrame frame) override {
    if (Status status = take(frame); !status.ok()) link_->finish(status);
    link_->consumed(frame.frame.words.size() * sizeof(std::uint64_t));
  }
  void on_closed(const Status& why) override { caf::anon_send(proxy_, CoordinatorClosed{number_, why}); }

 private:
  Status take(const wire::OpenedFrame& frame) {
    const std::span<const std::uint64_t> words = frame.frame.words;
    switch (frame.header.kind) {
      case wire::FrameKind::kAssignment: return pass_on<membership::Assignment>(frame.header, wire::decode_assignment(words));
      case wire::FrameKind::kPlaced: return pass_on<membership::Placed>(frame.header, wire::decode_placed(words));
      case wire::FrameKind::kReloadPrepare: return pass_on<reload::ReloadOrder>(frame.header, wire::decode_reload_prepare(words));
      case wire::FrameKind::kReloadDecision: return pass_on<reload::ReloadOrder>(frame.header, wire::decode_reload_decision(words));
      default: return bad_input("a frame that no coordinator sends a node");
    }
  }
  template <class As, class Message>
  Status pass_on(const wire::FrameHeader& header, Expected<Message> message) {
    if (!message) return message.error();
    caf::anon_send(proxy_, CoordinatorSaid{number_, header.cluster_epoch, As(std::move(*message))});
    return {};
  }

  const std::uint64_t number_;
  const std::shared_ptr<link::Link> link_;
  const CoordinatorProxyHandle proxy_;
};

}  // namespace

link::OpenLink opener_of(CoordinatorProxyHandle proxy) {
  const auto links = std::make_shared<std::atomic<std::uint64_t>>(0);
  return [proxy = std::move(proxy), links](std::shared_ptr<link::Link> link, const link::PeerOpened&) {
    return std::make_shared<CoordinatorLink>(++*links, std::move(link), proxy);
  };
}

void CoordinatorProxyState::start(CoordinatorProxyConfig config) {
  config_ = std::move(config);
  core_.emplace(config_.slots);
  end_process_on_exception(self_);
  actors::on_down(self_, [this](const caf::actor_addr& source, bool) { on_down(source); });
}

// A newer connection takes the place of one whose end was not heard of yet.
void CoordinatorProxyState::on_opened(const CoordinatorOpened& opened) {
  link_number_ = opened.link;
  link_ = opened.to;
  taken_in_ = false;
  decide([](membership::NodeCore& core, membership::NodeEffects& effects) { core.on_connected(effects); });
  send_reports();
}

void CoordinatorProxyState::on_closed(const CoordinatorClosed& closed) {
  if (closed.link != link_number_ || !link_) return;
  link_ = nullptr;
  core_->on_disconnected();
  if (!over_) config_.on_link(closed.why);
}

void CoordinatorProxyState::on_said(const CoordinatorSaid& said) {
  if (said.link != link_number_) return;
  if (!std::exchange(taken_in_, true)) config_.on_link({});
  core_->on_epoch(said.cluster_epoch);
  if (const auto* order = std::get_if<reload::ReloadOrder>(&said.message); order != nullptr && config_.on_reload) config_.on_reload(*order);
  decide([&](membership::NodeCore& core, membership::NodeEffects& effects) {
    if (const auto* assignment = std::get_if<membership::Assignment>(&said.message)) core.on_assignment(*assignment, effects);
    if (const auto* placed = std::get_if<membership::Placed>(&said.message)) core.on_placed(*placed, effects);
  });
}

void CoordinatorProxyState::on_place(const PlaceReplica& order) {
  membership::PlaceAsk ask;
  ask.replica = order.replica;
  ask.address = order.address;
  ask.numerics = order.numerics;
  ask.sequences_max = order.sequences_max;
  ask.max_model_len = order.max_model_len;
  decide([&](membership::NodeCore& core, membership::NodeEffects& effects) { core.on_place_ask(ask, effects); });
}

void CoordinatorProxyState::on_down(const caf::actor_addr& source) {
  for (const auto& [replica, supervisor] : supervisors_) {
    if (!is_same(supervisor, source)) continue;
    const ReplicaId ended = replica;
    supervisors_.erase(ended);
    decide([&](membership::NodeCore& core, membership::NodeEffects& effects) { core.on_ended(ended, effects); });
    return end_when_over();
  }
}

void CoordinatorProxyState::on_stop(const StopNode& order) {
  send_reports();  // that it drains
  decide([&](membership::NodeCore& core, membership::NodeEffects& effects) { core.on_stop(order.drain_s, effects); });
  end_when_over();
}

void CoordinatorProxyState::on_prepared(const SayPrepared& order) {
  if (link_) send(wire::encode(order.prepared));
}

void CoordinatorProxyState::on_budget(const BudgetChanged& order) {
  for (const auto& [replica, supervisor] : supervisors_) self_->send(supervisor, SetBudget{order.budget});
}

void CoordinatorProxyState::end_when_over() {
  if (!core_->over() || std::exchange(over_, true)) return;
  if (link_) link_->finish({StatusCode::kAborted, "this node stops"});
  config_.on_over();
}

void CoordinatorProxyState::send_reports() {
  report::ProcessReports reports{config_.reports()};
  if (link_) send(wire::encode(reports));
}

void CoordinatorProxyState::carry_out() {
  for (const membership::NodeEffect& effect : std::exchange(effects_, {})) std::visit([&](const auto& order) { carry_out(order); }, effect);
}

void CoordinatorProxyState::carry_out(const membership::StartReplica& order) {
  auto supervisor = config_.start_replica(order.replica, order.slot, CoordinatorHandle(self_));
  if (supervisor) {
    watch(self_, *supervisor);
    supervisors_.emplace(order.replica, std::move(*supervisor));
    return;
  }
  // As one that was started and did not come to anything.
  self_->send(self_, ReplicaGivenUp{order.replica, supervisor.error()});
}

void CoordinatorProxyState::carry_out(const membership::EndReplica& order) {
  const auto supervisor = supervisors_.find(order.replica);
  if (supervisor != supervisors_.end()) return self_->send(supervisor->second, StopReplica{order.drain_s});
  decide([&](membership::NodeCore& core, membership::NodeEffects& effects) { core.on_ended(order.replica, effects); });
}

void CoordinatorProxyState::carry_out(const membership::Place& order) {
  const auto supervisor = supervisors_.find(order.view.route.generation.replica);
  if (supervisor != supervisors_.end()) self_->send(supervisor->second, ReplicaPlaced{order.view});
}

void CoordinatorProxyState::carry_out(const membership::SayToCoordinator& order) {
  std::visit([&](const auto& message) { send(wire::encode(message), about(message)); }, order.message);
}

void CoordinatorProxyState::send(const wire::Frame& frame, routing::ReplicaGeneration generation) {
  if (Status sent = link_->send(frame, core_->newest(), generation); !sent.ok()) link_->finish(sent);
}

CoordinatorProxyHandle::behavior_type coordinator_proxy(CoordinatorProxyState::Self self, CoordinatorProxyConfig config) {
  using membership::NodeCore;
  using membership::NodeEffects;
  CoordinatorProxyState& state = self->state;
  state.start(std::move(config));
  return {
      [](const GatewayJoined&) {},  // gateways ask the coordinator itself
      [&state](const PlaceReplica& order) { state.on_place(order); },
      [&state](const ReplicaServing& serving) {
        state.decide([&](NodeCore& core, NodeEffects& effects) { core.on_serving(serving.view, effects); });
      },
      [&state](const ReplicaLost& lost) {
        state.decide([&](NodeCore& core, NodeEffects& effects) { core.on_lost(lost.loss, effects); });
      },
      [&state](const ReplicaGivenUp& given_up) {
        state.decide([&](NodeCore& core, NodeEffects& effects) { core.on_given_up(given_up.replica, given_up.why, effects); });
      },
      [&state](const CoordinatorOpened& opened) { state.on_opened(opened); },
      [&state](const CoordinatorSaid& said) { state.on_said(said); },
      [&state](const CoordinatorClosed& closed) { state.on_closed(closed); },
      [&state](const ReportsChanged&) { state.send_reports(); },
      [&state](const StopNode& order) { state.on_stop(order); },
      [&state](const SayPrepared& order) { state.on_prepared(order); },
      [&state](const BudgetChanged& order) { state.on_budget(order); },
  };
}

}  // namespace herd::actors
