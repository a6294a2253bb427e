#include "endpoint/api/generation_job.h"

#include <algorithm>
#include <utility>

#include "endpoint/api/answers.h"
#include "endpoint/api/text_offsets.h"
#include "kernels/check.h"
#include "kernels/splitmix64.h"

namespace herd::api {

using openai::Endpoint;
using step::FinishReason;
using step::TokenDelta;

namespace {

// One drawn seed gives each prompt of the request its own.
std::uint64_t seed_of_prompt(std::uint64_t seed, std::uint64_t prompt) {
  return splitmix64_finish(seed + (prompt + 1) * kSplitMix64Step);
}

bool failed(FinishReason finish) {
  return finish == FinishReason::kFailed || finish == FinishReason::kRefused || finish == FinishReason::kAborted;
}

}  // namespace

std::uint64_t GenerationRequest::prompt_tokens() const {
  std::uint64_t sum = 0;
  for (const Prompt& prompt : prompts) sum += prompt.ids.size();
  return sum;
}

std::uint64_t GenerationRequest::output_tokens_max() const {
  std::uint64_t sum = 0;
  for (const Prompt& prompt : prompts) sum += std::uint64_t{prompt.max_tokens} * fields.n;
  return sum;
}

GenerationJob::GenerationJob(RequestId id, GenerationRequest request, std::shared_ptr<http::HttpResponder> responder,
                             const JobEnvironment& environment, Instant arrived)
    : id_(id),
      request_(std::move(request)),
      responder_(std::move(responder)),
      environment_(environment),
      arrived_(arrived),
      chunks_(request_.answer, environment.token_bytes),
      event_(request_.event),
      cached_(request_.prompts.size(), 0),
      last_sent_(arrived) {
  const ChoiceTextOptions text{request_.fields.stop, request_.fields.include_stop_str_in_output,
                               request_.fields.skip_special_tokens, request_.fields.min_tokens};
  for (std::size_t i = 0; i < request_.choices(); ++i) {
    Choice choice{.prompt = static_cast<std::uint32_t>(i / request_.fields.n),
                  .text = ChoiceText(environment_.tokenizer, text)};
    if (request_.resume) choice.events_skip = request_.resume->progress.at(i);
    choices_.push_back(std::move(choice));
  }
  event_.progress.assign(choices_.size(), 0);
  if (request_.resume) {
    event_.progress = request_.resume->progress;
    event_.cached_tokens = request_.resume->cached_tokens;
    event_.usage_sent = request_.resume->usage_sent;
  }
  open_choices_ = choices_.size();
}

Instant GenerationJob::deadline() const {
  return {arrived_.ns + static_cast<std::int64_t>(request_.timeout_s * 1e9)};
}

std::vector<step::Submission> GenerationJob::start(SequenceId first) {
  first_ = first;
  std::vector<step::Submission> submissions;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const bool runs = prompt_of(choices_[i]).max_tokens > 0 || request_.fields.logprobs >= 0;
    choices_[i].submitted = runs;
    if (runs) submissions.push_back(submission_of(i, SequenceId{first.value + i}));
  }
  for (std::size_t i = 0; i < choices_.size() && !ended_; ++i) {
    if (choices_[i].submitted) continue;  // an echo of nothing but the prompt
    open_choice(i, 0);
    finish_choice(i, {});
    if (open_choices_ == 0) finish_job(arrived_);
  }
  return submissions;
}

step::Submission GenerationJob::submission_of(std::size_t index, SequenceId id) const {
  const GenerationRequest::Prompt& prompt = prompt_of(choices_[index]);
  step::Submission submission;
  submission.sequence = id;
  submission.tokens = prompt.ids;
  submission.prompt_tokens = static_cast<std::uint32_t>(prompt.ids.size());
  submission.max_tokens = prompt.max_tokens;
  submission.sampling = request_.sampling;
  submission.sampling.seed =
      request_.seed_given ? request_.seed : seed_of_prompt(request_.seed, choices_[index].prompt);
  submission.sampling.choice = static_cast<std::uint32_t>(index % request_.fields.n);
  submission.eos_ids = environment_.eos_ids;
  submission.priority = request_.fields.priority;
  submission.cache_salt = request_.cache_salt;
  if (request_.echo && request_.fields.logprobs >= 0)
    submission.output = step::OutputSelector::kPromptLogprobs;
  return submission;
}

std::vector<SequenceId> GenerationJob::on_delta(const TokenDelta& delta, Instant now) {
  HERD_CHECK(delta.sequence.value - first_.value < choices_.size(), "a delta belongs to a choice of its job");
  const std::size_t index = delta.sequence.value - first_.value;
  Choice& choice = choices_[index];
  if (ended_ || choice.done) return {};
  if (failed(delta.finish)) {
    choice.submitted = false;  // the cluster has closed it
    Status why = delta.error.ok() ? Status{StatusCode::kAborted, "the request was aborted"} : delta.error;
    // A request that ran and broke is not the client's fault, whatever the code says.
    if (delta.finish == FinishReason::kFailed && why.code() == StatusCode::kBadInput)
      why = {StatusCode::kInternal, why.message()};
    return fail(openai::error_of(why), now);
  }
  take_prompt_logprobs(choice, delta);
  if (!delta.has_token && delta.finish == FinishReason::kNone) return {};
  if (!choice.opened) open_choice(index, delta.cached_tokens);
  const std::string text = choice.text.take(delta);
  if (delta.has_token) {
    take_token(index, delta, text, now);
  } else {
    finish_choice(index, text);
  }
  std::vector<SequenceId> abort;
  if (choice.text.ended_by_stop_string() && delta.finish == FinishReason::kNone) abort.push_back(delta.sequence);
  if (delta.finish != FinishReason::kNone || !abort.empty()) choice.submitted = false;
  if (client_gone_) {
    for (const SequenceId open : end_all(now)) abort.push_back(open);
  } else if (open_choices_ == 0) {
    finish_job(now);
  }
  return abort;
}

void GenerationJob::take_prompt_logprobs(Choice& choice, const TokenDelta& delta) {
  for (const step::PromptLogprobs& part : delta.prompt_logprobs) {
    for (const step::PromptLogprob& one : part.tokens) {
      choice.prompt_reports.push_back({one.token, one.logprob, one.top, 0});
    }
  }
}

// The first event of a choice: chat's role, completion's echo.
void GenerationJob::open_choice(std::size_t index, std::uint32_t cached_tokens) {
  Choice& choice = choices_[index];
  choice.opened = true;
  // What a prompt's first choice found at first; after a failover the next attempt would tell other facts. A prompt that
  // the client of a resumed stream has heard of is in the id's sum already.
  if (index % request_.fields.n == 0 && choice.events_skip == 0) cached_[choice.prompt] = cached_tokens;
  event_.cached_tokens = usage().cached_tokens;
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
    return emit(index, scratch_, true);
  }
  if (!request_.echo) return;
  openai::ChunkReport chunk;
  chunk.index = static_cast<std::uint32_t>(index);
  chunk.text = prompt.text;
  chunk.tokens = choice.prompt_reports;
  chunk.usage = usage;
  chunks_.token(chunk, scratch_);
  emit(index, scratch_, true);
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
  const bool ends = choice.text.finish() != FinishReason::kNone;
  openai::TokenReport report;
  if (request_.fields.logprobs >= 0) report = {delta.token.token, delta.token.logprob, delta.token.top, choice.text_offset};
  choice.released += code_points(text);
  choice.text_offset = choice.released + code_points(choice.text.held_text());
  if (!request_.fields.stream) {
    choice.whole_text += text;
    if (request_.fields.logprobs >= 0) choice.reports.push_back(std::move(report));
    if (request_.fields.return_token_ids) choice.token_ids.push_back(delta.token.token);
    if (ends) finish_choice(index, {});
    return;
  }
  const bool skipped = choice.events < choice.events_skip;  // the client has this event
  openai::ChunkReport chunk;
  chunk.index = static_cast<std::uint32_t>(index);
  chunk.text = text;
  if (request_.fields.logprobs >= 0) chunk.tokens = {&report, 1};
  if (request_.fields.return_token_ids) {
    chunk.token_ids = {&delta.token.token, 1};
    if (choice.tokens == 1) chunk.prompt_token_ids = &prompt_of(choice).ids;
  }
  if (ends) {
    chunk.finish_reason = step::finish_reason_name(choice.text.finish());
    if (choice.text.stop_string()) chunk.stop_string = *choice.text.stop_string();
    const auto stop_token = choice.text.stop_token();
    if (stop_token && std::ranges::count(request_.fields.stop_token_ids, *stop_token) > 0) chunk.stop_token = stop_token;
    choice.done = true;
    --open_choices_;
    finish_reason_ = chunk.finish_reason;
  }
  const openai::Usage so_far = usage_so_far(choice);
  if (request_.fields.continuous_usage) chunk.usage = &so_far;
  scratch_.clear();
  if (!skipped) chunks_.token(chunk, scratch_);
  emit(index, scratch_, chunk.prompt_token_ids != nullptr);
}

// Without a token of its own: the prompt alone, or the last part of a whole answer.
void GenerationJob::finish_choice(std::size_t index, const std::string& text) {
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
  chunk.text = text;
  chunk.finish_reason = finish_reason_;
  const openai::Usage so_far = usage_so_far(choice);
  if (request_.fields.continuous_usage) chunk.usage = &so_far;
  scratch_.clear();
  chunks_.token(chunk, scratch_);
  emit(index, scratch_, true);
}

void GenerationJob::emit(std::size_t index, const std::string& json, bool asked) {
  Choice& choice = choices_[index];
  ++choice.events;
  if (choice.events <= choice.events_skip || client_gone_) return;
  event_.progress[index] = choice.events;
  std::string frame = "id: ";
  frame += environment_.event_ids->encode(event_, request_.tenant_name);
  frame += "\ndata: ";
  frame += json;
  frame += "\n\n";
  send(std::move(frame), asked);
}

void GenerationJob::open_stream() {
  if (stream_open_) return;
  stream_open_ = true;
  status_ = 200;
  http::HttpResponse head{200, "text/event-stream; charset=utf-8", request_.headers, {}};
  head.headers.push_back({"Cache-Control", "no-cache"});
  head.headers.push_back({"X-Accel-Buffering", "no"});  // proxies must not collect frames
  responder_->open_stream(std::move(head), choices_.size());
}

void GenerationJob::send(std::string frame, bool asked) {
  open_stream();
  const bool taken = asked ? responder_->send_asked(std::move(frame)) : responder_->send(std::move(frame));
  if (!taken) client_gone_ = true;
  if (last_token_ > last_sent_) last_sent_ = last_token_;
}

void GenerationJob::finish_job(Instant /*now*/) {
  if (ended_) return;
  ended_ = true;
  if (request_.fields.stream) {
    if (request_.fields.include_usage && !event_.usage_sent) {
      event_.usage_sent = true;
      std::string frame = "id: " + environment_.event_ids->encode(event_, request_.tenant_name) + "\ndata: ";
      chunks_.usage(usage(), frame);
      send(frame + "\n\n", true);
    }
    send("id: " + environment_.event_ids->encode(event_, request_.tenant_name) + "\ndata: [DONE]\n\n", true);
    responder_->finish_stream();
    return;
  }
  std::vector<openai::ChoiceReport> reports;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    Choice& choice = choices_[i];
    openai::ChoiceReport& report = reports.emplace_back();
    report.index = static_cast<std::uint32_t>(i);
    report.text = std::move(choice.whole_text);
    const FinishReason finish = choice.text.finish();
    report.finish_reason = step::finish_reason_name(finish == FinishReason::kNone ? FinishReason::kLength : finish);
    report.stop_string = choice.text.stop_string();
    const auto stop_token = choice.text.stop_token();
    if (stop_token && std::ranges::count(request_.fields.stop_token_ids, *stop_token) > 0) report.stop_token = stop_token;
    report.tokens = std::move(choice.reports);
    report.token_ids = std::move(choice.token_ids);
    if (request_.fields.return_token_ids) report.prompt_token_ids = prompt_of(choice).ids;
  }
  status_ = 200;
  responder_->respond({200, "application/json", request_.headers,
                       openai::whole_answer(request_.answer, reports, usage(), environment_.token_bytes)});
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

std::vector<SequenceId> GenerationJob::end_all(Instant /*now*/) {
  ended_ = true;
  if (finish_reason_.empty() || open_choices_ > 0) finish_reason_ = "abort";
  std::vector<SequenceId> open;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    if (started() && choices_[i].submitted) open.push_back(SequenceId{first_.value + i});
    choices_[i].submitted = false;
  }
  return open;
}

std::vector<SequenceId> GenerationJob::fail(const openai::ApiError& error, Instant now) {
  if (ended_) return {};
  if (!stream_open_) {
    status_ = error.status;
    responder_->respond(error_answer(error, request_.headers));
  } else {
    (void)responder_->send_asked("data: " + openai::to_json(error) + "\n\n");
    responder_->cut_stream();
  }
  auto open = end_all(now);
  finish_reason_ = "error";
  return open;
}

std::vector<SequenceId> GenerationJob::on_client_gone(Instant now) {
  if (ended_) return {};
  client_gone_ = true;
  return end_all(now);
}

std::vector<SequenceId> GenerationJob::on_tick(Instant now) {
  if (ended_ || !request_.fields.stream || seconds_between(last_sent_, now) < environment_.keep_alive_s) return {};
  last_sent_ = now;
  open_stream();
  // One line, no blank line: with an id set, a blank line is an event without data to common parsers.
  if (responder_->send(": ping\n")) return {};
  client_gone_ = true;
  return end_all(now);
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
