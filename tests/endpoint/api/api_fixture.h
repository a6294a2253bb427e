#pragma once
// What tests of the endpoint share: a responder that remembers what it was told, requests made by hand, frames taken
// apart.

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "endpoint/access/event_id.h"
#include "endpoint/access/served_numerics.h"
#include "endpoint/api/generation_job.h"
#include "endpoint/http/http_server.h"
#include "observability/serving_metrics.h"
#include "tests/runtime/tokenizer_fixture.h"

namespace herd::api {

// A frame of a stream: an event with id and data, or a comment.
struct Frame {
  std::string id;
  std::string data;
  std::string comment;
  bool operator==(const Frame&) const = default;
};

// Strict: what HttpResponder promises to send, and nothing else, is a frame.
inline Frame frame_of(std::string_view text) {
  Frame frame;
  if (text.starts_with(": ")) {
    EXPECT_EQ(text.find('\n'), text.size() - 1) << "a comment is one line: a blank one would end an event: " << text;
    text.remove_suffix(1);
    frame.comment = text.substr(2);
    return frame;
  }
  EXPECT_TRUE(text.ends_with("\n\n")) << text;
  text.remove_suffix(2);
  if (text.starts_with("id: ")) {
    const std::size_t end = text.find('\n');
    frame.id = text.substr(4, end - 4);
    text.remove_prefix(end + 1);
  }
  EXPECT_TRUE(text.starts_with("data: ")) << text;
  frame.data = text.substr(6);
  EXPECT_EQ(frame.data.find('\n'), std::string::npos) << frame.data;
  return frame;
}

// Remembers; says what broke the rules of HttpResponder. Any threads.
class FakeResponder final : public http::HttpResponder {
 public:
  // After so many frames the client is gone; negative: it stays.
  explicit FakeResponder(int frames_max = -1) : frames_max_(frames_max) {}

  void respond(http::HttpResponse response) override {
    const std::scoped_lock lock(mutex_);
    if (answer_ || head_) violate("a second answer");
    answer_ = std::move(response);
    changed_.notify_all();
  }
  void open_stream(http::HttpResponse head, std::size_t voices) override {
    const std::scoped_lock lock(mutex_);
    if (answer_ || head_) violate("a second answer");
    head_ = std::move(head);
    voices_ = voices;
  }
  bool send(std::string frame) override {
    const std::scoped_lock lock(mutex_);
    if (!head_ || finished_ || cut_) violate("a frame outside of an open stream");
    if (frames_max_ >= 0 && std::cmp_greater_equal(frames_.size(), frames_max_)) return false;
    frames_.push_back(frame_of(frame));
    changed_.notify_all();
    return true;
  }
  bool send_asked(std::string frame) override {
    {
      const std::scoped_lock lock(mutex_);
      ++asked_;
    }
    return send(std::move(frame));
  }
  void finish_stream() override {
    const std::scoped_lock lock(mutex_);
    if (!head_ || finished_ || cut_) violate("an end outside of an open stream");
    finished_ = true;
    changed_.notify_all();
  }
  void cut_stream() override {
    const std::scoped_lock lock(mutex_);
    if (!head_ || finished_ || cut_) violate("a cut outside of an open stream");
    cut_ = true;
    changed_.notify_all();
  }

  [[nodiscard]] std::optional<http::HttpResponse> answer() const { return under_lock(answer_); }
  [[nodiscard]] std::optional<http::HttpResponse> head() const { return under_lock(head_); }
  [[nodiscard]] std::vector<Frame> frames() const { return under_lock(frames_); }
  [[nodiscard]] bool finished() const { return under_lock(finished_); }
  [[nodiscard]] bool cut() const { return under_lock(cut_); }
  [[nodiscard]] std::size_t voices() const { return under_lock(voices_); }  // of open_stream()
  [[nodiscard]] int asked() const { return under_lock(asked_); }  // frames of send_asked()
  [[nodiscard]] std::string violation() const { return under_lock(violation_); }

  // Waits for the end of the answer, or for some frames of it; false when it does not come within a minute.
  bool await_end() {
    return await([this] { return answer_ || finished_ || cut_; });
  }
  bool await_frames(std::size_t count) {
    return await([this, count] { return frames_.size() >= count || answer_ || finished_ || cut_; });
  }
  [[nodiscard]] bool ended() const {
    const std::scoped_lock lock(mutex_);
    return answer_ || finished_ || cut_;
  }

 private:
  template <class Value>
  Value under_lock(const Value& value) const {
    const std::scoped_lock lock(mutex_);
    return value;
  }
  template <class Condition>
  bool await(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::minutes(1), condition);
  }
  void violate(const char* what) {
    if (violation_.empty()) violation_ = what;
  }

  const int frames_max_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<http::HttpResponse> answer_;
  std::optional<http::HttpResponse> head_;
  std::size_t voices_ = 0;
  std::vector<Frame> frames_;
  int asked_ = 0;
  bool finished_ = false;
  bool cut_ = false;
  std::string violation_;
};

inline const std::string* header_of(const http::HttpResponse& response, std::string_view name) {
  for (const http::HttpHeader& header : response.headers)
    if (http::same_name(header.name, name)) return &header.value;
  return nullptr;
}

inline boost::json::value json_of(const std::string& text) {
  boost::json::error_code error;
  boost::json::value value = boost::json::parse(text, error);
  EXPECT_FALSE(error) << text;
  return value;
}

// The text that a choice's data frames add up to.
inline std::string text_of(const std::vector<Frame>& frames, std::uint64_t choice = 0) {
  std::string text;
  for (const Frame& frame : frames) {
    if (frame.data.empty() || frame.data == "[DONE]") continue;
    const boost::json::value chunk = json_of(frame.data);
    for (const boost::json::value& part : chunk.as_object().at("choices").as_array()) {
      const boost::json::object& object = part.as_object();
      if (object.at("index").to_number<std::uint64_t>() != choice) continue;
      const boost::json::value& piece =
          object.contains("text") ? object.at("text") : object.at("delta").as_object().at("content");
      text += piece.as_string();
    }
  }
  return text;
}

// Token ids 0 … 255 are bytes, 256 is <|end|>.
inline constexpr TokenId kEnd = 256;
inline const tokenizer::Tokenizer& bytes() {
  static const tokenizer::Tokenizer kBytes = tokenizer::small_tokenizer("gpt-2", {}, {"<|end|>"});
  return kBytes;
}

// Everything a job needs around it.
struct JobSurroundings {
  explicit JobSurroundings(double keep_alive_s = 10) {
    environment.tokenizer = &tokenizer;
    environment.token_bytes = [this](TokenId id) { return tokenizer.token_bytes(id); };
    environment.eos_ids = {kEnd};
    environment.event_ids = &event_ids;
    environment.numerics = &numerics;
    environment.metrics = &metrics;
    environment.keep_alive_s = keep_alive_s;
  }

  tokenizer::Tokenizer tokenizer = tokenizer::small_tokenizer("gpt-2", {}, {"<|end|>"});
  access::EventIdCodec event_ids{{1, 2, 3}, "test"};
  access::ServedNumerics numerics{std::string()};
  observability::ServingMetrics metrics{observability::ServingMetricsConfig{.model_name = "toy", .max_model_len = 256}};
  JobEnvironment environment;
};

// One prompt of `prompt_tokens` ids, as the reader and the gateway would have made it.
inline GenerationRequest toy_request(openai::Endpoint endpoint, bool stream, std::uint32_t prompt_tokens,
                                     std::uint32_t max_tokens) {
  GenerationRequest request;
  request.answer = {.endpoint = endpoint, .id = "answer-1", .created = 1700000000, .model = "toy"};
  request.fields.stream = stream;
  GenerationRequest::Prompt prompt;
  for (std::uint32_t i = 0; i < prompt_tokens; ++i) prompt.ids.push_back(static_cast<TokenId>('!' + i % 31));
  for (const TokenId id : prompt.ids) prompt.text += static_cast<char>(id);
  prompt.max_tokens = max_tokens;
  request.prompts.push_back(std::move(prompt));
  request.sampling.temperature = 1.0F;
  request.sampling.ignore_eos = true;
  request.seed = 7;
  request.event.created = 1700000000;
  request.event.seed = 7;
  request.request_id = "request-1";
  return request;
}

inline step::TokenDelta token_delta(std::uint64_t sequence, TokenId token,
                                         step::FinishReason finish = step::FinishReason::kNone) {
  step::TokenDelta delta;
  delta.sequence = SequenceId(sequence);
  delta.has_token = true;
  delta.token.sequence = delta.sequence;
  delta.token.token = token;
  delta.finish = finish;
  return delta;
}

inline step::TokenDelta end_delta(std::uint64_t sequence, step::FinishReason finish, Status error = {}) {
  step::TokenDelta delta;
  delta.sequence = SequenceId(sequence);
  delta.finish = finish;
  delta.error = std::move(error);
  return delta;
}

}  // namespace herd::api
