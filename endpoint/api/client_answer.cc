#include "endpoint/api/client_answer.h"

#include <utility>

#include "endpoint/api/answers.h"

namespace herd::api {

ClientAnswer::ClientAnswer(const GenerationRequest& request, std::shared_ptr<http::HttpResponder> responder,
                           const access::EventIdCodec& event_ids, const access::ServedNumerics& numerics, Instant arrived)
    : request_(request),
      responder_(std::move(responder)),
      event_ids_(event_ids),
      numerics_(numerics),
      event_(request.event),
      events_(request.choices()),
      last_sent_(arrived) {
  event_.progress.assign(events_.size(), 0);
  if (!request.resume) return;
  event_.progress = request.resume->progress;
  event_.cached_tokens = request.resume->cached_tokens;
  event_.usage_sent = request.resume->usage_sent;
  for (std::size_t choice = 0; choice < events_.size(); ++choice) {
    const std::uint32_t progress = event_.progress.at(choice);
    events_[choice].skip = progress & ~access::EventId::kEnded;
    events_[choice].had_end = (progress & access::EventId::kEnded) != 0;
  }
}

void ClientAnswer::computed_by(const routing::NumericsId& numerics) {
  if (numerics.empty()) return;
  const auto digits = access::read_numerics_digits(numerics);
  one_numerics_ = one_numerics_ && digits && (!replicas_ || *replicas_ == *digits);
  replicas_ = digits;
}

std::string ClientAnswer::frame_head() {
  const access::NumericsDigits* numerics = replicas_ ? &*replicas_ : numerics_.digits();
  if (numerics == nullptr || !one_numerics_) return "data: ";
  event_.numerics = *numerics;
  return "id: " + event_ids_.encode(event_, request_.tenant_name) + "\ndata: ";
}

void ClientAnswer::event(std::size_t choice, const std::string& json, bool asked, Instant now) {
  Events& events = events_[choice];
  ++events.made;
  if (events.made <= events.skip || events.had_end || client_gone_) return;
  event_.progress[choice] = events.made | (events.ends ? access::EventId::kEnded : 0);
  std::string frame = frame_head();
  frame += json;
  frame += "\n\n";
  send(std::move(frame), asked, now);
}

bool ClientAnswer::ends_early(std::size_t choice) {
  Events& events = events_[choice];
  events.ends = true;
  if (events.had_end || events.made >= events.skip) return false;
  events.skip = events.made;
  return true;
}

void ClientAnswer::usage(const std::string& json, Instant now) {
  if (event_.usage_sent) return;
  event_.usage_sent = true;
  send(frame_head() + json + "\n\n", true, now);
}

void ClientAnswer::done(Instant now) {
  send(frame_head() + "[DONE]\n\n", true, now);
  responder_->finish_stream();
}

void ClientAnswer::whole(std::string body) {
  status_ = 200;
  responder_->respond({200, "application/json", request_.headers, std::move(body)});
}

void ClientAnswer::fail(const openai::ApiError& error) {
  if (open_) {
    (void)responder_->send_asked("data: " + openai::to_json(error) + "\n\n");
    return responder_->cut_stream();
  }
  status_ = error.status;
  responder_->respond(error_answer(error, request_.headers));
}

void ClientAnswer::keep_alive(double silence_s, Instant now) {
  if (seconds_between(last_sent_, now) < silence_s) return;
  // One line, no blank line: with an id set, a blank line is an event without data to common parsers.
  last_sent_ = now;
  open();
  if (!responder_->send(": ping\n")) client_gone_ = true;
}

void ClientAnswer::open() {
  if (open_) return;
  open_ = true;
  status_ = 200;
  http::HttpResponse head{200, "text/event-stream; charset=utf-8", request_.headers, {}};
  head.headers.push_back({"Cache-Control", "no-cache"});
  head.headers.push_back({"X-Accel-Buffering", "no"});  // proxies must not collect frames
  responder_->open_stream(std::move(head), events_.size());
}

void ClientAnswer::send(std::string frame, bool asked, Instant now) {
  open();
  const bool taken = asked ? responder_->send_asked(std::move(frame)) : responder_->send(std::move(frame));
  if (!taken) client_gone_ = true;
  last_sent_ = now;
}

}  // namespace herd::api
