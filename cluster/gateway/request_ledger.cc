#include "cluster/gateway/request_ledger.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/check.h"
#include "runtime/step/output_rows.h"

namespace herd::gateway {
namespace {

using step::FinishReason;
using step::OutputSelector;
using step::Submission;
using step::TokenDelta;

std::uint32_t delivered_tokens(const Submission& submission) {
  return static_cast<std::uint32_t>(submission.tokens.size()) - submission.prompt_tokens;
}

}  // namespace

Status RequestLedgerConfig::validate() const {
  if (open_sequences_max == 0) return usage_error("open_sequences_max must be at least 1");
  if (attempts_max == 0) return usage_error("attempts_max must be at least 1");
  return {};
}

Status RequestLedger::accept(Submission submission) {
  HERD_CHECK(submission.attempt == 0, "a new sequence begins with attempt 0");
  const auto refuse = [this](StatusCode code, std::string why) {
    ++stats_.refused;
    return Status(code, std::move(why));
  };
  if (open_.contains(submission.sequence))
    return refuse(StatusCode::kBadInput, "sequence id " + std::to_string(submission.sequence.value) + " is in use");
  if (open_.size() >= config_.open_sequences_max)
    return refuse(StatusCode::kOverloaded, std::to_string(open_.size()) + " sequences are open, more are not accepted");
  ++stats_.accepted;
  const SequenceId sequence = submission.sequence;
  open_.emplace(sequence, Entry{.submission = std::move(submission), .replica = {}, .failed = {}, .lost_because = {}});
  return {};
}

bool RequestLedger::needs_route(SequenceId sequence) const {
  const auto entry = open_.find(sequence);
  return entry != open_.end() && !entry->second.replica;
}

std::vector<routing::ReplicaGeneration> RequestLedger::failed_generations(SequenceId sequence) const {
  const auto entry = open_.find(sequence);
  return entry == open_.end() ? std::vector<routing::ReplicaGeneration>{} : entry->second.failed;
}

bool RequestLedger::is_lost(routing::ReplicaGeneration replica) const {
  const auto lost = lost_.find(replica.replica);
  return lost != lost_.end() && replica.epoch <= lost->second;
}

std::optional<Submission> RequestLedger::on_routed(SequenceId sequence, routing::ReplicaGeneration replica) {
  const auto entry = open_.find(sequence);
  if (entry == open_.end() || entry->second.replica) return std::nullopt;
  if (is_lost(replica)) {
    if (std::ranges::find(entry->second.failed, replica) == entry->second.failed.end())
      entry->second.failed.push_back(replica);
    return std::nullopt;
  }
  entry->second.replica = replica;
  return entry->second.submission;
}

std::optional<TokenDelta> RequestLedger::on_unroutable(SequenceId sequence, const Status& why) {
  const auto entry = open_.find(sequence);
  if (entry == open_.end() || entry->second.replica) return std::nullopt;
  const Status& lost = entry->second.lost_because;
  if (lost.ok()) return close(entry, FinishReason::kFailed, why);
  return close(entry, FinishReason::kFailed, Status(lost.code(), lost.message() + "; " + why.message()));
}

std::optional<TokenDelta> RequestLedger::on_delta(const TokenDelta& delta) {
  const auto entry = open_.find(delta.sequence);
  if (entry == open_.end() || !entry->second.replica || entry->second.submission.attempt != delta.attempt) {
    ++stats_.stale_deltas;
    return std::nullopt;
  }
  Submission& submission = entry->second.submission;
  const std::uint32_t next = delivered_tokens(submission);
  if (delta.has_token && delta.token.output_index != next) {
    if (delta.token.output_index < next && delta.finish == FinishReason::kNone) {
      ++stats_.duplicate_deltas;
      return std::nullopt;
    }
    return close(entry, FinishReason::kFailed,
                 {StatusCode::kInternal, "token " + std::to_string(delta.token.output_index) + " came where token " +
                                             std::to_string(next) + " was due"});
  }
  TokenDelta admitted = delta;
  admitted.replica = entry->second.replica->replica;
  step::keep_unsent(admitted.outputs, entry->second.outputs_end);
  step::keep_unsent(admitted.prompt_logprobs, entry->second.outputs_end);
  if (admitted.has_token) {
    submission.tokens.push_back(admitted.token.token);
    ++stats_.tokens_delivered;
  }
  if (admitted.finish == FinishReason::kNone) {
    if (!admitted.has_token && admitted.outputs.empty() && admitted.prompt_logprobs.empty()) return std::nullopt;
    return admitted;
  }
  // "Refused" says that nothing was computed, which only a first attempt can say.
  if (admitted.finish == FinishReason::kRefused && submission.attempt > 0) admitted.finish = FinishReason::kFailed;
  return close(entry, std::move(admitted));
}

std::optional<RequestLedger::Aborted> RequestLedger::on_abort(SequenceId sequence, const Status& why) {
  const auto entry = open_.find(sequence);
  if (entry == open_.end()) return std::nullopt;
  const auto running_on = entry->second.replica;
  return Aborted{close(entry, FinishReason::kAborted, why), running_on};
}

RequestLedger::Orphans RequestLedger::on_replica_lost(routing::ReplicaGeneration replica, const Status& why) {
  Epoch& lost = lost_.try_emplace(replica.replica, replica.epoch).first->second;
  lost = std::max(lost, replica.epoch);
  Orphans orphans;
  for (auto entry = open_.begin(); entry != open_.end();) {
    const auto current = entry++;
    Entry& open = current->second;
    // An older generation of the same replica went with it, should its own loss be still on the way.
    if (!open.replica || open.replica->replica != replica.replica || open.replica->epoch > replica.epoch) continue;
    open.failed.push_back(*open.replica);
    open.replica.reset();
    open.lost_because = why;
    if (open.submission.attempt + 1 >= config_.attempts_max) {
      orphans.terminal.push_back(close(current, FinishReason::kFailed, why));
      continue;
    }
    ++open.submission.attempt;
    ++stats_.replayed;
    // Nothing is asked for twice; without it the next attempt may read a cached prefix.
    if (open.submission.output == OutputSelector::kPromptLogprobs && delivered_tokens(open.submission) > 0)
      open.submission.output = OutputSelector::kNone;
    orphans.to_route.push_back(current->first);
  }
  return orphans;
}

TokenDelta RequestLedger::close(Entries::iterator entry, TokenDelta terminal) {
  HERD_CHECK(terminal.finish != FinishReason::kNone, "a sequence ends with a terminal delta");
  switch (terminal.finish) {
    case FinishReason::kStop:
    case FinishReason::kLength:
      ++stats_.finished;
      break;
    case FinishReason::kAborted:
      ++stats_.aborted;
      break;
    default:
      ++stats_.failed;
  }
  open_.erase(entry);
  return terminal;
}

TokenDelta RequestLedger::close(Entries::iterator entry, FinishReason reason, const Status& why) {
  TokenDelta terminal;
  terminal.sequence = entry->first;
  terminal.attempt = entry->second.submission.attempt;
  terminal.finish = reason;
  terminal.error = why;
  return close(entry, std::move(terminal));
}

std::vector<SequenceId> RequestLedger::open_sequences() const {
  std::vector<SequenceId> sequences;
  sequences.reserve(open_.size());
  for (const auto& [sequence, entry] : open_) sequences.push_back(sequence);
  return sequences;
}

RequestLedgerStats RequestLedger::stats() const {
  RequestLedgerStats stats = stats_;
  stats.open = open_.size();
  return stats;
}

void RequestLedger::check_integrity() const {
  HERD_CHECK(open_.size() <= config_.open_sequences_max, "the ledger is bounded");
  HERD_CHECK(stats_.accepted == open_.size() + stats_.finished + stats_.aborted + stats_.failed,
             "every accepted sequence is open or has ended once");
  for (const auto& [sequence, entry] : open_) {
    HERD_CHECK(entry.submission.sequence == sequence, "entries are filed under their id");
    HERD_CHECK(entry.submission.attempt < config_.attempts_max, "attempts are bounded");
    HERD_CHECK(!entry.replica || !is_lost(*entry.replica), "nothing runs on a lost generation");
  }
}

}  // namespace herd::gateway
