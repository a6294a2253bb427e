#pragma once
// GenerationJob: one completion or chat request from its acceptance to its last byte: makes the submissions, turns deltas
// into frames or one answer, counts events so that a stream can be resumed. Owned by one thread (JobLoop); no clock, no
// cluster: time and deltas are handed in, sequences to end are handed out.
//
// Events of a choice, in order: chat: the role; completion with echo: the prompt; then one per token, the last one with the
// finish reason. A resumed stream makes the same events again and sends only those behind its EventId.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "endpoint/access/event_id.h"
#include "endpoint/api/choice_text.h"
#include "endpoint/http/http_server.h"
#include "endpoint/openai/openai_request.h"
#include "endpoint/openai/openai_response.h"
#include "cluster/admission/admission_queue.h"
#include "observability/serving_metrics.h"
#include "runtime/clock.h"

namespace herd::api {

// A request as it runs: parsed, checked, tokenized, every default filled in.
struct GenerationRequest {
  struct Prompt {
    std::vector<TokenId> ids;
    std::string text;              // as echoed
    bool given_as_text = false;    // else `text` is what the ids stand for
    std::uint32_t max_tokens = 0;  // 0: the prompt alone (echo)
  };
  openai::AnswerHead answer;
  openai::GenerationFields fields;
  step::SamplingParams sampling;  // seed and choice are the job's
  std::vector<Prompt> prompts;        // n choices each
  bool echo = false;
  std::uint64_t seed = 0;             // the request's, or drawn
  bool seed_given = false;            // else each prompt derives its own from `seed`
  std::string tenant_name;
  admission::TenantId tenant;
  std::uint64_t cache_salt = 0;
  access::EventId event;              // created, answer, seed, body: what every id of this stream says
  std::optional<access::EventId> resume;
  double timeout_s = 600;
  std::string request_id;
  std::vector<http::HttpHeader> headers;  // of the answer
  std::vector<std::string> ignored_fields;
  bool begins_twice = false;              // a prompt spells the token that the tokenizer puts before it

  [[nodiscard]] std::size_t choices() const { return prompts.size() * fields.n; }
  [[nodiscard]] std::uint64_t prompt_tokens() const;      // each prompt once
  [[nodiscard]] std::uint64_t output_tokens_max() const;  // of all choices
};

// What jobs share; outlives them.
struct JobEnvironment {
  const tokenizer::Tokenizer* tokenizer = nullptr;     // null: ids only
  openai::TokenBytes token_bytes;
  std::vector<TokenId> eos_ids;
  const access::EventIdCodec* event_ids = nullptr;     // never null
  observability::ServingMetrics* metrics = nullptr;    // never null
  double keep_alive_s = 10;                            // of silence, then a comment
};

class GenerationJob {
 public:
  GenerationJob(RequestId id, GenerationRequest request, std::shared_ptr<http::HttpResponder> responder,
                const JobEnvironment& environment, Instant arrived);

  [[nodiscard]] RequestId id() const { return id_; }
  [[nodiscard]] const GenerationRequest& request() const { return request_; }
  [[nodiscard]] Instant arrived() const { return arrived_; }
  [[nodiscard]] Instant deadline() const;

  // One submission per choice that needs the model, with ids from `first` on; the choice of a sequence is its id - first.
  // A job without any is over at once (ended()).
  [[nodiscard]] std::vector<step::Submission> start(SequenceId first);
  [[nodiscard]] bool started() const { return first_.value != 0; }

  // Sequences that must be aborted because of what the delta meant: its own (a stop string), or all that are open (a
  // failure, a client that was cut).
  [[nodiscard]] std::vector<SequenceId> on_delta(const step::TokenDelta& delta, Instant now);
  // Ends the job with an error: as the answer's status while nothing was sent, else as an error event and a connection
  // that closes (never a made-up finish reason). Returns the open sequences.
  [[nodiscard]] std::vector<SequenceId> fail(const openai::ApiError& error, Instant now);
  // The client has left: nothing more is sent.
  [[nodiscard]] std::vector<SequenceId> on_client_gone(Instant now);
  // Comments while nothing else is to say. Returns open sequences when the client proved to be gone.
  [[nodiscard]] std::vector<SequenceId> on_tick(Instant now);

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] std::uint64_t tokens_made() const { return tokens_made_; }
  // The status sent, for logs and metrics.
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] observability::RequestRecord record(Instant now) const;

 private:
  struct Choice {
    std::uint32_t prompt = 0;
    ChoiceText text;
    bool submitted = false;
    bool opened = false;           // its first event is made
    bool done = false;
    std::uint32_t events = 0;      // made, sent or skipped
    std::uint32_t events_skip = 0; // of a resumed stream: the client has them
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
  [[nodiscard]] step::Submission submission_of(std::size_t index, SequenceId id) const;
  void open_choice(std::size_t index, std::uint32_t cached_tokens);  // role or echo
  void take_prompt_logprobs(Choice& choice, const step::TokenDelta& delta);
  void take_token(std::size_t index, const step::TokenDelta& delta, const std::string& text, Instant now);
  void finish_choice(std::size_t index, const std::string& text);
  void finish_job(Instant now);
  void place_prompt(Choice& choice) const;  // text_offset of an echo's tokens
  // One event of a choice: `json` as a frame with its id, unless the client has it. `asked`: as long as the request made
  // it, or once a choice (HttpResponder::send_asked); each token's own event is not.
  void emit(std::size_t index, const std::string& json, bool asked);
  void send(std::string frame, bool asked);
  void open_stream();
  [[nodiscard]] std::vector<SequenceId> end_all(Instant now);
  [[nodiscard]] openai::Usage usage() const;
  [[nodiscard]] openai::Usage usage_so_far(const Choice& choice) const;  // continuous_usage: of one choice

  const RequestId id_;
  const GenerationRequest request_;
  const std::shared_ptr<http::HttpResponder> responder_;
  const JobEnvironment& environment_;
  const Instant arrived_;
  const openai::ChunkWriter chunks_;
  access::EventId event_;
  std::vector<Choice> choices_;
  SequenceId first_;
  bool stream_open_ = false;
  bool client_gone_ = false;
  bool ended_ = false;
  int status_ = 0;
  std::size_t open_choices_ = 0;
  std::uint64_t tokens_made_ = 0;
  std::vector<std::uint32_t> cached_;  // by prompt
  Instant last_sent_;
  Instant first_token_;
  Instant last_token_;
  std::uint32_t replica_ = 0;          // of the last token
  double prefill_s_ = -1;
  std::string finish_reason_;          // of the record
  std::string scratch_;                // frame in the making
};

}  // namespace herd::api
