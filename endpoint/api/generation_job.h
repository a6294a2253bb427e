#pragma once
// GenerationJob: one completion or chat request as the stream its gateway drives: makes the submissions, turns deltas into
// text and the text into frames or one answer, and counts. No clock, no cluster: time and deltas are handed in.
//
// Events of a choice, in order: chat: the role; completion with echo: the prompt; then one per token, the last one with the
// finish reason. A resumed stream makes the same events again and sends only those behind its EventId.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/client/request_stream.h"
#include "endpoint/access/event_id.h"
#include "endpoint/api/choice_text.h"
#include "endpoint/api/client_answer.h"
#include "endpoint/api/generation_request.h"
#include "endpoint/http/http_server.h"
#include "endpoint/openai/openai_response.h"
#include "observability/trace/request_trace.h"
#include "observability/trace/span.h"
#include "observability/serving_metrics.h"
#include "runtime/clock.h"

namespace herd::api {

class GenerationJob;

// What jobs share; outlives them.
struct JobEnvironment {
  const tokenizer::Tokenizer* tokenizer = nullptr;     // null: ids only
  openai::TokenBytes token_bytes;
  std::vector<TokenId> eos_ids;
  const access::EventIdCodec* event_ids = nullptr;     // never null
  const access::ServedNumerics* numerics = nullptr;    // never null
  observability::ServingMetrics* metrics = nullptr;    // never null
  std::atomic<double> keep_alive_s = 10;               // of silence, then a comment
  trace::SpanSink* spans = nullptr;                    // where traced jobs' spans go; null: no job is traced
  std::function<void(const GenerationJob&, Instant now)> on_end{};  // on the gateway's thread; may be empty
};

class GenerationJob final : public actors::RequestStream {
 public:
  GenerationJob(RequestId id, GenerationRequest request, std::shared_ptr<http::HttpResponder> responder,
                const JobEnvironment& environment, Instant arrived);

  // Before it is submitted: spans are made of it. Not null; with JobEnvironment::spans.
  void set_trace(std::unique_ptr<trace::RequestTrace> trace) { trace_ = std::move(trace); }

  [[nodiscard]] RequestId id() const { return id_; }
  [[nodiscard]] const GenerationRequest& request() const { return request_; }
  // As the gateway is asked for it.
  [[nodiscard]] gateway::GatewayRequest gateway_request() const;

  // One submission per choice that needs the model. A job without any sends its answer here.
  [[nodiscard]] std::vector<step::Submission> start(Instant now) override;
  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] Taken deliver(std::uint32_t choice, const step::TokenDelta& delta, Instant now) override;
  void on_attempt(const gateway::RunOn& run, Instant now) override;
  void on_attempt_cut(const gateway::AttemptCut& cut, Instant now) override;
  // Comments while nothing else is to say.
  [[nodiscard]] bool tick(Instant now) override;
  // An end that is no good one is an error to the client, unless the client has left.
  void end(const gateway::RequestEnd& end, Instant now) override;

  // Everything was said to the client, or it has left.
  [[nodiscard]] bool ended() const { return ended_; }
  // The status sent, for logs and metrics; 0: none.
  [[nodiscard]] int status() const { return answer_.status(); }
  [[nodiscard]] observability::RequestRecord record(Instant now) const;

 private:
  struct Choice {
    std::uint32_t prompt = 0;
    ChoiceText text;
    bool opened = false;           // its first event is made
    bool done = false;
    std::uint32_t tokens = 0;
    std::uint32_t released = 0;    // code points of the text so far, echo included
    std::uint32_t text_offset = 0; // where the next token stands: behind those, and behind what is held back
    Instant last_token{};
    std::string whole_text{};      // when not streamed
    std::vector<openai::TokenReport> reports{};
    std::vector<TokenId> token_ids{};
    std::vector<openai::TokenReport> prompt_reports{};  // echo with logprobs
  };

  [[nodiscard]] const GenerationRequest::Prompt& prompt_of(const Choice& choice) const {
    return request_.prompts[choice.prompt];
  }
  void open_choice(std::size_t index, std::uint32_t cached_tokens, Instant now);  // role or echo
  void take_prompt_logprobs(Choice& choice, const step::TokenDelta& delta);
  void take_token(std::size_t index, const step::TokenDelta& delta, const std::string& text, Instant now);
  void count_token(Choice& choice, const step::TokenDelta& delta, Instant now);
  void send_token(std::size_t index, const step::TokenDelta& delta, const std::string& text, openai::TokenReport report,
                  Instant now);
  void finish_choice(std::size_t index, const std::string& text, Instant now);
  void finish_job(Instant now);
  [[nodiscard]] openai::ChoiceReport report_of(std::size_t index);
  [[nodiscard]] std::optional<TokenId> named_stop_token(const ChoiceText& text) const;
  void place_prompt(Choice& choice) const;  // text_offset of an echo's tokens
  void leave();
  [[nodiscard]] openai::ApiError error_of(const gateway::RequestEnd& end) const;
  [[nodiscard]] openai::Usage usage() const;
  [[nodiscard]] openai::Usage usage_so_far(const Choice& choice) const;  // continuous_usage: of one choice

  const RequestId id_;
  const GenerationRequest request_;
  const JobEnvironment& environment_;
  const Instant arrived_;
  const openai::ChunkWriter chunks_;
  ClientAnswer answer_;
  std::unique_ptr<trace::RequestTrace> trace_;  // null: none is made
  std::vector<Choice> choices_;
  std::vector<std::size_t> submitted_;  // choices that need the model, in the order of their submissions
  bool started_ = false;
  bool ended_ = false;
  std::size_t open_choices_ = 0;
  std::uint64_t tokens_made_ = 0;
  std::vector<std::uint32_t> cached_;  // by prompt
  Instant first_token_;
  Instant last_token_;
  std::uint32_t replica_ = 0;          // of the last token
  double prefill_s_ = -1;
  std::string finish_reason_;          // of the record
  std::string scratch_;                // JSON in the making
};

}  // namespace herd::api
