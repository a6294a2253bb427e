#include "endpoint/api/generation_job.h"

#include <algorithm>
#include <utility>

#include "endpoint/api/request_tracing.h"
#include "endpoint/api/text_offsets.h"
#include "kernels/check.h"

namespace herd::api {

using gateway::RequestEnd;
using openai::Endpoint;
using step::FinishReason;
using step::TokenDelta;

namespace {

// A job takes each delta at once (what a socket does not take is the responder's matter); what one step makes for all choices
// of a request is judged together.
constexpr std::size_t kCredit = std::size_t{1} << 16;

// More seconds than any request takes, so few that an Instant holds them.
constexpr double kForever_s = 1e9;

// For a client that has the token of this event, and later ones.
void leave_the_end(openai::ChunkReport& chunk) {
  chunk.text = {};
  chunk.tokens = {};
  chunk.token_ids = {};
  chunk.prompt_token_ids = nullptr;
}

}  // namespace

GenerationJob::GenerationJob(RequestId id, GenerationRequest request, std::shared_ptr<http::HttpResponder> responder,
                             const JobEnvironment& environment, Instant arrived)
    : id_(id),
      request_(std::move(request)),
      environment_(environment),
      arrived_(arrived),
      chunks_(request_.answer, environment.token_bytes),
      answer_(request_, std::move(responder), *environment.event_ids, *environment.numerics, arrived),
      cached_(request_.prompts.size(), 0) {
  const ChoiceTextOptions text{request_.fields.stop, request_.fields.include_stop_str_in_output,
                               request_.fields.skip_special_tokens, request_.fields.min_tokens};
  for (std::size_t i = 0; i < request_.choices(); ++i) {
    choices_.push_back({.prompt = static_cast<std::uint32_t>(i / request_.fields.n),
                        .text = ChoiceText(environment_.tokenizer, text)});
    if (request_.runs(prompt_of(choices_.back()))) submitted_.push_back(i);
  }
  open_choices_ = choices_.size();
}

gateway::GatewayRequest GenerationJob::gateway_request() const {
  gateway::GatewayRequest request;
  request.id = id_;
  request.tenant = request_.tenant;
  request.sequences = static_cast<std::uint32_t>(submitted_.size());
  request.prompt_tokens = request_.prompt_tokens();
  request.output_tokens_max = request_.output_tokens_max();
  request.priority = request_.fields.priority;
  request.credit = kCredit;
  request.deadline = seconds_after(arrived_, std::min(request_.timeout_s, kForever_s));
  request.numerics = request_.numerics;
  return request;
}

std::vector<step::Submission> GenerationJob::start(Instant now) {
  started_ = true;
  if (trace_) trace_->on_started(now);
  std::vector<step::Submission> submissions;
  for (const std::size_t index : submitted_) submissions.push_back(request_.submission(index, environment_.eos_ids));
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    if (request_.runs(prompt_of(choices_[i]))) continue;  // else an echo of nothing but the prompt
    open_choice(i, 0, now);
    finish_choice(i, {}, now);
  }
  if (open_choices_ == 0) finish_job(now);
  return submissions;
}

actors::RequestStream::Taken GenerationJob::deliver(std::uint32_t number, const TokenDelta& delta, Instant now) {
  const std::size_t index = submitted_.at(number);
  Choice& choice = choices_[index];
  if (trace_) trace_->on_delta(static_cast<std::uint32_t>(index), delta, now);
  if (ended_ || choice.done) return {};
  take_prompt_logprobs(choice, delta);
  if (!delta.has_token && delta.finish == FinishReason::kNone) return {};
  if (!choice.opened) open_choice(index, delta.cached_tokens, now);
  const std::string text = choice.text.take(delta);
  if (delta.has_token) {
    take_token(index, delta, text, now);
  } else {
    finish_choice(index, text, now);
  }
  if (answer_.client_gone()) {
    leave();
  } else if (open_choices_ == 0) {
    finish_job(now);
  }
  const bool stop = choice.text.ended_by_stop_string() && delta.finish == FinishReason::kNone;
  if (stop && trace_) trace_->on_choice_stopped(static_cast<std::uint32_t>(index), now);
  return {.stop = stop, .gone = answer_.client_gone()};
}

void GenerationJob::on_attempt(const gateway::RunOn& run, Instant now) {
  answer_.computed_by(run.to.numerics);
  if (trace_) trace_->on_attempt(static_cast<std::uint32_t>(submitted_.at(run.choice)), run, now);
}

void GenerationJob::on_attempt_cut(const gateway::AttemptCut& cut, Instant now) {
  if (trace_) trace_->on_attempt_cut(static_cast<std::uint32_t>(submitted_.at(cut.choice)), cut, now);
}

bool GenerationJob::tick(Instant now) {
  if (!ended_ && request_.fields.stream) answer_.keep_alive(environment_.keep_alive_s, now);
  if (answer_.client_gone()) leave();
  return !answer_.client_gone();
}

void GenerationJob::end(const RequestEnd& end, Instant now) {
  if (!ended_ && end.kind == RequestEnd::Kind::kGone) leave();
  if (!ended_) {
    if (end.kind == RequestEnd::Kind::kRefused)
      environment_.metrics->on_refused(admission::refusal_name(end.refusal->reason));
    answer_.fail(error_of(end));
    ended_ = true;
    finish_reason_ = "error";
  }
  if (trace_) environment_.spans->take(trace_->end(request_span(request_, record(now), end, status(), *trace_), now));
  if (environment_.on_end) environment_.on_end(*this, now);
}

openai::ApiError GenerationJob::error_of(const RequestEnd& end) const {
  switch (end.kind) {
    case RequestEnd::Kind::kRefused:
      return end.refusal->quota ? openai::quota(end.refusal->message, end.refusal->retry_after_s)
                                : openai::overloaded(end.refusal->message, end.refusal->retry_after_s);
    case RequestEnd::Kind::kLate: return openai::timed_out("the request waited in the queue beyond its time limit");
    case RequestEnd::Kind::kTimedOut: return openai::timed_out("the request did not finish within its time limit");
    case RequestEnd::Kind::kShutdown: return openai::overloaded("the server is shutting down", 1);
    default: break;
  }
  // The rest of `why` is for the log.
  if (end.poison && end.why.code() == StatusCode::kInternal)
    return openai::poison_request(500, "this request made the ranks that computed it die twice; it is not tried again");
  if (end.poison) return openai::poison_request(422, end.why.message());
  const bool says_so = end.why.code() == StatusCode::kBadInput || end.why.code() == StatusCode::kUsage;
  if (says_so && !end.blames_caller) return openai::error_of({StatusCode::kInternal, end.why.message()});
  return openai::error_of(end.why);
}

// The client has left.
void GenerationJob::leave() {
  ended_ = true;
  if (open_choices_ > 0) finish_reason_ = "abort";
}

void GenerationJob::take_prompt_logprobs(Choice& choice, const TokenDelta& delta) {
  for (const step::PromptLogprobs& part : delta.prompt_logprobs) {
    for (const step::PromptLogprob& one : part.tokens) {
      choice.prompt_reports.push_back({one.token, one.logprob, one.top, 0});
    }
  }
}

// The first event of a choice: chat's role, completion's echo.
void GenerationJob::open_choice(std::size_t index, std::uint32_t cached_tokens, Instant now) {
  Choice& choice = choices_[index];
  choice.opened = true;
  // What a prompt's first choice found at first; after a failover the next attempt would tell other facts. A prompt that
  // the client of a resumed stream has heard of is in the id's sum already.
  if (index % request_.fields.n == 0 && !answer_.resumes(index)) cached_[choice.prompt] = cached_tokens;
  answer_.set_cached_tokens(usage().cached_tokens);
  const bool chat = request_.answer.endpoint == Endpoint::kChat;
  const GenerationRequest::Prompt& prompt = prompt_of(choice);
  if (request_.echo && request_.fields.logprobs >= 0) {
    // The first token has nothing before it, so no probability.
    choice.prompt_reports.insert(choice.prompt_reports.begin(), {prompt.ids.front(), std::nullopt, {}, 0});
    place_prompt(choice);
  }
  if (request_.echo) choice.released = choice.text_offset = code_points(prompt.text);
  if (!request_.fields.stream) {
    if (request_.echo) choice.whole_text = prompt.text;
    choice.reports = std::move(choice.prompt_reports);
    return;
  }
  scratch_.clear();
  const openai::Usage so_far = usage_so_far(choice);
  const openai::Usage* usage = request_.fields.continuous_usage ? &so_far : nullptr;
  if (chat) {
    chunks_.role(static_cast<std::uint32_t>(index), usage, scratch_);
    return answer_.event(index, scratch_, true, now);
  }
  if (!request_.echo) return;
  openai::ChunkReport chunk;
  chunk.index = static_cast<std::uint32_t>(index);
  chunk.text = prompt.text;
  chunk.tokens = choice.prompt_reports;
  chunk.usage = usage;
  chunks_.token(chunk, scratch_);
  answer_.event(index, scratch_, true, now);
  choice.prompt_reports.clear();
}

void GenerationJob::place_prompt(Choice& choice) const {
  if (environment_.tokenizer == nullptr) return;  // no text, so everything stands at 0
  const GenerationRequest::Prompt& prompt = prompt_of(choice);
  const EchoOf echo = prompt.given_as_text                  ? EchoOf::kText
                      : request_.fields.skip_special_tokens ? EchoOf::kTokensWithoutSpecial
                                                            : EchoOf::kTokens;
  const auto offsets = prompt_offsets(*environment_.tokenizer, prompt.ids, prompt.text, echo);
  for (std::size_t i = 0; i < choice.prompt_reports.size() && i < offsets.size(); ++i)
    choice.prompt_reports[i].text_offset = offsets[i];
}

void GenerationJob::take_token(std::size_t index, const TokenDelta& delta, const std::string& text, Instant now) {
  Choice& choice = choices_[index];
  count_token(choice, delta, now);
  openai::TokenReport report;
  if (request_.fields.logprobs >= 0) report = {delta.token.token, delta.token.logprob, delta.token.top, choice.text_offset};
  choice.released += code_points(text);
  choice.text_offset = choice.released + code_points(choice.text.held_text());
  if (request_.fields.stream) return send_token(index, delta, text, std::move(report), now);
  choice.whole_text += text;
  if (request_.fields.logprobs >= 0) choice.reports.push_back(std::move(report));
  if (request_.fields.return_token_ids) choice.token_ids.push_back(delta.token.token);
  if (choice.text.finish() != FinishReason::kNone) finish_choice(index, {}, now);
}

void GenerationJob::count_token(Choice& choice, const TokenDelta& delta, Instant now) {
  replica_ = delta.replica.value;
  if (tokens_made_ == 0) {
    first_token_ = now;
    prefill_s_ = delta.prefill_s;
    environment_.metrics->on_first_token(seconds_between(arrived_, now), replica_);
  } else if (choice.tokens > 0) {
    environment_.metrics->on_token_gap(seconds_between(choice.last_token, now), replica_);
  }
  choice.last_token = last_token_ = now;
  ++choice.tokens;
  ++tokens_made_;
}

void GenerationJob::send_token(std::size_t index, const TokenDelta& delta, const std::string& text,
                               openai::TokenReport report, Instant now) {
  Choice& choice = choices_[index];
  bool skipped = answer_.has_next(index);
  openai::ChunkReport chunk;
  chunk.index = static_cast<std::uint32_t>(index);
  chunk.text = text;
  if (request_.fields.logprobs >= 0) chunk.tokens = {&report, 1};
  if (request_.fields.return_token_ids) {
    chunk.token_ids = {&delta.token.token, 1};
    if (choice.tokens == 1) chunk.prompt_token_ids = &prompt_of(choice).ids;
  }
  if (choice.text.finish() != FinishReason::kNone) {
    chunk.finish_reason = step::finish_reason_name(choice.text.finish());
    if (choice.text.stop_string()) chunk.stop_string = *choice.text.stop_string();
    chunk.stop_token = named_stop_token(choice.text);
    choice.done = true;
    --open_choices_;
    finish_reason_ = chunk.finish_reason;
    if (answer_.ends_early(index)) {
      skipped = false;
      leave_the_end(chunk);
    }
  }
  const openai::Usage so_far = usage_so_far(choice);
  if (request_.fields.continuous_usage) chunk.usage = &so_far;
  scratch_.clear();
  if (!skipped) chunks_.token(chunk, scratch_);
  answer_.event(index, scratch_, chunk.prompt_token_ids != nullptr, now);
}

// The id that ended a choice, when the request had named it.
std::optional<TokenId> GenerationJob::named_stop_token(const ChoiceText& text) const {
  const auto token = text.stop_token();
  return token && std::ranges::count(request_.fields.stop_token_ids, *token) > 0 ? token : std::nullopt;
}

// Without a token of its own: the prompt alone, or the last part of a whole answer.
void GenerationJob::finish_choice(std::size_t index, const std::string& text, Instant now) {
  Choice& choice = choices_[index];
  if (choice.done) return;
  choice.done = true;
  --open_choices_;
  const FinishReason finish =
      choice.text.finish() == FinishReason::kNone ? FinishReason::kLength : choice.text.finish();
  finish_reason_ = step::finish_reason_name(finish);
  if (!request_.fields.stream) {
    choice.whole_text += text;
    return;
  }
  openai::ChunkReport chunk;
  chunk.index = static_cast<std::uint32_t>(index);
  if (!answer_.ends_early(index)) chunk.text = text;
  chunk.finish_reason = finish_reason_;
  const openai::Usage so_far = usage_so_far(choice);
  if (request_.fields.continuous_usage) chunk.usage = &so_far;
  scratch_.clear();
  chunks_.token(chunk, scratch_);
  answer_.event(index, scratch_, true, now);
}

void GenerationJob::finish_job(Instant now) {
  if (ended_) return;
  ended_ = true;
  if (request_.fields.stream) {
    if (request_.fields.include_usage) {
      scratch_.clear();
      chunks_.usage(usage(), scratch_);
      answer_.usage(scratch_, now);
    }
    return answer_.done(now);
  }
  std::vector<openai::ChoiceReport> reports;
  for (std::size_t i = 0; i < choices_.size(); ++i) reports.push_back(report_of(i));
  answer_.whole(openai::whole_answer(request_.answer, reports, usage(), environment_.token_bytes));
}

openai::ChoiceReport GenerationJob::report_of(std::size_t index) {
  Choice& choice = choices_[index];
  openai::ChoiceReport report;
  report.index = static_cast<std::uint32_t>(index);
  report.text = std::move(choice.whole_text);
  const FinishReason finish = choice.text.finish();
  report.finish_reason = step::finish_reason_name(finish == FinishReason::kNone ? FinishReason::kLength : finish);
  report.stop_string = choice.text.stop_string();
  report.stop_token = named_stop_token(choice.text);
  report.tokens = std::move(choice.reports);
  report.token_ids = std::move(choice.token_ids);
  if (request_.fields.return_token_ids) report.prompt_token_ids = prompt_of(choice).ids;
  return report;
}

openai::Usage GenerationJob::usage() const {
  openai::Usage usage;
  usage.prompt_tokens = static_cast<std::uint32_t>(request_.prompt_tokens());
  usage.completion_tokens = static_cast<std::uint32_t>(tokens_made_);
  if (request_.resume) usage.cached_tokens = request_.resume->cached_tokens;  // what the first run said
  for (const std::uint32_t cached : cached_) usage.cached_tokens += cached;
  return usage;
}

openai::Usage GenerationJob::usage_so_far(const Choice& choice) const {
  openai::Usage usage;
  usage.prompt_tokens = static_cast<std::uint32_t>(prompt_of(choice).ids.size());
  usage.completion_tokens = choice.tokens;
  return usage;
}

observability::RequestRecord GenerationJob::record(Instant now) const {
  observability::RequestRecord record;
  record.finished_reason = finish_reason_.empty() ? "abort" : finish_reason_;
  record.engine = replica_;
  record.n = request_.fields.n;
  record.max_tokens = request_.prompts.front().max_tokens;
  record.prompt_tokens = static_cast<std::uint32_t>(request_.prompt_tokens());
  record.generation_tokens = static_cast<std::uint32_t>(tokens_made_);
  record.cached_tokens = usage().cached_tokens;
  for (const Choice& choice : choices_) record.longest_choice_tokens = std::max(record.longest_choice_tokens, choice.tokens);
  if (tokens_made_ > 0) {
    // What waited in the gateway counts as queueing too.
    record.prefill_s = prefill_s_;
    record.queue_s = std::max(0.0, seconds_between(arrived_, first_token_) - prefill_s_);
    record.decode_s = seconds_between(first_token_, last_token_);
  }
  record.e2e_s = seconds_between(arrived_, now);
  record.resumed = request_.resume.has_value();
  return record;
}

}  // namespace herd::api
