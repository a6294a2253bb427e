#include "observability/trace/request_trace.h"

#include <algorithm>
#include <utility>

#include "kernels/splitmix64.h"

namespace herd::trace {
namespace {

using gateway::AttemptCutBy;

std::string_view outcome_of(AttemptCutBy by) {
  switch (by) {
    case AttemptCutBy::kLoss: return "replica_lost";
    case AttemptCutBy::kStop: return "replica_stopped";
    case AttemptCutBy::kLink: return "link_cut";
    case AttemptCutBy::kDrain: return "replica_drains";
    case AttemptCutBy::kSlowness: return "replica_slow";
    case AttemptCutBy::kRefusal: return "refused";
    case AttemptCutBy::kUnsent: return "not_sent";
    case AttemptCutBy::kSuspicion: return "suspected";
  }
  return "?";
}

// Nothing went wrong where work was moved in good order.
bool is_failure(AttemptCutBy by) {
  return by != AttemptCutBy::kStop && by != AttemptCutBy::kDrain && by != AttemptCutBy::kSlowness && by != AttemptCutBy::kRefusal;
}

std::int64_t whole(std::uint64_t number) { return static_cast<std::int64_t>(number); }

}  // namespace

SpanId RequestTrace::next_id() {
  std::uint64_t number = 0;
  while (number == 0) number = splitmix64_finish(begin_.id_seed + ++ids_ * kSplitMix64Step);
  SpanId id;
  for (std::uint8_t& byte : id.bytes) {
    byte = static_cast<std::uint8_t>(number >> 56);
    number <<= 8;
  }
  return id;
}

RequestTrace::Attempt* RequestTrace::open_attempt(std::uint32_t choice) {
  const auto last = last_.find(choice);
  if (last == last_.end() || attempts_[last->second].end) return nullptr;
  return &attempts_[last->second];
}

void RequestTrace::on_attempt(std::uint32_t choice, const gateway::RunOn& run, Instant now) {
  if (attempts_.size() >= kTracedAttemptsMax) {
    ++left_out_;
    return;
  }
  const auto before = last_.find(choice);
  const step::Submission& sent = run.submission;
  attempts_.push_back({.choice = choice,
                       .id = next_id(),
                       .before = before == last_.end() ? std::nullopt : std::optional(attempts_[before->second].id),
                       .on = run.to.generation,
                       .number = sent.attempt,
                       .replayed = static_cast<std::uint32_t>(sent.tokens.size()) - sent.prompt_tokens,
                       .begin = now});
  last_[choice] = attempts_.size() - 1;
}

void RequestTrace::on_attempt_cut(std::uint32_t choice, const gateway::AttemptCut& cut, Instant now) {
  Attempt* attempt = open_attempt(choice);
  if (attempt == nullptr) return;
  attempt->failed = is_failure(cut.by);
  attempt->why = cut.why.message();
  end_attempt(choice, outcome_of(cut.by), now);
}

void RequestTrace::on_delta(std::uint32_t choice, const step::TokenDelta& delta, Instant now) {
  if (delta.has_token) {
    if (!first_token_) {
      first_token_ = now;
      prefill_s_ = delta.prefill_s;
    }
    last_token_ = now;
  }
  if (delta.finish != step::FinishReason::kNone) finish_reasons_[choice] = step::finish_reason_name(delta.finish);
  Attempt* attempt = open_attempt(choice);
  if (attempt == nullptr) return;
  if (delta.has_token) {
    ++attempt->tokens;
    if (!attempt->first_token) attempt->first_token = now;
  }
  if (delta.has_token || delta.finish != step::FinishReason::kNone) {
    attempt->cached_tokens = delta.cached_tokens;
    attempt->queued_s = delta.queued_s;
    attempt->prefill_s = delta.prefill_s;
    attempt->preemptions = delta.preemptions;
  }
  if (delta.finish != step::FinishReason::kNone) end_attempt(choice, "finished", now);
}

void RequestTrace::on_choice_stopped(std::uint32_t choice, Instant now) {
  finish_reasons_[choice] = step::finish_reason_name(step::FinishReason::kStop);
  end_attempt(choice, "finished", now);
}

std::vector<std::string> RequestTrace::finish_reasons() const {
  std::vector<std::string> reasons;
  for (const auto& [choice, reason] : finish_reasons_) reasons.emplace_back(reason);
  return reasons;
}

void RequestTrace::end_attempt(std::uint32_t choice, std::string_view outcome, Instant now) {
  Attempt* attempt = open_attempt(choice);
  if (attempt == nullptr) return;
  attempt->end = now;
  attempt->outcome = outcome;
}

std::optional<double> RequestTrace::first_token_s() const {
  return first_token_ ? std::optional(seconds_between(begin_.arrived, *first_token_)) : std::nullopt;
}

Span RequestTrace::child(std::string name, SpanId id, Instant from, Instant to) const {
  Span span;
  span.trace = begin_.context.trace;
  span.id = id;
  span.parent = begin_.context.span;
  span.state = begin_.context.state;
  span.name = std::move(name);
  span.begin_unix_ns = unix_ns(from);
  span.end_unix_ns = unix_ns(std::max(from, to));
  return span;
}

void RequestTrace::add_phases(Spans& spans, Instant now) {
  if (!read_) return;
  spans.push_back(child("read", next_id(), begin_.arrived, *read_));
  // Computing may have begun in an attempt that was lost: what came before the first token is of the one that made it.
  Instant queued_until = std::max(*read_, started_.value_or(now));
  if (first_token_) {
    // Another process says how long that took, if that is so: no longer than the request has been here.
    const auto since_read = static_cast<double>(first_token_->ns - read_->ns);
    queued_until = {first_token_->ns - static_cast<std::int64_t>(std::min(prefill_s_ * 1e9, since_read))};
  }
  spans.push_back(child("queue", next_id(), *read_, queued_until));
  if (!first_token_) return;
  spans.push_back(child("prefill", next_id(), queued_until, *first_token_));
  spans.push_back(child("decode", next_id(), *first_token_, last_token_));
}

Span RequestTrace::span_of(const Attempt& attempt) const {
  Span span = child("attempt", attempt.id, attempt.begin, *attempt.end);
  span.attributes = {{"herd.choice", whole(attempt.choice)},
                     {"herd.attempt.number", whole(attempt.number)},
                     {"herd.replica", whole(attempt.on.replica.value)},
                     {"herd.epoch", whole(attempt.on.epoch.value)},
                     {"herd.attempt.outcome", std::string(attempt.outcome)},
                     {"herd.attempt.replayed_tokens", whole(attempt.replayed)},
                     {"herd.attempt.cached_tokens", whole(attempt.cached_tokens)},
                     {"herd.attempt.output_tokens", whole(attempt.tokens)},
                     {"herd.attempt.queued_s", attempt.queued_s},
                     {"herd.attempt.prefill_s", attempt.prefill_s},
                     {"herd.attempt.preemptions", whole(attempt.preemptions)}};
  if (!attempt.why.empty()) span.attributes.push_back({"herd.attempt.reason", attempt.why});
  if (attempt.first_token) span.events.push_back({"first token", unix_ns(*attempt.first_token)});
  if (attempt.before) span.links.push_back(*attempt.before);
  if (attempt.failed) {
    span.status = SpanStatus::kError;
    span.status_message = attempt.why;
  }
  return span;
}

Spans RequestTrace::end(RequestSpan request, Instant now) {
  for (const auto& [choice, last] : last_) end_attempt(choice, request.open_attempts, now);
  Spans spans;
  Span& server = spans.emplace_back(child(std::move(request.name), begin_.context.span, begin_.arrived, now));
  server.parent = begin_.parent;
  server.kind = SpanKind::kServer;
  server.attributes = begin_.attributes;
  server.attributes.insert(server.attributes.end(), request.attributes.begin(), request.attributes.end());
  if (left_out_ > 0) server.attributes.push_back({"herd.attempts_left_out", left_out_});
  server.status = request.status;
  server.status_message = std::move(request.status_message);
  if (first_token_) server.events.push_back({"first token", unix_ns(*first_token_)});
  add_phases(spans, now);
  for (const Attempt& attempt : attempts_) spans.push_back(span_of(attempt));
  return spans;
}

}  // namespace herd::trace
