#pragma once
// A gateway whose shell is the test: it hands over submissions when a request's turn has come, plays the replicas by hand
// and keeps every effect.

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cluster/gateway/gateway_core.h"

namespace herd::gateway {

constexpr GatewayId kGateway{77};
constexpr Instant seconds(double s) { return {static_cast<std::int64_t>(s * 1e9)}; }

constexpr routing::ReplicaGeneration generation(std::uint32_t replica, std::uint64_t epoch = 1) {
  return {ReplicaId(replica), Epoch(epoch)};
}

inline routing::ReplicaView replica(std::uint32_t id, std::uint64_t epoch = 1,
                                    routing::ReplicaState state = routing::ReplicaState::kServing,
                                    std::uint32_t sequences_max = 64) {
  return {.route = {generation(id, epoch), "replica-" + std::to_string(id), "cpu-1"},
          .state = state,
          .returns = true,
          .sequences_max = sequences_max};
}

inline GatewayConfig gateway_config() {
  GatewayConfig config;
  config.id = kGateway;
  config.jitter_seed = 1;
  return config;
}

inline step::Submission submission(std::uint32_t choice = 0) {
  step::Submission submission;
  submission.tokens = {10, 11, 12};
  submission.prompt_tokens = 3;
  submission.max_tokens = 8;
  submission.sampling.choice = choice;
  return submission;
}

struct Gateway {
  explicit Gateway(const GatewayConfig& config = gateway_config()) : core(config) {}

  void view(std::vector<routing::ReplicaView> replicas) {
    GatewayEffects made;
    core.on_view({.cluster_epoch = Epoch(1), .number = ++view_number, .replicas = std::move(replicas)}, now, made);
    carry_out(std::move(made));
  }
  static GatewayRequest request(std::uint64_t id, std::uint32_t sequences = 1) {
    GatewayRequest request;
    request.id = RequestId(id);
    request.tenant = admission::TenantId(1);
    request.sequences = sequences;
    request.prompt_tokens = 3;
    request.output_tokens_max = 8ULL * sequences;
    request.deadline = seconds(600);
    request.credit = 1000;
    return request;
  }
  void ask(const GatewayRequest& request) {
    asked.push_back(request);
    GatewayEffects made;
    core.on_request(request, now, made);
    carry_out(std::move(made));
  }
  void ask(std::uint64_t id, std::uint32_t sequences = 1) { ask(request(id, sequences)); }

  // From the replica that runs it, as the attempt that was sent last.
  step::TokenDelta delta(std::size_t run) const {
    const RunOn order = runs().at(run);
    step::TokenDelta delta;
    delta.gateway = kGateway;
    delta.sequence = order.submission.sequence;
    delta.attempt = order.submission.attempt;
    return delta;
  }
  step::TokenDelta token(std::size_t run, std::uint32_t index,
                         step::FinishReason finish = step::FinishReason::kNone) const {
    auto made = delta(run);
    made.has_token = true;
    made.token.sequence = made.sequence;
    made.token.output_index = index;
    made.token.token = static_cast<TokenId>(100 + index);
    made.finish = finish;
    return made;
  }
  step::TokenDelta refusal(std::size_t run, StatusCode code) const {
    auto made = delta(run);
    made.finish = step::FinishReason::kRefused;
    made.error = {code, "no"};
    return made;
  }
  void from(routing::ReplicaGeneration replica, const step::TokenDelta& delta) {
    GatewayEffects made;
    core.on_deltas(replica, {&delta, 1}, now, made);
    carry_out(std::move(made));
  }
  // From where that run was sent.
  void answer(std::size_t run, const step::TokenDelta& delta) { from(runs().at(run).to.generation, delta); }

  void lose(routing::ReplicaGeneration replica, routing::LossCause cause,
            std::optional<std::vector<routing::AttemptInStep>> in_step = std::nullopt,
            StatusCode code = StatusCode::kAborted) {
    GatewayEffects made;
    core.on_replica_lost({.replica = replica,
                          .cause = cause,
                          .why = {code, "replica " + std::to_string(replica.replica.value) + ": rank 1 died"},
                          .in_step = std::move(in_step)},
                         now, made);
    carry_out(std::move(made));
  }
  void cut(routing::ReplicaGeneration replica) {
    GatewayEffects made;
    core.on_link_lost(replica, now, made);
    carry_out(std::move(made));
  }
  // What that run said could not be sent.
  void unsent(std::size_t run) {
    const RunOn order = runs().at(run);
    GatewayEffects made;
    core.on_unsent(order.to.generation, order.submission.key(), now, made);
    carry_out(std::move(made));
  }
  void open_link(routing::ReplicaGeneration replica) {
    GatewayEffects made;
    core.on_link_open(replica, now, made);
    carry_out(std::move(made));
  }
  void gone(std::uint64_t request) {
    GatewayEffects made;
    core.on_gone(RequestId(request), now, made);
    carry_out(std::move(made));
  }
  void stop_choice(std::uint64_t request, std::uint32_t choice) {
    GatewayEffects made;
    core.on_choice_stopped(RequestId(request), choice, now, made);
    carry_out(std::move(made));
  }
  void shut_down() {
    GatewayEffects made;
    core.on_shutdown(now, made);
    carry_out(std::move(made));
  }
  void timer_at(Instant at) {
    now = at;
    GatewayEffects made;
    core.on_timer(now, made);
    carry_out(std::move(made));
  }
  // Follows WakeAt up to and including `until`.
  void pass_until(Instant until) {
    for (int i = 0; i < 10'000 && !wakes().empty() && wakes().back().at <= until && wakes().back().at > now; ++i)
      timer_at(wakes().back().at);
    timer_at(until);
  }

  // Everything of one kind that was ever said.
  template <class Effect>
  [[nodiscard]] std::vector<Effect> all() const {
    std::vector<Effect> found;
    for (const GatewayEffect& effect : effects) {
      if (const auto* one = std::get_if<Effect>(&effect)) found.push_back(*one);
    }
    return found;
  }
  [[nodiscard]] std::vector<RunOn> runs() const { return all<RunOn>(); }
  [[nodiscard]] std::vector<StopOn> stops() const { return all<StopOn>(); }
  [[nodiscard]] std::vector<Deliver> delivered() const { return all<Deliver>(); }
  [[nodiscard]] std::vector<EndRequest> ends() const { return all<EndRequest>(); }
  [[nodiscard]] std::vector<WakeAt> wakes() const { return all<WakeAt>(); }
  [[nodiscard]] std::vector<RequestId> starts() const {
    std::vector<RequestId> found;
    for (const auto& start : all<StartRequest>()) found.push_back(start.request);
    return found;
  }

  GatewayCore core;
  Instant now = seconds(1);
  GatewayEffects effects;
  bool hand_over = true;  // answer StartRequest
  std::vector<GatewayRequest> asked;
  std::uint64_t view_number = 0;

 private:
  void carry_out(GatewayEffects made) {
    for (GatewayEffect& effect : made) {
      const auto* start = std::get_if<StartRequest>(&effect);
      const bool starts = start != nullptr && hand_over;
      const RequestId turn(starts ? start->request.value : 0);
      effects.push_back(std::move(effect));
      if (!starts) continue;
      const auto of = std::ranges::find(asked, turn, &GatewayRequest::id);
      std::vector<step::Submission> choices;
      for (std::uint32_t i = 0; i < of->sequences; ++i) choices.push_back(submission(i));
      GatewayEffects more;
      core.on_started(turn, std::move(choices), now, more);
      carry_out(std::move(more));
    }
    core.check_integrity();
  }
};

}  // namespace herd::gateway
