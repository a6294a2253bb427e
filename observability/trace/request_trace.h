#pragma once
// RequestTrace: one sampled request from its arrival to its end, as the spans that tell of it. Pure: times are handed in.
//
//   server span of the request
//     ├─ read      to its parsed, tokenized form         ├─ queue     until a replica computes it
//     ├─ prefill   to its first token                    ├─ decode    to its last one
//     └─ attempt   of a choice on a replica, one each; it links to the attempt before it, whose tokens it computes again
//
// Queue, prefill and decode are those of vllm:request_queue_time_seconds and its like: of the request's first token.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/gateway/gateway_effects.h"
#include "cluster/routing/replica_generation.h"
#include "observability/trace/span.h"
#include "observability/trace/trace_context.h"
#include "runtime/clock.h"
#include "runtime/step/submission.h"

namespace herd::trace {

inline constexpr std::size_t kTracedAttemptsMax = 128;  // of a request; more are only counted

struct RequestTraceBegin {
  TraceContext context;  // the request's own: `span` is the server span
  SpanId parent;         // who called; all zero: nobody said
  std::uint64_t id_seed = 0;  // of the other spans' ids: drawn
  Instant arrived;
  std::int64_t arrived_unix_ns = 0;
  Attributes attributes{};  // of the server span, as far as they are known by then
};

// What the server span says of the whole request.
struct RequestSpan {
  std::string name;
  Attributes attributes{};
  SpanStatus status = SpanStatus::kUnset;
  std::string status_message{};
  std::string_view open_attempts = "finished";  // how those ended that nobody has ended yet
};

class RequestTrace {
 public:
  explicit RequestTrace(RequestTraceBegin begin) : begin_(std::move(begin)) {}

  [[nodiscard]] const TraceContext& context() const { return begin_.context; }

  void on_read(Instant now) { read_ = now; }
  // Its turn has come: its choices are handed over.
  void on_started(Instant now) { started_ = now; }
  // An attempt of the request's `choice` goes to a replica.
  void on_attempt(std::uint32_t choice, const gateway::RunOn& run, Instant now);
  void on_attempt_cut(std::uint32_t choice, const gateway::AttemptCut& cut, Instant now);
  void on_delta(std::uint32_t choice, const step::TokenDelta& delta, Instant now);
  // The choice is complete without a terminal delta (a stop string).
  void on_choice_stopped(std::uint32_t choice, Instant now);

  // Of the choices that ended well, in their order.
  [[nodiscard]] std::vector<std::string> finish_reasons() const;
  // From arrival to the first token of any choice; nullopt: there was none.
  [[nodiscard]] std::optional<double> first_token_s() const;
  // All of it, the server span first. The last call.
  [[nodiscard]] Spans end(RequestSpan request, Instant now);

 private:
  struct Attempt {
    std::uint32_t choice = 0;
    SpanId id;
    std::optional<SpanId> before;  // of the same choice
    routing::ReplicaGeneration on;
    std::uint32_t number = 0;
    std::uint32_t replayed = 0;  // output tokens that it was sent with
    Instant begin;
    std::optional<Instant> end{};
    std::optional<Instant> first_token{};
    std::uint32_t tokens = 0;
    std::uint32_t cached_tokens = 0;
    double queued_s = 0;
    double prefill_s = 0;
    std::uint32_t preemptions = 0;
    std::string_view outcome{};
    bool failed = false;
    std::string why{};
  };
  [[nodiscard]] SpanId next_id();
  [[nodiscard]] std::int64_t unix_ns(Instant at) const { return begin_.arrived_unix_ns + (at.ns - begin_.arrived.ns); }
  [[nodiscard]] Attempt* open_attempt(std::uint32_t choice);
  void end_attempt(std::uint32_t choice, std::string_view outcome, Instant now);
  [[nodiscard]] Span child(std::string name, SpanId id, Instant from, Instant to) const;
  void add_phases(Spans& spans, Instant now);
  [[nodiscard]] Span span_of(const Attempt& attempt) const;

  const RequestTraceBegin begin_;
  std::uint64_t ids_ = 0;  // given out
  std::optional<Instant> read_, started_, first_token_;
  Instant last_token_;
  double prefill_s_ = 0;  // before the first token
  std::vector<Attempt> attempts_;
  std::map<std::uint32_t, std::size_t> last_;  // choice -> its last attempt
  std::map<std::uint32_t, std::string_view> finish_reasons_;  // by choice
  std::int64_t left_out_ = 0;                  // attempts beyond kTracedAttemptsMax
};

}  // namespace herd::trace
