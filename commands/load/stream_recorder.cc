#include "commands/load/stream_recorder.h"

#include "commands/load/stream_chunk_json.h"

#include <charconv>

namespace herd::load {
namespace {

constexpr std::size_t kKeptTextMax = std::size_t{1} << 20;  // bytes a request
constexpr int kTooManyRequests = 429;
constexpr int kUnavailable = 503;

}  // namespace

bool StreamRecorder::on_bytes(std::string_view bytes, double now_s) {
  if (decided_) return false;
  events_.clear();
  const Status status = parser_.feed(bytes, events_);
  for (const SseEvent& event : events_)
    if (!on_event(event, now_s)) return false;
  if (status.ok()) return true;
  fail_with(status.message(), now_s);
  return false;
}

bool StreamRecorder::on_event(const SseEvent& event, double now_s) {
  if (done_) return true;  // nothing behind [DONE] counts
  if (event.data == "[DONE]") {
    done_ = true;
    return true;
  }
  auto chunk = parse_stream_chunk(event.data, chat_);
  if (!chunk || !chunk->error.empty()) {
    fail_with(chunk ? "the stream reports an error: " + chunk->error : chunk.error().message(), now_s);
    return false;
  }
  if (chunk->has_token) {
    if (record_.chunks == 0) {
      record_.ttft_s = now_s - record_.start_s;
    } else {
      record_.gaps_s.push_back(now_s - last_token_s_);
    }
    ++record_.chunks;
    last_token_s_ = now_s;
    if (keep_text_ && record_.text.size() + chunk->text.size() <= kKeptTextMax) record_.text += chunk->text;
  }
  if (chunk->has_choice) last_choice_s_ = now_s;
  if (chunk->has_usage) {
    has_usage_ = true;
    record_.output_tokens = chunk->completion_tokens;
    record_.cached_tokens = chunk->cached_tokens;
    if (chunk->prompt_tokens > 0) record_.prompt_tokens = chunk->prompt_tokens;
  }
  return true;
}

void StreamRecorder::on_end(double now_s, std::string_view broken) {
  if (decided_) return;
  if (!done_) {
    std::string why = "the stream ended without [DONE] after " + std::to_string(record_.chunks) + " chunks";
    if (!broken.empty()) why += ": " + std::string(broken);
    return fail_with(std::move(why), now_s);
  }
  if (record_.chunks == 0) return fail_with("the stream ended without a token", now_s);
  decided_ = true;
  record_.outcome = Outcome::kCompleted;
  record_.latency_s = last_choice_s_ - record_.start_s;
  if (!has_usage_ || record_.output_tokens == 0) record_.output_tokens = record_.chunks;
}

void StreamRecorder::on_refusal(int status, double retry_after_s, std::string_view body, double now_s) {
  record_.status = status;
  record_.retry_after_s = retry_after_s;
  fail_with("HTTP " + std::to_string(status) + ": " + error_message(body), now_s);
  if (status == kTooManyRequests || status == kUnavailable) record_.outcome = Outcome::kRefused;
}

void StreamRecorder::on_failure(std::string_view why, double now_s) { fail_with(std::string(why), now_s); }

void StreamRecorder::fail_with(std::string why, double now_s) {
  if (decided_) return;
  decided_ = true;
  record_.outcome = Outcome::kFailed;
  record_.error = std::move(why);
  record_.latency_s = now_s - record_.start_s;
  if (!has_usage_) record_.output_tokens = record_.chunks;
}

double parse_retry_after(std::string_view value) {
  double seconds = -1.0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  return error == std::errc{} && end == value.data() + value.size() && seconds >= 0.0 ? seconds : -1.0;
}

}  // namespace herd::load
