#include "actors/roles/gateway_actor.h"

#include <cfenv>
#include <utility>

#include "kernels/check.h"

namespace herd::actors {
namespace {

constexpr std::chrono::milliseconds kTick{50};   // keep-alive comments: as coarse as this
constexpr double kPublishSeconds = 0.05;         // between two statuses of a busy gateway
constexpr double kTellCachesSeconds = 1.0;       // between two words of it on prefix caches

}  // namespace

void GatewayState::start(std::shared_ptr<SharedGateway> shared, std::shared_ptr<ReplicaDirectory> directory,
                         const CoordinatorHandle& coordinator) {
  // A thread that computed may have started this one and left it the kernels' float mode; text needs the ordinary one.
  std::fesetenv(FE_DFL_ENV);
  shared_ = std::move(shared);
  directory_ = std::move(directory);
  end_process_on_exception(self_);
  on_down(self_, [this](const caf::actor_addr& source, bool) { on_ended(source); });
  if (coordinator) self_->send(coordinator, GatewayJoined{shared_->id(), GatewayHandle(self_)});
}

void GatewayState::on_submit(const SubmitRequest& order) {
  HERD_CHECK(open_.emplace(order.request.id, order.stream).second, "each request has an id of its own");
  decide([&](gateway::GatewayCore& core, Instant now, gateway::GatewayEffects& effects) {
    core.on_request(order.request, now, effects);
  });
  tick_later();
}

void GatewayState::on_ended(const caf::actor_addr& source) {
  const auto lost = replica_that_died(replicas_, source);
  if (!lost) return;
  if (directory_->end_is_loss()) return on_lost(*lost);
  const routing::ReplicaGeneration cut = lost->replica;
  replicas_.erase(cut);
  reports_.erase(cut);
  progress_.on_lost(cut);
  decide([cut](gateway::GatewayCore& core, Instant now, gateway::GatewayEffects& effects) {
    core.on_link_lost(cut, now, effects);
  });
  publish(shared_->now());
}

void GatewayState::on_view(const routing::ClusterView& view) {
  const Instant now = shared_->now();
  bool newer = false;
  shared_->decide([&](gateway::GatewayCore& core) { newer = core.on_view(view, now, effects_); });
  if (!newer) return;
  // Before anything is sent to where it says.
  directory_->on_view(view);
  for (const routing::ReplicaView& replica : view.replicas) {
    if (replica.state != routing::ReplicaState::kLost) (void)reach(replica.route);
  }
  carry_out(now);
  publish(shared_->now());
}

void GatewayState::on_lost(const routing::ReplicaLoss& loss) {
  replicas_.erase(loss.replica);
  reports_.erase(loss.replica);
  progress_.on_lost(loss.replica);
  decide([&](gateway::GatewayCore& core, Instant now, gateway::GatewayEffects& effects) {
    core.on_replica_lost(loss, now, effects);
  });
  publish(shared_->now());
}

void GatewayState::on_reported(const ReplicaReported& reported) {
  const Instant now = shared_->now();
  if (knows(reported.from)) {
    const replica::ReplicaStats& stats = reports_[reported.from] = reported.stats;
    const scheduler::SchedulerStats& work = stats.scheduler;
    const routing::ReplicaLoad load{.running = work.num_running,
                                    .waiting = work.num_waiting,
                                    .waiting_tokens = work.queue_tokens,
                                    .decode_step_s = stats.decode_step_s,
                                    .prompt_token_s = stats.prompt_token_s,
                                    .moved_token_s = stats.moves.token_s};
    shared_->decide([&](gateway::GatewayCore& core) { core.on_load(reported.from, load); });
    if (reported.draining) {
      decide([&](gateway::GatewayCore& core, Instant at, gateway::GatewayEffects& effects) {
        core.on_draining(reported.from, at, effects);
      });
    }
    if (reported.news) on_news(reported.from, *reported.news);
    progress_.on_report(reported.from, stats.steps, work.num_running + work.num_waiting > 0, now);
  }
  publish(now);
}

void GatewayState::on_news(routing::ReplicaGeneration from, const kv::BlockNews& news) {
  const bool complete = shared_->decide([&](gateway::GatewayCore& core) { return core.on_news(from, news); });
  const auto replica = replicas_.find(from);
  if (!complete && replica != replicas_.end()) self_->send(replica->second, GatewayJoined{shared_->id(), GatewayHandle(self_)});
}

bool GatewayState::knows(routing::ReplicaGeneration from) {
  if (reports_.contains(from)) return true;
  const auto route = shared_->look([from](const gateway::GatewayCore& core) { return core.route_of(from); });
  if (!route || reach(*route) == nullptr) return false;
  reports_[from];
  decide([from](gateway::GatewayCore& core, Instant now, gateway::GatewayEffects& effects) {
    core.on_link_open(from, now, effects);
  });
  return true;
}

void GatewayState::on_wake_up(const WakeUp& message) {
  const auto woken = timer_.on_message(message, shared_->now());
  if (woken.next) tell_self_after(self_, woken.next->delay, woken.next->message);
  if (!woken.due) return;
  decide([](gateway::GatewayCore& core, Instant now, gateway::GatewayEffects& effects) { core.on_timer(now, effects); });
}

void GatewayState::on_tick() {
  tick_under_way_ = false;
  const Instant now = shared_->now();
  std::vector<RequestId> gone;
  for (const auto& [id, stream] : open_) {
    if (!stream->tick(now)) gone.push_back(id);
  }
  for (const RequestId id : gone) {
    decide([id](gateway::GatewayCore& core, Instant at, gateway::GatewayEffects& effects) {
      core.on_gone(id, at, effects);
    });
  }
  if (unpublished_) publish(now);
  if (tell_quotas(now) || !open_.empty()) tick_later();
}

void GatewayState::on_quotas() {
  shared_->looks();
  decide([](gateway::GatewayCore& core, Instant now, gateway::GatewayEffects& effects) { core.on_timer(now, effects); });
  if (tell_quotas(shared_->now())) tick_later();
}

bool GatewayState::tell_quotas(Instant now) {
  std::optional<routing::QuotaDemand> demand;
  const bool goes_on = shared_->decide([&](gateway::GatewayCore& core) {
    demand = core.quotas().take_demand(now);
    return core.quotas().has_demand();
  });
  if (demand) shared_->tell(*demand);
  return goes_on;
}

void GatewayState::on_stop() {
  decide([](gateway::GatewayCore& core, Instant now, gateway::GatewayEffects& effects) {
    core.on_shutdown(now, effects);
    core.check_integrity();
  });
  HERD_CHECK(open_.empty(), "a gateway that ends has told every request its end");
  publish(shared_->now());
  shared_->set_ended();
  self_->quit();
}

void GatewayState::carry_out(Instant now) {
  if (carrying_out_) {
    unpublished_ = true;
    return;
  }
  carrying_out_ = true;
  publish_soon(now);
  // A stream's answer appends effects while this runs.
  for (std::size_t i = 0; i < effects_.size(); ++i) {
    gateway::GatewayEffect effect = std::move(effects_[i]);
    std::visit([&](auto& order) { carry_out(order, now); }, effect);
  }
  effects_.clear();
  carrying_out_ = false;
  if (unpublished_) publish_soon(now);
}

void GatewayState::carry_out(gateway::StartRequest& order, Instant now) {
  auto choices = open_.at(order.request)->start(now);
  decide([&](gateway::GatewayCore& core, Instant at, gateway::GatewayEffects& effects) {
    core.on_started(order.request, std::move(choices), at, effects);
  });
}

void GatewayState::carry_out(gateway::RunOn& order, Instant now) {
  if (const auto open = open_.find(order.request); open != open_.end()) open->second->on_attempt(order, now);
  if (const ReplicaHandle* replica = reach(order.to)) {
    return self_->send(*replica, RunSequence{std::move(order.submission)});
  }
  decide([&](gateway::GatewayCore& core, Instant at, gateway::GatewayEffects& effects) {
    core.on_unsent(order.to.generation, order.submission.key(), at, effects);
  });
}

void GatewayState::carry_out(gateway::StopOn& order, Instant) {
  const auto replica = replicas_.find(order.on.generation);
  if (replica != replicas_.end()) self_->send(replica->second, StopSequence{order.attempt});
}

void GatewayState::carry_out(gateway::AttemptCut& cut, Instant now) {
  if (const auto open = open_.find(cut.request); open != open_.end()) open->second->on_attempt_cut(cut, now);
}

void GatewayState::carry_out(gateway::Deliver& order, Instant now) {
  const auto open = open_.find(order.request);
  if (open == open_.end()) return;  // its reader left while this waited behind other effects
  const RequestStream::Taken taken = open->second->deliver(order.choice, order.delta, now);
  decide([&](gateway::GatewayCore& core, Instant at, gateway::GatewayEffects& effects) {
    if (taken.consumed > 0) core.on_consumed(order.request, taken.consumed);
    if (taken.stop) core.on_choice_stopped(order.request, order.choice, at, effects);
    if (taken.gone) core.on_gone(order.request, at, effects);
  });
}

void GatewayState::carry_out(gateway::EndRequest& order, Instant now) {
  const auto open = open_.extract(order.request);
  HERD_CHECK(!open.empty(), "a request ends once");
  open.mapped()->end(order.end, now);
}

void GatewayState::carry_out(gateway::WakeAt& order, Instant now) {
  if (const auto message = timer_.want(order.at, now)) tell_self_after(self_, message->delay, message->message);
}

const ReplicaHandle* GatewayState::reach(const routing::Route& route) {
  const auto known = replicas_.find(route.generation);
  if (known != replicas_.end()) return &known->second;
  const auto replica = directory_->resolve(route, GatewayHandle(self_));
  if (!replica) return nullptr;
  watch(self_, *replica);
  self_->send(*replica, GatewayJoined{shared_->id(), GatewayHandle(self_)});
  return &replicas_.emplace(route.generation, *replica).first->second;
}

// Before what was decided is carried out: whoever hears the last end of all finds the numbers up to date.
void GatewayState::publish_soon(Instant now) {
  const bool idle = shared_->look([](const gateway::GatewayCore& core) { return core.open_requests() == 0; });
  if (idle || seconds_between(published_, now) >= kPublishSeconds) return publish(now);
  unpublished_ = true;
  tick_later();
}

void GatewayState::publish(Instant now) {
  auto status = std::make_shared<ClusterStatus>();
  shared_->look([&](const gateway::GatewayCore& core) {
    status->view = core.view();
    status->ledger = core.ledger();
    status->admission = core.admission();
    status->open_requests = core.open_requests();
    status->replica_ejections = core.replica_ejections();
    status->routing = core.routing();
    status->directory_blocks = core.directory().blocks();
    status->directory_bytes = core.directory().bytes();
    status->first_token_s = core.first_token_seconds();
  });
  for (const routing::ReplicaView& replica : status->view.replicas) {
    ReplicaStatus& one = status->replicas.emplace_back();
    one.replica = replica.route.generation.replica;
    const auto report = reports_.find(replica.route.generation);
    one.serving = replica.state == routing::ReplicaState::kServing && report != reports_.end();
    if (report == reports_.end()) continue;
    one.steps = report->second.steps;
    one.scheduler = report->second.scheduler;
    one.saved_s = report->second.saved_s;
    one.moves = report->second.moves;
    one.decode_step_s = report->second.decode_step_s;
    one.prompt_token_s = report->second.prompt_token_s;
  }
  progress_.on_open(status->ledger.open, now);
  status->silent_since = progress_.silent_since();
  tell_caches(*status, now);
  shared_->publish(std::move(status));
  published_ = now;
  unpublished_ = false;
}

void GatewayState::tell_caches(const ClusterStatus& status, Instant now) {
  if (status.open_requests > 0 && seconds_between(told_caches_, now) < kTellCachesSeconds) return;
  std::vector<report::CacheReport> caches;
  for (const auto& [generation, stats] : reports_) {
    const kv::BlockStats& blocks = stats.scheduler.blocks;
    caches.push_back({.replica = generation.replica,
                      .epoch = generation.epoch.value,
                      .query_tokens = blocks.query_tokens,
                      .hit_tokens = blocks.hit_tokens,
                      .evicted_blocks = blocks.evicted_blocks,
                      .saved_s = stats.saved_s,
                      .bytes_in = stats.moves.bytes_in,
                      .bytes_out = stats.moves.bytes_out,
                      .blocks_recomputed = stats.moves.blocks_recomputed});
    // Of two generations of a replica, the later one's.
    if (caches.size() > 1 && caches[caches.size() - 2].replica == generation.replica) caches.erase(caches.end() - 2);
  }
  told_caches_ = now;
  if (caches == caches_) return;
  caches_ = caches;
  shared_->tell(std::move(caches));
}

void GatewayState::tick_later() {
  if (tick_under_way_) return;
  tick_under_way_ = true;
  tell_self_after(self_, kTick, Tick{});
}

GatewayHandle::behavior_type gateway_actor(GatewayState::Self self, std::shared_ptr<SharedGateway> shared,
                                           std::shared_ptr<ReplicaDirectory> directory, CoordinatorHandle coordinator) {
  using gateway::GatewayCore;
  using gateway::GatewayEffects;
  GatewayState& state = self->state;
  state.start(std::move(shared), std::move(directory), coordinator);
  return {
      [&state](const SubmitRequest& order) { state.on_submit(order); },
      [&state](const DeltasConsumed& told) {
        state.decide([&](GatewayCore& core, Instant, GatewayEffects&) { core.on_consumed(told.request, told.deltas); });
      },
      [&state](const StopChoice& order) {
        state.decide([&](GatewayCore& core, Instant now, GatewayEffects& effects) {
          core.on_choice_stopped(order.request, order.choice, now, effects);
        });
      },
      [&state](const ReaderGone& told) {
        state.decide([&](GatewayCore& core, Instant now, GatewayEffects& effects) {
          core.on_gone(told.request, now, effects);
        });
      },
      [&state](const DeltasMade& made) {
        state.decide([&](GatewayCore& core, Instant now, GatewayEffects& effects) {
          core.on_deltas(made.from, made.deltas, now, effects);
        });
      },
      [&state](const ReplicaReported& reported) { state.on_reported(reported); },
      [&state](const ReplicaLost& lost) { state.on_lost(lost.loss); },
      [&state](const ViewChanged& changed) { state.on_view(changed.view); },
      [&state](const WakeUp& message) { state.on_wake_up(message); },
      [&state](const Tick&) { state.on_tick(); },
      [&state](const LookAtQuotas&) { state.on_quotas(); },
      [&state](const StopGateway&) { state.on_stop(); },
  };
}

}  // namespace herd::actors
