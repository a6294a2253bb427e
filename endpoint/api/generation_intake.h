#pragma once
// GenerationIntake: completion and chat requests on their way from their bytes to the cluster: read, given their times and
// their identity, handed over; and what is written down when they end. intake() runs on the TextPool.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "actors/client/cluster_client.h"
#include "endpoint/access/event_id.h"
#include "endpoint/api/call.h"
#include "endpoint/api/field_notices.h"
#include "endpoint/api/generation_job.h"
#include "endpoint/api/request_reader.h"
#include "endpoint/api/request_tracing.h"
#include "observability/event_log.h"

namespace herd::api {

// What may change while requests are open.
struct IntakeSettings {
  double request_timeout_s = 600;  // without X-Request-Timeout
  double request_timeout_max_s = 3600;
  double keep_alive_s = 10;        // silence of a stream before a comment
  bool log_requests = false;
};

struct IntakeConfig {
  IntakeSettings settings;
  std::vector<TokenId> eos_ids;
  std::function<std::int64_t()> unix_time;                    // seconds
  std::function<void(std::span<std::uint8_t>)> random_bytes;  // unpredictable
  TracingConfig tracing;
};

class GenerationIntake {
 public:
  // All references outlive it, and the client's gateway has ended before it goes.
  GenerationIntake(IntakeConfig config, const RequestReader& reader, const access::EventIdCodec& event_ids,
                   const access::ServedNumerics& numerics, actors::ClusterClient& client,
                   observability::ServingMetrics& metrics, observability::EventLog& log);

  // Timeouts of requests that come from now on, comments and lines of all. Any thread.
  void set(const IntakeSettings& settings);

  // A request that is on its way in, and whether its client has left since. Set on an I/O thread.
  struct Ticket {
    RequestId id;
    std::shared_ptr<std::atomic<bool>> gone = std::make_shared<std::atomic<bool>>(false);
  };
  [[nodiscard]] Ticket new_ticket() { return {.id = RequestId(next_request_++)}; }
  void client_gone(const Ticket& ticket);
  // Answers what cannot be run; the rest is the cluster's from here on.
  void intake(const Call& call, const http::HttpRequest& request, const Ticket& ticket);

  [[nodiscard]] std::int64_t unix_time() const { return config_.unix_time(); }  // seconds

  // Unknown fields have no effect: the answer says so each time, the log once.
  void name_ignored(const std::vector<std::string>& fields, std::vector<http::HttpHeader>& headers);

  // Waits until no request is open; false when `timeout` passed first.
  [[nodiscard]] bool await_none_open(std::chrono::milliseconds timeout);

 private:
  void run(const Call& call, const http::HttpRequest& request, const Ticket& ticket, TraceStart traced);
  [[nodiscard]] openai::ApiExpected<GenerationRequest> read(const Call& call, const http::HttpRequest& request);
  // What Last-Event-ID says, if it is one of ours. The prompt of a chat depends on when its stream was accepted, so this comes
  // before the body.
  [[nodiscard]] std::optional<access::EventId> last_event(const Call& call, const http::HttpRequest& request) const;
  // Who this answer is: fresh and accepted at this time, or the one that Last-Event-ID goes on with.
  [[nodiscard]] std::optional<openai::ApiError> identify(const http::HttpRequest& request, std::optional<access::EventId> last,
                                                         std::int64_t accepted, GenerationRequest& generation) const;
  [[nodiscard]] std::optional<openai::ApiError> resume(std::optional<access::EventId> last, GenerationRequest& generation) const;
  [[nodiscard]] openai::ApiExpected<double> timeout_of(const http::HttpRequestHead& head) const;
  void on_end(const GenerationJob& job, Instant now);
  [[nodiscard]] IntakeSettings settings() const;
  void add_open(int requests);

  const IntakeConfig config_;
  const RequestReader& reader_;
  const access::EventIdCodec& event_ids_;
  const access::ServedNumerics& numerics_;
  actors::ClusterClient& client_;
  observability::ServingMetrics& metrics_;
  observability::EventLog& log_;
  const CallAnswers answers_;
  const RequestTracing tracing_;
  JobEnvironment environment_;
  std::atomic<std::uint64_t> next_request_{1};
  std::atomic<bool> said_begins_twice_{false};
  mutable std::mutex mutex_;  // of the below
  IntakeSettings settings_;
  FieldNotices notices_;
  std::int64_t open_ = 0;  // requests
  std::condition_variable emptied_;
};

}  // namespace herd::api
