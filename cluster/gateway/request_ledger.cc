#include "cluster/gateway/request_ledger.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/check.h"
#include "runtime/step/output_rows.h"

namespace herd::gateway {

using step::FinishReason;
using step::OutputSelector;
using step::Submission;
using step::TokenDelta;

namespace {

// A replica that says so has no room, or is about to stop: it did not look at what was asked.
bool asks_to_try_elsewhere(const TokenDelta& refusal) {
  return refusal.error.code() == StatusCode::kOverloaded || refusal.error.code() == StatusCode::kAborted;
}

// Did that loss befall a step with this attempt, through the rank's own fault? The tokens that it has emitted past that
// step: at least one more than were `delivered`, and more when the last ones are still on their way.
std::optional<std::uint32_t> blames(const routing::ReplicaLoss& loss, const step::AttemptKey& attempt,
                                    std::uint32_t delivered) {
  if (loss.cause != routing::LossCause::kDiedOfItself) return std::nullopt;
  if (!loss.at_work.empty() && !std::ranges::binary_search(loss.at_work, attempt)) return std::nullopt;
  if (!loss.in_step) return delivered + 1;
  const auto found = std::ranges::find(*loss.in_step, attempt, &routing::AttemptInStep::attempt);
  if (found == loss.in_step->end()) return std::nullopt;
  return std::max(delivered + 1, found->emitted);
}

// Two ranks say that they died of this one and no other.
bool two_died(const routing::ReplicaLoss& loss) { return loss.at_work.size() == 1 && loss.blamed.size() >= 2; }

// A suspect, in a step before which its replica had not let others to it yet. Its gateway may not have all the tokens that
// ended its suspicion there.
bool was_alone(std::uint32_t alone_until, std::uint32_t blamed_until) {
  return alone_until > 0 && blamed_until <= alone_until + 1;
}

// It died once too often. `alone_until`: as the attempt that is blamed had been sent.
bool condemns(const routing::ReplicaLoss& loss, const RequestLedger::Entry& entry, std::uint32_t alone_until, std::uint32_t blamed_until) {
  const bool named_again = entry.was_named && !loss.at_work.empty();
  return named_again || two_died(loss) || was_alone(alone_until, blamed_until);
}

void suspect(RequestLedger::Entry& entry, const routing::ReplicaLoss& loss, std::uint32_t blamed_until) {
  entry.first_death = loss.why;
  entry.was_named = !loss.at_work.empty();
  entry.submission.alone_until = blamed_until;
}

}  // namespace

Expected<SequenceId> RequestLedger::accept(RequestId request, std::uint32_t choice, Submission submission,
                                           const routing::NumericsId& numerics) {
  if (open_.size() >= open_sequences_max_) {
    ++stats_.refused;
    return fail({StatusCode::kOverloaded, std::to_string(open_.size()) + " sequences are open, more are not accepted"});
  }
  ++stats_.accepted;
  const SequenceId sequence{++last_sequence_};
  submission.gateway = gateway_;
  submission.sequence = sequence;
  submission.attempt = 0;
  submission.alone_until = 0;
  open_.emplace(sequence, Entry{.request = request,
                                .choice = choice,
                                .submission = std::move(submission),
                                .numerics = numerics,
                                .on = {},
                                .first_death = {},
                                .lost_because = {},
                                .left = {}});
  return sequence;
}

const RequestLedger::Entry* RequestLedger::find(SequenceId sequence) const {
  const auto entry = open_.find(sequence);
  return entry == open_.end() ? nullptr : &entry->second;
}

Submission RequestLedger::on_routed(SequenceId sequence, const routing::Route& to) {
  Entry& entry = open_.at(sequence);
  HERD_CHECK(!entry.on, "a sequence runs in one place");
  HERD_CHECK(entry.numerics.empty() || entry.numerics == to.numerics, "a stream keeps its numerics");
  entry.on = to;
  entry.numerics = to.numerics;
  if (entry.submission.attempt > 0) ++stats_.replayed;
  return entry.submission;
}

bool RequestLedger::on_unsent(routing::ReplicaGeneration to, const step::AttemptKey& attempt) {
  const auto found = open_.find(attempt.sequence);
  if (found == open_.end() || !found->second.on || found->second.on->generation != to ||
      found->second.submission.key() != attempt)
    return false;
  found->second.on.reset();
  return true;
}

RequestLedger::Verdict RequestLedger::on_delta(routing::ReplicaGeneration from, const TokenDelta& delta) {
  const auto found = open_.find(delta.sequence);
  if (found == open_.end() || !found->second.on || found->second.on->generation != from ||
      found->second.submission.key() != delta.key()) {
    ++stats_.stale_deltas;
    return {};
  }
  Entry& entry = found->second;
  Verdict verdict{.request = entry.request, .choice = entry.choice, .suspect = entry.suspect()};
  const std::uint32_t next = entry.delivered();
  if (delta.has_token && delta.token.output_index != next) {
    if (delta.token.output_index < next && delta.finish == FinishReason::kNone) {
      ++stats_.duplicate_deltas;
      return verdict;
    }
    verdict.kind = Verdict::Kind::kFailed;
    verdict.runs_on = delta.finish == FinishReason::kNone;
    if (!verdict.runs_on) entry.on.reset();
    verdict.why = {StatusCode::kInternal, "token " + std::to_string(delta.token.output_index) + " came where token " +
                                              std::to_string(next) + " was due"};
    return verdict;
  }
  verdict.delta = delta;
  verdict.delta.replica = from.replica;
  step::keep_unsent(verdict.delta.outputs, entry.outputs_end);
  step::keep_unsent(verdict.delta.prompt_logprobs, entry.outputs_end);
  if (delta.has_token) {
    entry.submission.tokens.push_back(delta.token.token);
    ++stats_.tokens_delivered;
    if (entry.suspect() && entry.delivered() > entry.submission.alone_until) {
      entry.first_death = {};
      entry.was_named = false;
      entry.submission.alone_until = 0;
      verdict.cleared = true;
    }
    if (entry.left && entry.delivered() > entry.left->delivered + 1) entry.left.reset();
  }
  if (delta.finish != FinishReason::kNone) return on_terminal(found, std::move(verdict));
  entry.refusals = 0;
  const bool empty = !delta.has_token && verdict.delta.outputs.empty() && verdict.delta.prompt_logprobs.empty();
  if (!empty) verdict.kind = Verdict::Kind::kDeliver;
  return verdict;
}

RequestLedger::Verdict RequestLedger::on_terminal(Entries::iterator found, Verdict verdict) {
  Entry& entry = found->second;
  const TokenDelta& terminal = verdict.delta;
  verdict.cleared = false;  // the place is free as a whole
  if (terminal.finish == FinishReason::kStop || terminal.finish == FinishReason::kLength) {
    verdict.kind = Verdict::Kind::kFinished;
    close(found->first, End::kFinished);
    return verdict;
  }
  if (terminal.finish == FinishReason::kRefused && asks_to_try_elsewhere(terminal)) {
    verdict.kind = Verdict::Kind::kMoved;
    ++stats_.moves;
    ++entry.refusals;
    unroute(entry, terminal.error);
    return verdict;
  }
  verdict.kind = Verdict::Kind::kFailed;
  verdict.why = terminal.error.ok() ? Status{StatusCode::kAborted, "the request was aborted"} : terminal.error;
  verdict.blames_caller =
      terminal.finish == FinishReason::kRefused && entry.delivered() == 0 && entry.outputs_end == 0;
  entry.on.reset();
  return verdict;
}

void RequestLedger::unroute(Entry& entry, const Status& why) {
  entry.on.reset();
  entry.lost_because = why;
  ++entry.submission.attempt;
  // Nothing is asked for twice; without it the next attempt may read a cached prefix.
  if (entry.submission.output == OutputSelector::kPromptLogprobs && entry.delivered() > 0)
    entry.submission.output = OutputSelector::kNone;
}

RequestLedger::Orphans RequestLedger::on_replica_lost(const routing::ReplicaLoss& loss) {
  Orphans orphans;
  for (auto& [sequence, entry] : open_) {
    const bool ran_there = entry.on && entry.on->generation.replica == loss.replica.replica &&
                           entry.on->generation.epoch <= loss.replica.epoch;
    if (ran_there) {
      lose(sequence, entry, loss, orphans);
    } else if (entry.left && entry.left->from == loss.replica && blames(loss, entry.left->attempt, 0)) {
      lose_after_all(sequence, entry, loss, orphans);
    }
  }
  return orphans;
}

void RequestLedger::lose(SequenceId sequence, Entry& entry, const routing::ReplicaLoss& loss, Orphans& orphans) {
  // It had come back to that generation: one death is not held against it twice.
  if (entry.left && entry.left->from == loss.replica) entry.left.reset();
  const auto blamed_until = blames(loss, entry.submission.key(), entry.delivered());
  if (entry.on->generation == loss.replica && blamed_until) {
    ++stats_.suspected_kills;
    if (condemns(loss, entry, entry.submission.alone_until, *blamed_until)) {
      ++stats_.condemned;
      orphans.condemned.push_back({sequence, entry.on->generation, condemnation(entry, loss.why)});
      entry.on.reset();
      return;
    }
    orphans.moved.push_back(moved(sequence, entry));
    suspect(entry, loss, *blamed_until);
  } else {
    ++(loss.cause == routing::LossCause::kStopped ? stats_.moves : stats_.losses);
    orphans.moved.push_back(moved(sequence, entry));
  }
  unroute(entry, loss.why);
}

void RequestLedger::lose_after_all(SequenceId sequence, Entry& entry, const routing::ReplicaLoss& loss,
                                   Orphans& orphans) {
  const std::uint32_t blamed_until = *blames(loss, entry.left->attempt, entry.left->delivered);
  const bool condemned = condemns(loss, entry, entry.left->alone_until, blamed_until);
  entry.left.reset();
  ++stats_.suspected_kills;
  if (condemned) {
    ++stats_.condemned;
    orphans.condemned.push_back({sequence, std::nullopt, condemnation(entry, loss.why)});
    return;
  }
  if (entry.suspect()) return;  // of a later death, which was told earlier
  // It runs among others now: it must not take them along.
  const bool runs = entry.on.has_value();
  if (runs) orphans.moved.push_back(moved(sequence, entry));
  suspect(entry, loss, blamed_until);
  if (!runs) return;
  orphans.moved.back().runs_on = true;
  unroute(entry, loss.why);
}

RequestLedger::Orphans RequestLedger::on_unreachable(routing::ReplicaGeneration replica, Unreachable how,
                                                     const Status& why) {
  Orphans orphans;
  for (auto& [sequence, entry] : open_) {
    if (!entry.on || entry.on->generation != replica) continue;
    ++(how == Unreachable::kLinkCut ? stats_.moves : stats_.losses);
    orphans.moved.push_back(moved(sequence, entry));
    remember_left(entry);
    unroute(entry, why);
  }
  return orphans;
}

// Whoever was cut off is more likely to have died than one that drains.
RequestLedger::Orphans::Moved RequestLedger::move(SequenceId sequence, const Status& why) {
  Entry& entry = open_.at(sequence);
  HERD_CHECK(entry.on.has_value(), "what moves runs somewhere");
  Orphans::Moved left = moved(sequence, entry);
  left.runs_on = true;
  ++stats_.moves;
  if (!entry.left) remember_left(entry);
  unroute(entry, why);
  return left;
}

void RequestLedger::remember_left(Entry& entry) {
  entry.left = {.attempt = entry.submission.key(),
                .from = entry.on->generation,
                .delivered = entry.delivered(),
                .alone_until = entry.submission.alone_until};
}

RequestLedger::Orphans::Moved RequestLedger::moved(SequenceId sequence, const Entry& entry) {
  return {.sequence = sequence,
          .was_suspect = entry.suspect(),
          .from = *entry.on,
          .attempt = entry.submission.key(),
          .runs_on = false};
}

Status RequestLedger::condemnation(const Entry& entry, const Status& why) {
  if (!entry.suspect())
    return {StatusCode::kInternal, "this request is given up: two ranks died while they computed it: " + why.message()};
  return {StatusCode::kInternal, "this request is given up: a second replica died while it computed it. First: " +
                                     entry.first_death.message() + ". Now: " + why.message()};
}

void RequestLedger::close(SequenceId sequence, End how) {
  HERD_CHECK(open_.erase(sequence) == 1, "only an open sequence ends");
  switch (how) {
    case End::kFinished:
      ++stats_.finished;
      break;
    case End::kAborted:
      ++stats_.aborted;
      break;
    case End::kFailed:
      ++stats_.failed;
      break;
  }
}

std::vector<routing::ReplicaGeneration> RequestLedger::in_use() const {
  std::vector<routing::ReplicaGeneration> generations;
  for (const auto& [sequence, entry] : open_) {
    if (entry.on) generations.push_back(entry.on->generation);
  }
  std::ranges::sort(generations);
  generations.erase(std::unique(generations.begin(), generations.end()), generations.end());
  return generations;
}

RequestLedgerStats RequestLedger::stats() const {
  RequestLedgerStats stats = stats_;
  stats.open = open_.size();
  return stats;
}

void RequestLedger::check_integrity() const {
  HERD_CHECK(open_.size() <= open_sequences_max_, "the ledger is bounded");
  HERD_CHECK(stats_.accepted == open_.size() + stats_.finished + stats_.aborted + stats_.failed,
             "every accepted sequence is open or has ended once");
  for (const auto& [sequence, entry] : open_) {
    HERD_CHECK(entry.submission.sequence == sequence && entry.submission.gateway == gateway_,
               "entries are filed under their number");
    HERD_CHECK(entry.suspect() == (entry.submission.alone_until > 0), "a suspect, and nobody else, runs alone");
    HERD_CHECK(!entry.suspect() || entry.delivered() <= entry.submission.alone_until, "a suspicion ends");
    HERD_CHECK(!entry.on || entry.on->numerics == entry.numerics, "a stream keeps its numerics");
  }
}

}  // namespace herd::gateway
