#pragma once
// The life of one answer: status, bytes of the stream and their arrival times in, a RequestRecord out. Pure: the
// client gives it what came and when.

#include <string_view>

#include "commands/load/request_record.h"
#include "commands/load/sse_parser.h"

namespace herd::load {

// Writes into the record that it was made with, which must outlive it.
class StreamRecorder {
 public:
  StreamRecorder(RequestRecord& record, bool chat, bool keep_text)
      : record_(record), chat_(chat), keep_text_(keep_text) {}

  // Bytes of a 200's body that came at `now_s`. False once nothing that follows matters: an error event, or bytes that
  // are no such stream; the record then says so.
  [[nodiscard]] bool on_bytes(std::string_view bytes, double now_s);
  // The body ended, or `broken` says why it will not: decides the outcome unless on_bytes did.
  void on_end(double now_s, std::string_view broken);
  // A status other than 200, with its body.
  void on_refusal(int status, double retry_after_s, std::string_view body, double now_s);
  // No answer came.
  void on_failure(std::string_view why, double now_s);

 private:
  void fail_with(std::string why, double now_s);
  [[nodiscard]] bool on_event(const SseEvent& event, double now_s);

  RequestRecord& record_;
  bool chat_;
  bool keep_text_;
  bool done_ = false;  // [DONE] came
  bool decided_ = false;
  bool has_usage_ = false;
  double last_token_s_ = 0.0;
  double last_choice_s_ = 0.0;
  SseParser parser_;
  std::vector<SseEvent> events_;  // kept for its memory
};

// Seconds of a Retry-After header; below 0 when it is empty or a date.
[[nodiscard]] double parse_retry_after(std::string_view value);

}  // namespace herd::load
