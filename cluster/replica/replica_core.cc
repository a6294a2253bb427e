#include "cluster/replica/replica_core.h"

#include <algorithm>
#include <utility>

#include "kernels/check.h"

namespace herd::replica {
namespace {

using routing::LossCause;
using routing::ReplicaLoss;

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

// In the order they were made, those of one gateway together.
std::vector<SendDeltas> by_gateway(std::vector<step::TokenDelta> deltas) {
  std::vector<SendDeltas> sends;
  for (step::TokenDelta& delta : deltas) {
    auto to_gateway = std::ranges::find(sends, delta.gateway, &SendDeltas::gateway);
    if (to_gateway == sends.end()) to_gateway = sends.insert(to_gateway, {delta.gateway, {}});
    to_gateway->deltas.push_back(std::move(delta));
  }
  return sends;
}

// Seconds of a step of those that run (of one, where none does), each with the context that the KV blocks held by all say.
double decode_step_seconds(const scheduler::StepCost& cost, const scheduler::SchedulerStats& stats, std::uint32_t block_size) {
  scheduler::StepShape step;
  step.rows = step.logit_rows = std::max(1U, stats.num_running);
  step.context_tokens = step.attended = std::uint64_t{stats.blocks.num_held} * block_size;
  return cost.step_seconds(step);
}

// Seconds of a token of a prompt that fills a step of so many rows.
double prompt_token_seconds(const scheduler::StepCost& cost, std::uint32_t rows) {
  scheduler::StepShape step;
  step.rows = rows;
  step.context_tokens = rows;
  step.attended = std::uint64_t{rows} * (rows + 1) / 2;
  return cost.step_seconds(step) / rows;
}

}  // namespace

ReplicaCore::ReplicaCore(const ReplicaCoreConfig& config, const scheduler::SchedulerProbe& probe)
    : config_(config),
      scheduler_(config.scheduler, config.generation.epoch, probe),
      collector_(config.generation.epoch, config.ranks),
      watch_(config.watch, config.ranks),
      moves_(config.moves, config.scheduler, config.generation.epoch),
      ranks_joined_(config.ranks) {
  HERD_CHECK(config.ranks >= 1, "a replica has a rank");
}

// From ranks ----------------------------------------------------------------------------------------------------------

void ReplicaCore::on_start(Instant now, ReplicaEffects& effects) {
  if (phase_ != Phase::kMaking) return;
  phase_ends_at_ = seconds_after(now, config_.step_seconds_max);
  arm_timer(now, effects);
}

void ReplicaCore::on_rank_joined(std::uint32_t rank, const Status& status, ReplicaEffects& effects) {
  if (phase_ != Phase::kMaking || rank >= config_.ranks) return;
  if (!status.ok()) {
    if (status.code() == StatusCode::kAborted) return fail_group({LossCause::kOverdue, status, {}}, effects);
    return fail_group({LossCause::kDiedOfItself, status, {rank}}, effects);
  }
  ranks_joined_[rank] = true;
  if (std::ranges::count(ranks_joined_, false) > 0) return;
  phase_ = Phase::kServing;
  phase_ends_at_.reset();
  effects.emplace_back(SayServing{});
}

void ReplicaCore::on_result(step::StepResult result, Instant now, ReplicaEffects& effects) {
  if (phase_ == Phase::kEnded) return;
  auto steps = collector_.on_result(std::move(result), now);
  if (!steps) return on_failure(std::move(steps.error()), now, effects);
  for (const StepCollector::Done& step : *steps) {
    const StepsOut::Step done = steps_out_.pop(step.result.step);
    if (config_.cost && !done.copies) config_.cost->on_step(done.shape, step.step_s);
    effects.emplace_back(StepFinished{step.result.stats, step.step_s});
    publish(scheduler_.on_step_done(step.result, now), effects);
  }
  pump(now, effects);
}

// A rank that gave its step up tells that another did not come: who that is, the others say.
void ReplicaCore::on_failure(Failure failure, Instant now, ReplicaEffects& effects) {
  if (failure.cause != LossCause::kOverdue) return fail_group(failure, effects);
  if (phase_ != Phase::kAborted) {
    abort_group(failure.why, effects);
    phase_ = Phase::kAborted;
    given_up_because_ = std::move(failure.why);
    // Who computes may be in an honest operation, and says then what became of it.
    phase_ends_at_ = seconds_after(now, std::max(config_.watch.least_s, config_.watch.factor * last_steps().operation_s));
  }
  pump(now, effects);
}

void ReplicaCore::on_rank_lost(std::uint32_t rank, LossCause cause, const Status& why, ReplicaEffects& effects, SequenceId at_work) {
  if (rank >= config_.ranks || phase_ == Phase::kEnded) return;
  abort_group(why, effects);
  end({cause, why, {rank}}, effects, cause == LossCause::kDiedOfItself ? at_work : SequenceId());
}

// From gateways -------------------------------------------------------------------------------------------------------

void ReplicaCore::on_submission(step::Submission submission, Instant now, ReplicaEffects& effects) {
  const step::AttemptKey key = submission.key();
  const auto open = attempts_.open_attempt(key.gateway, key.sequence);
  // A refusal would carry the name of the attempt that runs, and its gateway would take it for that one's end.
  if (open && key.attempt <= open->attempt) {
    ++stale_submissions_;
    return;
  }
  // The gateway has given the older attempt up; it learns nothing new from its end.
  if (open) end_attempt(*attempts_.find(*open), effects);
  if (phase_ != Phase::kServing) {
    effects.emplace_back(refusal(key, why_refused()));
    return pump(now, effects);
  }
  submission.sequence = attempts_.add(key);
  // One that waits for blocks is one of the queue: whoever may not be in that does not wait for them either.
  Status status = scheduler_.may_submit(submission, moves_.num_waiting(), moves_.waiting_tokens());
  if (status.ok() && !moves_.on_submission(submission, prompt_token_s(), scheduler_, now)) status = scheduler_.on_submit(submission, now);
  if (!status.ok()) refuse(submission.sequence, std::move(status), effects);
  pump(now, effects);
}

void ReplicaCore::refuse(SequenceId own, Status why, ReplicaEffects& effects) {
  effects.emplace_back(refusal(attempts_.key_of(own), std::move(why)));
  attempts_.remove(own);
}

// Gateways take either for no fault of the request, and ask another replica.
Status ReplicaCore::why_refused() const {
  if (phase_ == Phase::kDraining) return {StatusCode::kOverloaded, "the replica drains and takes nothing new"};
  return {StatusCode::kAborted, phase_ == Phase::kMaking ? "the replica does not serve yet" : "the replica is stopping"};
}

void ReplicaCore::on_abort(const step::AttemptKey& attempt, Instant now, ReplicaEffects& effects) {
  const auto own = attempts_.find(attempt);
  if (!own) return;
  moves_.on_left(now);  // gateways may have heard of the drain before this replica does
  end_attempt(*own, effects);
  pump(now, effects);
}

void ReplicaCore::on_gateway_gone(GatewayId gateway, Instant now, ReplicaEffects& effects) {
  for (const SequenceId own : attempts_.of_gateway(gateway)) {
    if (!moves_.abort(own, scheduler_)) (void)scheduler_.on_abort(own);
    attempts_.remove(own);
  }
  pump(now, effects);
}

// Moves of KV blocks ----------------------------------------------------------------------------------------------------

void ReplicaCore::on_move(const MoveEvent& event, Instant now, ReplicaEffects& effects) {
  const bool gives = phase_ == Phase::kServing || phase_ == Phase::kDraining;
  if (SharedBlockBytes bytes = moves_.on_event(event, gives ? Status() : why_refused(), scheduler_, now))
    effects.emplace_back(GiveBlock{std::move(bytes)});
  if (at_work()) return pump(now, effects);
  settle_moves(now, effects);
}

void ReplicaCore::on_block_read(Epoch epoch, step::BlockBytes bytes, Instant now, ReplicaEffects& effects) {
  if (!at_work()) return;
  moves_.on_block_read(epoch, std::move(bytes));
  settle_moves(now, effects);
}

void ReplicaCore::settle_moves(Instant now, ReplicaEffects& effects) {
  for (const step::Submission& ready : moves_.settle(scheduler_, now))
    if (Status status = scheduler_.on_submit(ready, now); !status.ok()) refuse(ready.sequence, std::move(status), effects);
  for (SendToHolder& message : moves_.take_to_holders()) effects.emplace_back(std::move(message));
  for (SendToTaker& message : moves_.take_to_takers()) effects.emplace_back(std::move(message));
}

// Time ----------------------------------------------------------------------------------------------------------------

void ReplicaCore::on_timer(Instant now, std::span<const Progress> ranks, ReplicaEffects& effects) {
  if (phase_ == Phase::kEnded) return;
  // Time in which nothing ran (the machine was paused) did not pass for the ranks either.
  const double late_s = wakes_at_ ? std::max(0.0, seconds_between(*wakes_at_, now)) : 0.0;
  wakes_at_.reset();
  if (phase_ends_at_) phase_ends_at_ = seconds_after(*phase_ends_at_, late_s);
  if (late_s > config_.watch.gap_s) collector_.restart_deadlines(now);
  const bool phase_ends = phase_ends_at_ && *phase_ends_at_ <= now;
  if (phase_ends && phase_ == Phase::kAborted) return fail_as_given_up(effects);
  if (phase_ends && phase_ == Phase::kDraining) return on_stop(now, effects);
  if (phase_ends)
    return fail_group({LossCause::kOverdue, {StatusCode::kAborted, "its ranks did not form a group in time"}, not_joined()},
                      effects);
  if (at_work()) {
    if (const auto failure = look(now, ranks)) return fail_group(*failure, effects);
    moves_.on_timer(now, scheduler_);
    pump(now, effects);
  }
  if (phase_ != Phase::kEnded) arm_timer(now, effects);
}

std::optional<StepCollector::Failure> ReplicaCore::look(Instant now, std::span<const Progress> ranks) {
  if (collector_.idle()) return std::nullopt;
  if (!ranks.empty()) {
    std::vector<bool> owes(config_.ranks);
    std::vector<double> predicted_s(config_.ranks);
    for (std::uint32_t rank = 0; rank < config_.ranks; ++rank) {
      owes[rank] = collector_.owes(rank);
      if (!config_.cost) continue;
      // Which of the steps it is in does not matter: the longer one.
      for (const StepsOut::Step& step : steps_out_.steps())
        predicted_s[rank] = std::max(predicted_s[rank], config_.cost->operation_seconds(ranks[rank].operation, step.shape));
    }
    if (const auto hangs = watch_.look(ranks, predicted_s, owes, now)) {
      Failure failure{LossCause::kOverdue, {StatusCode::kAborted, describe(*hangs)}, {}, true};
      if (hangs->sure) failure.blamed = {hangs->rank};
      return failure;
    }
  }
  return collector_.overdue(now, config_.step_seconds_max);
}

void ReplicaCore::arm_timer(Instant now, ReplicaEffects& effects) {
  if (wakes_at_ || (collector_.idle() && !phase_ends_at_ && !moves_.wants_timer())) return;
  wakes_at_ = seconds_after(now, config_.watch.look_every_s);
  effects.emplace_back(WakeReplicaAt{*wakes_at_});
}

void ReplicaCore::on_drain(double drain_s, Instant now, ReplicaEffects& effects) {
  if ((phase_ != Phase::kServing && phase_ != Phase::kDraining) || drain_s <= 0) return on_stop(now, effects);
  phase_ = Phase::kDraining;
  phase_ends_at_ = seconds_after(now, drain_s);
  pump(now, effects);
}

void ReplicaCore::on_stop(Instant now, ReplicaEffects& effects) {
  if (phase_ == Phase::kEnded) return;
  if (phase_ == Phase::kAborted) return fail_as_given_up(effects);
  if (phase_ == Phase::kMaking) return end({LossCause::kStopped, {StatusCode::kAborted, "stopped"}, {}}, effects);
  moves_.stop(scheduler_);
  phase_ = Phase::kStopping;
  phase_ends_at_.reset();
  pump(now, effects);
  if (phase_ == Phase::kStopping) arm_timer(now, effects);
}

// What follows --------------------------------------------------------------------------------------------------------

void ReplicaCore::pump(Instant now, ReplicaEffects& effects) {
  if (phase_ == Phase::kAborted && collector_.owing().empty()) return fail_as_given_up(effects);
  if (at_work()) settle_moves(now, effects);
  if (phase_ == Phase::kDraining && attempts_.size() == 0 && !moves_.lingers(now)) {
    moves_.stop(scheduler_);
    phase_ = Phase::kStopping;
    settle_moves(now, effects);
  }
  if (phase_ == Phase::kStopping && collector_.idle()) {
    scheduler_.check_integrity();  // with nothing open, no block may be held
    return end({LossCause::kStopped, {StatusCode::kAborted, "stopped"}, {}}, effects);
  }
  if (phase_ != Phase::kServing && phase_ != Phase::kDraining) return;
  if (collector_.idle() && !wakes_at_) watch_.restart(now);
  while (auto plan = scheduler_.plan_step(now, config_.cost ? &*config_.cost : nullptr)) {
    collector_.on_plan_sent(plan->step, now);
    steps_out_.push(*plan, attempts_);
    effects.emplace_back(ExecuteOnRanks{std::move(*plan)});
  }
  settle_moves(now, effects);  // of those that a plan ended, as a sequence needed their blocks
  count_saved();
  arm_timer(now, effects);
}

void ReplicaCore::count_saved() {
  const std::uint64_t hits = scheduler_.blocks().counted().hit_tokens;
  if (hits == hit_tokens_counted_) return;
  saved_s_ += static_cast<double>(hits - hit_tokens_counted_) * prompt_token_s();
  hit_tokens_counted_ = hits;
}

double ReplicaCore::prompt_token_s() const {
  return config_.cost ? prompt_token_seconds(*config_.cost, config_.scheduler.max_num_batched_tokens) : 0.0;
}

kv::BlockNews ReplicaCore::take_news() {
  ended_since_news_ = false;
  return scheduler_.take_news();
}

std::optional<kv::BlockNews> ReplicaCore::all_news() const {
  if (!config_.scheduler.prefix_caching) return std::nullopt;
  return scheduler_.blocks().all_news();
}

void ReplicaCore::end_attempt(SequenceId own, ReplicaEffects& effects) {
  if (moves_.abort(own, scheduler_)) {
    step::TokenDelta aborted;
    aborted.sequence = own;
    aborted.finish = step::FinishReason::kAborted;
    return publish({std::move(aborted)}, effects);
  }
  auto terminal = scheduler_.on_abort(own);
  HERD_CHECK(terminal.has_value(), "an open attempt has an open sequence");
  publish({std::move(*terminal)}, effects);
}

void ReplicaCore::publish(std::vector<step::TokenDelta> deltas, ReplicaEffects& effects) {
  for (step::TokenDelta& delta : deltas) {
    const SequenceId own = delta.sequence;
    put_back(attempts_.key_of(own), delta);
    if (delta.finish == step::FinishReason::kNone) continue;
    attempts_.remove(own);
    ended_since_news_ = true;
  }
  for (SendDeltas& send : by_gateway(std::move(deltas))) effects.emplace_back(std::move(send));
}

// Its end -------------------------------------------------------------------------------------------------------------

void ReplicaCore::abort_group(const Status& why, ReplicaEffects& effects) {
  if (phase_ != Phase::kAborted) effects.emplace_back(AbortGroup{why});
}

void ReplicaCore::fail_group(const Failure& failure, ReplicaEffects& effects) {
  if (phase_ == Phase::kEnded) return;
  abort_group(failure.why, effects);  // first of all: other ranks may wait in a collective for one that is gone
  end(failure, effects);
}

void ReplicaCore::fail_as_given_up(ReplicaEffects& effects) {
  std::string why = given_up_because_.message();
  const std::vector<std::uint32_t> silent = collector_.owing();
  for (const std::uint32_t rank : silent) why += "; rank " + std::to_string(rank) + " says nothing";
  end({LossCause::kOverdue, {given_up_because_.code(), why}, silent}, effects);
}

LastSteps ReplicaCore::last_steps() const {
  LastSteps last;
  for (const StepsOut::Step& step : steps_out_.steps()) {
    if (!config_.cost) continue;
    last.operation_s = std::max(last.operation_s, config_.cost->longest_operation_seconds(step.shape));
    last.steps_s += config_.cost->step_seconds(step.shape);
  }
  return last;
}

// The gateways' ledgers own what becomes of the sequences: the scheduler only forgets them.
void ReplicaCore::end(const Failure& failure, ReplicaEffects& effects, SequenceId at_work) {
  const Status why{failure.why.code(),
                   "replica " + std::to_string(config_.generation.replica.value) + ": " + failure.why.message()};
  LastSteps last = last_steps();
  last.no_progress = failure.no_progress;
  ReplicaLoss loss{config_.generation, failure.cause, why, steps_out_.attempts(), failure.blamed};
  const auto guilty = attempts_.attempt_of(at_work);
  if (guilty && std::ranges::count(*loss.in_step, *guilty, &routing::AttemptInStep::attempt) > 0) loss.at_work = {*guilty};
  effects.emplace_back(SayLost{std::move(loss), last});
  phase_ = Phase::kEnded;
  (void)scheduler_.on_replica_lost();
  moves_.clear();
  attempts_.clear();
  steps_out_.clear();
  effects.emplace_back(EndGeneration{});
}

std::vector<std::uint32_t> ReplicaCore::not_joined() const {
  std::vector<std::uint32_t> ranks;
  for (std::uint32_t rank = 0; rank < config_.ranks; ++rank) {
    if (!ranks_joined_[rank]) ranks.push_back(rank);
  }
  return ranks;
}

bool ReplicaCore::serving() const { return phase_ == Phase::kServing; }

bool ReplicaCore::ended() const { return phase_ == Phase::kEnded; }

ReplicaStats ReplicaCore::stats() const {
  ReplicaStats stats{.serving = serving(),
                     .steps = collector_.steps_done(),
                     .stale_results = collector_.stale_results() + moves_.stale_blocks(),
                     .stale_submissions = stale_submissions_,
                     .scheduler = scheduler_.stats(),
                     .moves = {}};
  if (config_.cost) {
    stats.decode_step_s = decode_step_seconds(*config_.cost, stats.scheduler, config_.scheduler.block_size);
    stats.prompt_token_s = prompt_token_s();
  }
  stats.saved_s = saved_s_;
  moves_.report(stats.moves, stats.scheduler);
  return stats;
}

void ReplicaCore::check_integrity() const {
  scheduler_.check_integrity();
  moves_.check_integrity();
  HERD_CHECK(attempts_.size() == scheduler_.num_open() + moves_.num_waiting(), "attempts and the scheduler's sequences differ");
  HERD_CHECK(ended() || steps_out_.steps().size() == scheduler_.stats().plans_outstanding, "steps that are out are miscounted");
  HERD_CHECK(ended() || collector_.idle() || wakes_at_, "a step is out and nobody looks");
}

}  // namespace herd::replica
