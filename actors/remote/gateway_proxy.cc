#include "actors/remote/gateway_proxy.h"

#include <string>
#include <utility>
#include <vector>

#include "cluster/replica/group_messages.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/group_codec.h"
#include "runtime/step/cut_deltas.h"

namespace herd::actors {
namespace {

// Clocks differ between processes, so a time travels as how long ago it was; 0 stays: there is none. More than one report where the
// news are too many for one.
std::vector<replica::ReplicaReport> reports_of(const ReplicaReported& reported, Instant now) {
  replica::ReplicaReport report{reported.stats, reported.draining};
  Instant& oldest = report.stats.scheduler.oldest_waiting_since;
  if (oldest != Instant()) oldest = {now.ns - oldest.ns};
  if (!reported.news) return {report};
  std::vector<replica::ReplicaReport> reports;
  for (kv::BlockNews& part : kv::cut_news(*reported.news, replica::kNewsKeysMax))
    reports.emplace_back(report).news = std::move(part);
  return reports;
}

std::string name_of(routing::ReplicaGeneration generation) {
  return "epoch " + std::to_string(generation.epoch.value) + " of replica " + std::to_string(generation.replica.value);
}

// Of an older generation than the last nobody knows any more how it ended: nothing in it is suspected.
routing::ReplicaLoss long_over(routing::ReplicaGeneration generation) {
  routing::ReplicaLoss loss;
  loss.replica = generation;
  loss.cause = routing::LossCause::kKilled;
  loss.why = {StatusCode::kAborted, name_of(generation) + " is over"};
  return loss;
}

// As a replica that does not serve says it: the attempt is to go elsewhere.
step::TokenDelta refusal(routing::ReplicaGeneration about, const step::AttemptKey& attempt) {
  step::TokenDelta delta;
  delta.gateway = attempt.gateway;
  delta.sequence = attempt.sequence;
  delta.attempt = attempt.attempt;
  delta.finish = step::FinishReason::kRefused;
  delta.error = {StatusCode::kAborted, "the leader does not have " + name_of(about)};
  return delta;
}

}  // namespace

GatewayHandle::behavior_type gateway_proxy(GatewayHandle::stateful_pointer<GatewayProxyState> self, std::shared_ptr<FramePort> port,
                                           std::function<Instant()> clock) {
  GatewayProxyState& state = self->state;
  state.port = std::move(port);
  state.clock = std::move(clock);
  end_process_on_exception(self);
  return {
      [](const SubmitRequest&) {},  // its own clients say so; likewise below
      [](const DeltasConsumed&) {},
      [](const StopChoice&) {},
      [](const ReaderGone&) {},
      [&state](const DeltasMade& made) {
        for (const std::vector<step::TokenDelta>& message : step::cut_deltas(made.deltas))
          state.port->send(wire::encode(message), made.from);
      },
      [&state](const ReplicaReported& reported) {
        for (const replica::ReplicaReport& report : reports_of(reported, state.clock()))
          state.port->send(wire::encode(report), reported.from);
      },
      [&state](const ReplicaLost& lost) { state.port->send(wire::encode(lost.loss), lost.loss.replica); },
      [](const ViewChanged&) {},
      [](const WakeUp&) {},
      [](const Tick&) {},
      [](const LookAtQuotas&) {},
      [](const StopGateway&) {},
  };
}

class GatewayDesk::GatewayLink final : public link::LinkOwner {
 public:
  GatewayLink(std::shared_ptr<GatewayDesk> desk, std::shared_ptr<FramePort> port) : desk_(std::move(desk)), port_(std::move(port)) {}
  void on_frame(wire::OpenedFrame frame) override {
    if (Status status = desk_->take(this, frame); !status.ok()) port_->finish(status);
  }
  void on_closed(const Status&) override { desk_->leave(this); }
  [[nodiscard]] std::shared_ptr<const void> held(const wire::OpenedFrame& frame) const { return port_->held(frame); }

 private:
  const std::shared_ptr<GatewayDesk> desk_;
  const std::shared_ptr<FramePort> port_;
};

link::OpenLink GatewayDesk::opener() {
  return [self = shared_from_this()](std::shared_ptr<link::Link> link, const link::PeerOpened& opened) {
    auto port = std::make_shared<FramePort>();
    port->open(std::move(link));
    auto owner = std::make_shared<GatewayLink>(self, port);
    GatewayHandle proxy = self->system_.spawn(gateway_proxy, port, self->clock_);
    self->enter(owner.get(), {GatewayId(opened.hello.incarnation), opened.hello.node, std::move(proxy), std::move(port)});
    return owner;
  };
}

void GatewayDesk::enter(const GatewayLink* link, Guest guest) {
  const std::scoped_lock lock(mutex_);
  guests_.emplace(link, std::move(guest));
}

void GatewayDesk::leave(const GatewayLink* link) {
  const std::scoped_lock lock(mutex_);
  const auto guest = guests_.find(link);
  if (guest == guests_.end()) return;
  caf::anon_send_exit(guest->second.proxy, caf::exit_reason::user_shutdown);
  guests_.erase(guest);
}

Status GatewayDesk::take(const GatewayLink* link, const wire::OpenedFrame& frame) {
  auto held = link->held(frame);
  if (frame.header.kind == wire::FrameKind::kGatewayJoin) return join(link, frame, std::move(held));
  const routing::ReplicaGeneration about = frame.header.replica;
  const ReplicaHandle replica = replica_of(about);
  if (!replica) ++stale_frames_;
  if (frame.header.kind == wire::FrameKind::kAbort) {
    if (!replica) return {};
    const auto attempt = wire::decode_abort(frame.frame.words);
    if (!attempt) return attempt.error();
    if (Status status = check_speaker(link, attempt->gateway); !status.ok()) return status;
    caf::anon_send(replica, StopSequence{*attempt, std::move(held)});
    return {};
  }
  auto submission = wire::decode_submission(frame.frame.words);
  if (!submission) return submission.error();
  if (Status status = check_speaker(link, submission->gateway); !status.ok()) return status;
  if (replica) {
    caf::anon_send(replica, RunSequence{std::move(*submission), std::move(held)});
  } else {
    on_stale(link, about, submission->key());
  }
  return {};
}

Status GatewayDesk::check_speaker(const GatewayLink* link, GatewayId id) const {
  const std::scoped_lock lock(mutex_);
  const auto guest = guests_.find(link);
  if (guest == guests_.end() || !guest->second.joined) return bad_input("a gateway that has not joined, or joined elsewhere since");
  return guest->second.id == id ? Status() : bad_input("a gateway speaks for another one");
}

ReplicaHandle GatewayDesk::replica_of(routing::ReplicaGeneration about) const {
  const std::scoped_lock lock(mutex_);
  return open_ && open_->generation == about ? open_->replica : ReplicaHandle();
}

// By way of the proxy: behind what the replica has said to it.
void GatewayDesk::on_stale(const GatewayLink* link, routing::ReplicaGeneration about, const step::AttemptKey& attempt) {
  const std::scoped_lock lock(mutex_);
  const auto guest = guests_.find(link);
  if (guest == guests_.end()) return;
  if (last_loss_ && last_loss_->replica == about) {
    caf::anon_send(guest->second.proxy, ReplicaLost{*last_loss_});
  } else if (last_loss_ && about.replica == replica_ && about.epoch < last_loss_->replica.epoch) {
    caf::anon_send(guest->second.proxy, ReplicaLost{long_over(about)});
  } else {
    caf::anon_send(guest->second.proxy, DeltasMade{about, {refusal(about, attempt)}});
  }
}

Status GatewayDesk::join(const GatewayLink* link, const wire::OpenedFrame& frame, std::shared_ptr<const void> held) {
  const auto join = wire::decode_gateway_join(frame.frame.words);
  if (!join) return join.error();
  const std::scoped_lock lock(mutex_);
  const auto known = guests_.find(link);
  if (known == guests_.end()) return {};  // it has joined again on another connection
  Guest& guest = known->second;
  if (join->gateway != guest.id) return bad_input("a gateway joins under another id than its hello's");
  if (Status status = end_older(link, guest); !status.ok()) return status;
  guest.joined = true;
  if (open_) caf::anon_send(open_->replica, GatewayJoined{guest.id, guest.proxy, std::move(held)});
  return {};
}

// Under the lock: a gateway is at one connection; what it asked for on an older one ends when the replica hears that it joins anew.
// Ids of gateways are no secret, so one that has another name is another one, and one that has not joined has no claim to its id.
Status GatewayDesk::end_older(const GatewayLink* link, const Guest& guest) {
  for (auto other = guests_.begin(); other != guests_.end();) {
    if (other->first == link || other->second.id != guest.id || !other->second.joined) {
      ++other;
      continue;
    }
    if (other->second.name != guest.name)
      return bad_input("gateway \"" + guest.name + "\" joins under the id of \"" + other->second.name + "\"");
    other->second.port->finish({StatusCode::kAborted, "the gateway has joined again on another connection"});
    caf::anon_send_exit(other->second.proxy, caf::exit_reason::user_shutdown);
    other = guests_.erase(other);
  }
  return {};
}

ReplicaHandle GatewayDesk::open(routing::ReplicaGeneration generation, const std::function<ReplicaHandle()>& start) {
  const std::scoped_lock lock(mutex_);
  open_ = Place{generation, start()};
  for (const auto& [link, guest] : guests_)
    if (guest.joined) caf::anon_send(open_->replica, GatewayJoined{guest.id, guest.proxy});
  return open_->replica;
}

void GatewayDesk::close(const routing::ReplicaLoss& loss) {
  const std::scoped_lock lock(mutex_);
  if (open_ && open_->generation == loss.replica) open_.reset();
  last_loss_ = loss;
  for (const auto& [link, guest] : guests_)
    if (guest.joined) caf::anon_send(guest.proxy, ReplicaLost{loss});
}

void GatewayDesk::finish(const Status& why) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [link, guest] : guests_) guest.port->finish(why);
}

}  // namespace herd::actors
