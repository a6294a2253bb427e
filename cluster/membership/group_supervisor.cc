#include "cluster/membership/group_supervisor.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "kernels/check.h"

namespace herd::membership {
namespace {

// Twice is no coincidence: what the rank computes with is damaged.
constexpr std::uint32_t kMismatchesMax = 2;

// While a rank starts or ends: a pause of this process is found to within so much.
constexpr double kLookForPauses_s = 1.0;

std::string seconds(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g s", value);
  return text.data();
}

std::string rank_name(std::uint32_t rank) { return "rank " + std::to_string(rank); }

}  // namespace

GroupSupervisor::GroupSupervisor(const GroupSupervisorConfig& config)
    : config_(config),
      ranks_(config.ranks),
      restarts_(config.budget),
      leaving_watch_(config.watch, config.ranks, replica::ProgressWatch::Judge::kEachAlone) {
  HERD_CHECK(config.ranks >= 1, "a replica has a rank");
}

void GroupSupervisor::on_start(Instant now, SupervisorEffects& effects) {
  if (over()) return;
  if (config_.keeps_trying) {
    phase_ = Phase::kGathering;
    return gather(now, effects);
  }
  for (std::uint32_t rank = 0; rank < config_.ranks; ++rank) {
    ranks_[rank].state = RankState::kStarting;
    effects.emplace_back(StartRank{rank, false});
  }
}

// Ranks ---------------------------------------------------------------------------------------------------------------

void GroupSupervisor::on_rank_ready(std::uint32_t rank, const Status& status, Instant now, SupervisorEffects& effects) {
  if (over() || rank >= config_.ranks || ranks_[rank].state != RankState::kStarting) return;
  if (!status.ok()) return on_rank_lost(rank, status, now, effects);
  ranks_[rank].state = RankState::kFree;
  ranks_[rank].read_weights_again = false;
  if (phase_ == Phase::kStarting && count(RankState::kFree) == config_.ranks) return form(effects);
  gather(now, effects);
}

void GroupSupervisor::on_rank_lost(std::uint32_t rank, const Status& why, Instant now, SupervisorEffects& effects) {
  if (over() || rank >= config_.ranks || ranks_[rank].state == RankState::kGone) return;
  const RankState was = ranks_[rank].state;
  ranks_[rank].state = RankState::kGone;
  ranks_[rank].leaving = false;
  note(NoteKind::kRankLost, rank, name() + ": " + rank_name(rank) + " is lost: " + why.message(), effects);
  if (phase_ == Phase::kStarting) return give_up({why.code(), name() + ": " + why.message()}, effects);
  if (was == RankState::kInGroup) return;  // the generation's loss says how it goes on
  const bool with_its_group = was == RankState::kLeaving || was == RankState::kEnding;
  if (!with_its_group && !spend({why.code(), rank_name(rank) + ": " + why.message()}, now, effects)) return;
  gather(now, effects);
}

void GroupSupervisor::on_rank_left(std::uint32_t rank, Epoch epoch, Instant now, SupervisorEffects& effects) {
  if (over() || rank >= config_.ranks || ranks_[rank].state != RankState::kLeaving || epoch != generation_->epoch) return;
  if (ranks_[rank].read_weights_again || ranks_[rank].leaving) return end_rank(rank, ranks_[rank].leaving, now, effects);
  ranks_[rank].state = RankState::kFree;
  gather(now, effects);
}

void GroupSupervisor::on_rank_leaving(std::uint32_t rank, Instant now, SupervisorEffects& effects) {
  if (over() || rank >= config_.ranks || ranks_[rank].leaving || ranks_[rank].state == RankState::kGone) return;
  ranks_[rank].leaving = true;
  note(NoteKind::kRankLeaves, rank, name() + ": " + rank_name(rank) + " was told to end; it is started again", effects);
  const RankState state = ranks_[rank].state;
  if (state == RankState::kStarting || state == RankState::kFree) return end_rank(rank, true, now, effects);
  if (state == RankState::kInGroup && is_formed_) effects.emplace_back(DrainGeneration{});
}

void GroupSupervisor::end_rank(std::uint32_t rank, bool in_order, Instant now, SupervisorEffects& effects) {
  ranks_[rank].state = RankState::kEnding;
  ranks_[rank].due = seconds_after(now, config_.end_s_max);
  effects.emplace_back(EndRank{rank, in_order});
  say_wake(now, effects);
}

// Generations ---------------------------------------------------------------------------------------------------------

void GroupSupervisor::on_formed(routing::ReplicaGeneration generation, Instant /*now*/, SupervisorEffects& effects) {
  if (phase_ != Phase::kForming || is_formed_) return;
  generation_ = generation;
  is_formed_ = true;
  if (std::ranges::any_of(ranks_, &Rank::leaving)) effects.emplace_back(DrainGeneration{});
}

void GroupSupervisor::on_serving(routing::ReplicaGeneration generation, Instant now, SupervisorEffects& effects) {
  if (phase_ != Phase::kForming || !is_formed_ || generation_ != generation) return;
  phase_ = Phase::kServing;
  has_served_ = true;
  if (!lost_at_) return;
  const double pause_s = seconds_between(*lost_at_, now);
  lost_at_.reset();
  note(NoteKind::kServing, std::nullopt, name() + " serves again after a pause of " + seconds(pause_s), effects).pause_s = pause_s;
}

bool GroupSupervisor::is_stale(routing::ReplicaGeneration lost) const {
  if (phase_ != Phase::kForming && phase_ != Phase::kServing) return true;
  if (lost.replica != config_.replica) return true;
  if (!generation_) return false;
  // While the next one has no number yet, the last one's loss is told again.
  return phase_ == Phase::kForming && !is_formed_ ? lost.epoch <= generation_->epoch : lost.epoch != generation_->epoch;
}

void GroupSupervisor::on_generation_lost(const routing::ReplicaLoss& loss, const replica::LastSteps& last, Instant now,
                                         SupervisorEffects& effects) {
  if (is_stale(loss.replica)) return;
  last_ = last;
  generation_ = loss.replica;
  phase_ = Phase::kGathering;
  if (!has_served_ && !config_.keeps_trying && loss.cause != routing::LossCause::kStopped) return give_up(loss.why, effects);
  if (has_served_ && !lost_at_) lost_at_ = now;
  if (last.no_progress) note_suspects(loss, effects);
  note(NoteKind::kGenerationLost, std::nullopt, name() + " stops serving: " + loss.why.message(), effects).overdue =
      loss.cause == routing::LossCause::kOverdue;
  if (loss.cause == routing::LossCause::kTokensDiffer) count_mismatches(loss.blamed, effects);
  if (loss.cause != routing::LossCause::kStopped && !spend(loss.why, now, effects)) return;
  for (std::uint32_t rank = 0; rank < config_.ranks; ++rank) {
    if (ranks_[rank].state != RankState::kInGroup) continue;
    if (ranks_[rank].suspected && config_.ranks_can_be_ended) {
      note(NoteKind::kRankHangs, rank, name() + ": " + rank_name(rank) + " hangs and is ended: " + loss.why.message(), effects);
      end_rank(rank, false, now, effects);
      continue;
    }
    ranks_[rank].state = RankState::kLeaving;
    effects.emplace_back(LeaveGroup{rank});
  }
  leaving_watch_.restart(now);
  gather(now, effects);
}

void GroupSupervisor::note_suspects(const routing::ReplicaLoss& loss, SupervisorEffects& effects) {
  for (const std::uint32_t rank : loss.blamed) {
    if (rank >= config_.ranks) continue;
    ranks_[rank].suspected = true;
    note(NoteKind::kRankSuspected, rank, loss.why.message(), effects);
  }
  if (loss.blamed.empty()) note(NoteKind::kRankSuspected, std::nullopt, loss.why.message(), effects);
}

void GroupSupervisor::count_mismatches(const std::vector<std::uint32_t>& blamed, SupervisorEffects& effects) {
  for (const std::uint32_t rank : blamed) {
    if (rank >= config_.ranks) continue;
    const bool again = ++ranks_[rank].mismatches >= kMismatchesMax;
    if (again) {
      ranks_[rank].mismatches = 0;
      ranks_[rank].read_weights_again = true;
    }
    note(NoteKind::kTokensDiffer, rank,
         name() + ": " + rank_name(rank) + " sampled other tokens than " + (blamed.size() == config_.ranks ? "another rank" : "most") +
             (again ? ", again: it is ended and reads its weights anew" : "; the next time it reads its weights anew"),
         effects);
  }
}

// Time ----------------------------------------------------------------------------------------------------------------

void GroupSupervisor::on_timer(Instant now, std::span<const Progress> progress, SupervisorEffects& effects) {
  // It is asked so late only where this whole process did not run: the ranks could do nothing meanwhile either.
  const double late_s = wakes_at_ ? seconds_between(*wakes_at_, now) : 0.0;
  if (late_s > config_.watch.gap_s) {
    for (Rank& rank : ranks_) rank.due = seconds_after(rank.due, late_s);
  }
  wakes_at_.reset();
  if (phase_ != Phase::kGathering || give_up_on_late(now, effects)) return;
  if (count(RankState::kLeaving) > 0) {
    std::vector<bool> leaving(config_.ranks);
    for (std::uint32_t rank = 0; rank < config_.ranks; ++rank) leaving[rank] = ranks_[rank].state == RankState::kLeaving;
    // Their group is aborted: one that waits in a collective, or for a plan, has nothing to finish.
    std::vector<double> predicted_s(config_.ranks, last_.operation_s);
    for (std::uint32_t rank = 0; rank < config_.ranks && rank < progress.size(); ++rank) {
      const Operation operation = progress[rank].operation;
      if (operation == Operation::kIdle || operation == Operation::kCollective) predicted_s[rank] = 0.0;
      if (operation == Operation::kDevice || operation == Operation::kPreparing) predicted_s[rank] = last_.steps_s;
    }
    if (const auto hangs = leaving_watch_.look(progress, predicted_s, leaving, now)) on_hang(*hangs, now, effects);
  }
  gather(now, effects);
}

bool GroupSupervisor::give_up_on_late(Instant now, SupervisorEffects& effects) {
  for (std::uint32_t rank = 0; rank < config_.ranks; ++rank) {
    const bool starts = ranks_[rank].state == RankState::kStarting;
    if ((!starts && ranks_[rank].state != RankState::kEnding) || now < ranks_[rank].due) continue;
    give_up({StatusCode::kAborted, name() + ": " + rank_name(rank) + (starts ? " was started again and is not ready after "
                                                                             : " was told to end and is still there after ") +
                                       seconds(starts ? config_.start_s_max : config_.end_s_max)},
            effects);
    return true;
  }
  return false;
}

void GroupSupervisor::on_hang(const replica::Suspicion& suspicion, Instant now, SupervisorEffects& effects) {
  const std::string text = name() + ": " + replica::describe(suspicion) + " and does not leave its group";
  if (!ranks_[suspicion.rank].suspected) note(NoteKind::kRankSuspected, suspicion.rank, text, effects);
  note(NoteKind::kRankHangs, suspicion.rank, text, effects);
  if (!config_.ranks_can_be_ended)
    return give_up({StatusCode::kAborted, text + "; a thread cannot be ended, so the replica cannot come back"}, effects);
  end_rank(suspicion.rank, false, now, effects);
}

void GroupSupervisor::on_stop(SupervisorEffects& /*effects*/) {
  if (phase_ != Phase::kGivenUp) phase_ = Phase::kStopped;
}

// What follows --------------------------------------------------------------------------------------------------------

void GroupSupervisor::gather(Instant now, SupervisorEffects& effects) {
  if (phase_ != Phase::kGathering) return;
  if (waits_until_ && *waits_until_ <= now) waits_until_.reset();
  if (!waits_until_) {
    for (std::uint32_t rank = 0; rank < config_.ranks; ++rank) {
      if (ranks_[rank].state != RankState::kGone) continue;
      ranks_[rank].state = RankState::kStarting;
      ranks_[rank].due = seconds_after(now, config_.start_s_max);
      effects.emplace_back(StartRank{rank, ranks_[rank].read_weights_again});
    }
    if (count(RankState::kFree) == config_.ranks) return form(effects);
  }
  say_wake(now, effects);
}

void GroupSupervisor::form(SupervisorEffects& effects) {
  if (has_served_) note(NoteKind::kForming, std::nullopt, name() + ": its ranks form a group again", effects);
  phase_ = Phase::kForming;
  is_formed_ = false;
  for (Rank& rank : ranks_) {
    rank.state = RankState::kInGroup;
    rank.suspected = false;
  }
  effects.emplace_back(FormGroup{});
}

void GroupSupervisor::say_wake(Instant now, SupervisorEffects& effects) {
  std::optional<Instant> next = waits_until_;
  for (const Rank& rank : ranks_) {
    if (rank.state != RankState::kStarting && rank.state != RankState::kEnding) continue;
    const Instant look = std::min(rank.due, seconds_after(now, kLookForPauses_s));
    next = next ? std::min(*next, look) : look;
  }
  if (count(RankState::kLeaving) > 0) {
    const Instant look = seconds_after(now, config_.watch.look_every_s);
    next = next ? std::min(*next, look) : look;
  }
  if (!next || (wakes_at_ && *wakes_at_ <= *next)) return;
  wakes_at_ = next;
  effects.emplace_back(WakeSupervisorAt{*next});
}

void GroupSupervisor::set_budget(const RestartBudget& budget) {
  config_.budget = budget;
  restarts_.set_budget(budget);
}

bool GroupSupervisor::spend(const Status& why, Instant now, SupervisorEffects& effects) {
  const auto wait_s = restarts_.on_ended(now);
  note(NoteKind::kRestartSpent, std::nullopt,
       name() + ": " + std::to_string(restarts_.left(now)) + " of " + std::to_string(config_.budget.restarts) +
           " restarts are left within " + seconds(config_.budget.window_s),
       effects)
      .restarts = restarts_;
  if (wait_s && !has_served_ && ++ends_unserved_ > config_.budget.restarts) {
    give_up({why.code(), name() + " is given up: it ended " + std::to_string(ends_unserved_) + " times before it ever served (" +
                             std::to_string(config_.budget.restarts) + " restarts are allowed). The last time: " + why.message()},
            effects);
    return false;
  }
  if (!wait_s) {
    give_up({why.code(), name() + " is given up: it was lost " + std::to_string(restarts_.ends()) + " times within " +
                             seconds(config_.budget.window_s) + " (" + std::to_string(config_.budget.restarts) +
                             " restarts are allowed). The last time: " + why.message()},
            effects);
    return false;
  }
  if (*wait_s > 0.0) waits_until_ = seconds_after(now, *wait_s);
  return true;
}

void GroupSupervisor::give_up(const Status& why, SupervisorEffects& effects) {
  phase_ = Phase::kGivenUp;
  note(NoteKind::kGivenUp, std::nullopt, why.message(), effects);
  effects.emplace_back(GiveUp{why});
}

Note& GroupSupervisor::note(NoteKind kind, std::optional<std::uint32_t> rank, const std::string& text, SupervisorEffects& effects) const {
  Note note{.kind = kind, .rank = rank, .text = text};
  if (generation_) note.epoch = generation_->epoch;
  return std::get<Note>(effects.emplace_back(std::move(note)));
}

std::size_t GroupSupervisor::count(RankState state) const {
  return static_cast<std::size_t>(std::ranges::count(ranks_, state, &Rank::state));
}

std::string GroupSupervisor::name() const { return "replica " + std::to_string(config_.replica.value); }

}  // namespace herd::membership
