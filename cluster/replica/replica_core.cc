#include "cluster/replica/replica_core.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace herd::replica {
namespace {

using routing::LossCause;

// To the names that the gateway knows, everywhere in the delta.
void put_back(const step::AttemptKey& key, step::TokenDelta& delta) {
  delta.gateway = key.gateway;
  delta.sequence = key.sequence;
  delta.attempt = key.attempt;
  if (delta.has_token) delta.token.sequence = key.sequence;
  for (step::OutputRows& rows : delta.outputs) rows.sequence = key.sequence;
  for (step::PromptLogprobs& run : delta.prompt_logprobs) run.sequence = key.sequence;
}

SendDeltas refusal(const step::AttemptKey& key, Status why) {
  step::TokenDelta delta;
  put_back(key, delta);
  delta.finish = step::FinishReason::kRefused;
  delta.error = std::move(why);
  return {key.gateway, {std::move(delta)}};
}

}  // namespace

ReplicaCore::ReplicaCore(const ReplicaCoreConfig& config, const scheduler::SchedulerProbe& probe)
    : config_(config),
      scheduler_(config.scheduler, config.generation.epoch, probe),
      collector_(config.generation.epoch, config.ranks),
      ranks_made_(config.ranks) {
  HERD_CHECK(config.ranks >= 1, "a replica has a rank");
}

void ReplicaCore::on_rank_made(std::uint32_t rank, const Status& status, ReplicaEffects& effects) {
  if (phase_ != Phase::kMaking || rank >= config_.ranks) return;
  if (!status.ok()) return fail_group(LossCause::kDiedOfItself, status, effects);
  ranks_made_[rank] = true;
  if (std::ranges::count(ranks_made_, false) > 0) return;
  phase_ = Phase::kServing;
  effects.emplace_back(SayServing{});
}

void ReplicaCore::on_result(step::StepResult result, Instant now, ReplicaEffects& effects) {
  if (phase_ == Phase::kEnded) return;
  auto steps = collector_.on_result(std::move(result), now);
  if (!steps) return fail_group(steps.error().cause, steps.error().why, effects);
  for (const StepCollector::Done& step : *steps) {
    HERD_CHECK(steps_out_.front().step == step.result.step, "steps end in the order in which they were sent");
    steps_out_.pop_front();
    effects.emplace_back(StepFinished{step.result.stats, step.step_s});
    publish(scheduler_.on_step_done(step.result, now), effects);
  }
  pump(now, effects);
}

void ReplicaCore::on_rank_lost(std::uint32_t rank, LossCause cause, const Status& why, ReplicaEffects& effects) {
  if (rank < config_.ranks) fail_group(cause, why, effects);
}

void ReplicaCore::on_submission(step::Submission submission, Instant now, ReplicaEffects& effects) {
  const step::AttemptKey key = submission.key();
  const auto open = attempts_.open_attempt(key.gateway, key.sequence);
  // A refusal would carry the name of the attempt that runs, and its gateway would take it for that one's end.
  if (open && key.attempt <= open->attempt) {
    ++stale_submissions_;
    return;
  }
  if (phase_ != Phase::kServing) {
    effects.emplace_back(refusal(key, {StatusCode::kAborted, phase_ == Phase::kMaking ? "the replica does not serve yet"
                                                                                      : "the replica is stopping"}));
    return;
  }
  // The gateway has given the older attempt up; it learns nothing new from its end.
  if (open) end_attempt(*attempts_.find(*open), effects);
  submission.sequence = attempts_.add(key);
  if (Status status = scheduler_.on_submit(submission, now); !status.ok()) {
    attempts_.remove(submission.sequence);
    effects.emplace_back(refusal(key, std::move(status)));
  }
  pump(now, effects);
}

void ReplicaCore::on_abort(const step::AttemptKey& attempt, Instant now, ReplicaEffects& effects) {
  const auto own = attempts_.find(attempt);
  if (!own) return;
  end_attempt(*own, effects);
  pump(now, effects);
}

void ReplicaCore::on_gateway_gone(GatewayId gateway, Instant now, ReplicaEffects& effects) {
  for (const SequenceId own : attempts_.of_gateway(gateway)) {
    (void)scheduler_.on_abort(own);
    attempts_.remove(own);
  }
  pump(now, effects);
}

void ReplicaCore::on_timer(Instant now, ReplicaEffects& effects) {
  if (phase_ == Phase::kEnded) return;
  deadline_armed_ = false;
  if (const Status status = collector_.check_deadline(now, config_.step_seconds_max); !status.ok())
    return fail_group(LossCause::kOverdue, status, effects);
  arm_deadline(effects);
}

void ReplicaCore::on_stop(Instant now, ReplicaEffects& effects) {
  if (phase_ == Phase::kEnded) return;
  if (phase_ == Phase::kMaking) {
    effects.emplace_back(SayStartFailed{{StatusCode::kAborted, "the replica was stopped"}});
    return end(effects);
  }
  phase_ = Phase::kStopping;
  pump(now, effects);
}

void ReplicaCore::pump(Instant now, ReplicaEffects& effects) {
  if (phase_ == Phase::kStopping && collector_.idle()) {
    scheduler_.check_integrity();  // with nothing open, no block may be held
    effects.emplace_back(SayLost{{config_.generation, LossCause::kStopped,
                                  named({StatusCode::kAborted, "stopped"}), std::vector<routing::AttemptInStep>{}}});
    return end(effects);
  }
  if (phase_ != Phase::kServing) return;
  while (auto plan = scheduler_.plan_step(now)) send_plan(std::move(*plan), now, effects);
  arm_deadline(effects);
}

void ReplicaCore::send_plan(step::StepPlan plan, Instant now, ReplicaEffects& effects) {
  collector_.on_plan_sent(plan.step, now);
  StepOut& out = steps_out_.emplace_back(StepOut{plan.step, {}});
  out.attempts.reserve(plan.slices.size());
  for (const SequenceId own : plan.released) emitted_at_start_.erase(own);
  for (const step::SequenceStart& start : plan.started)
    emitted_at_start_[start.sequence] = static_cast<std::uint32_t>(start.tokens.size()) - start.prompt_tokens;
  for (const step::SequenceSlice& slice : plan.slices) {
    const std::uint32_t emitted = slice.sample ? slice.output_index + 1 : emitted_at_start_.at(slice.sequence);
    out.attempts.push_back({attempts_.key_of(slice.sequence), emitted});
  }
  effects.emplace_back(ExecuteOnRanks{std::move(plan)});
}

void ReplicaCore::arm_deadline(ReplicaEffects& effects) {
  const auto overdue_at = collector_.overdue_at(config_.step_seconds_max);
  if (deadline_armed_ || !overdue_at) return;
  deadline_armed_ = true;
  effects.emplace_back(WakeReplicaAt{*overdue_at});
}

void ReplicaCore::end_attempt(SequenceId own, ReplicaEffects& effects) {
  auto terminal = scheduler_.on_abort(own);
  HERD_CHECK(terminal.has_value(), "an open attempt has an open sequence");
  publish({std::move(*terminal)}, effects);
}

void ReplicaCore::publish(std::vector<step::TokenDelta> deltas, ReplicaEffects& effects) {
  const std::size_t first = effects.size();
  for (step::TokenDelta& delta : deltas) {
    const SequenceId own = delta.sequence;
    put_back(attempts_.key_of(own), delta);
    if (delta.finish != step::FinishReason::kNone) attempts_.remove(own);
    const auto to_gateway = std::find_if(effects.begin() + static_cast<std::ptrdiff_t>(first), effects.end(),
                                         [&](const ReplicaEffect& effect) {
                                           return std::get<SendDeltas>(effect).gateway == delta.gateway;
                                         });
    if (to_gateway == effects.end()) {
      effects.emplace_back(SendDeltas{delta.gateway, {}});
      std::get<SendDeltas>(effects.back()).deltas.push_back(std::move(delta));
    } else {
      std::get<SendDeltas>(*to_gateway).deltas.push_back(std::move(delta));
    }
  }
}

// The gateways' ledgers own what becomes of the sequences: the scheduler only forgets them.
void ReplicaCore::fail_group(LossCause cause, const Status& why, ReplicaEffects& effects) {
  if (phase_ == Phase::kEnded) return;
  effects.emplace_back(AbortGroup{why});  // first of all: other ranks may wait in a collective for one that is gone
  if (phase_ == Phase::kMaking) {         // nobody has heard of it but whoever waits for it to serve
    effects.emplace_back(SayStartFailed{named(why)});
  } else {
    effects.emplace_back(SayLost{{config_.generation, cause, named(why), attempts_in_step()}});
  }
  end(effects);
}

void ReplicaCore::end(ReplicaEffects& effects) {
  phase_ = Phase::kEnded;
  (void)scheduler_.on_replica_lost();
  attempts_.clear();
  emitted_at_start_.clear();
  steps_out_.clear();
  effects.emplace_back(EndRanks{});
}

// Each once, with the later of its steps.
std::vector<routing::AttemptInStep> ReplicaCore::attempts_in_step() const {
  std::vector<routing::AttemptInStep> attempts;
  for (const StepOut& step : steps_out_) attempts.insert(attempts.end(), step.attempts.begin(), step.attempts.end());
  std::ranges::sort(attempts, std::ranges::greater());
  const auto repeats = std::ranges::unique(attempts, {}, &routing::AttemptInStep::attempt);
  attempts.erase(repeats.begin(), repeats.end());
  std::ranges::reverse(attempts);
  return attempts;
}

Status ReplicaCore::named(const Status& why) const {
  return {why.code(), "replica " + std::to_string(config_.generation.replica.value) + ": " + why.message()};
}

bool ReplicaCore::serving() const { return phase_ == Phase::kServing; }

bool ReplicaCore::ended() const { return phase_ == Phase::kEnded; }

ReplicaStats ReplicaCore::stats() const {
  return {serving(), collector_.steps_done(), collector_.stale_results(), stale_submissions_, scheduler_.stats()};
}

void ReplicaCore::check_integrity() const {
  scheduler_.check_integrity();
  HERD_CHECK(attempts_.size() == scheduler_.num_open(), "attempts and the scheduler's sequences differ");
  HERD_CHECK(ended() || steps_out_.size() == scheduler_.stats().plans_outstanding, "steps that are out are miscounted");
  HERD_CHECK(ended() || collector_.idle() || deadline_armed_, "a step is out without a deadline");
}

}  // namespace herd::replica
