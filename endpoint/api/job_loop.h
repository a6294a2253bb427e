#pragma once
// JobLoop: the thread that owns every open generation request. It admits them (AdmissionQueue), submits them when their turn
// has come, passes deltas to them, and ends them at their deadline, when their client leaves, or when the server stops.
//
//   arrive -> refused (503, 429) | waiting -> running -> ended
//
// Deltas come through one bounded mailbox; no step ever waits for a reader.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "endpoint/api/generation_job.h"
#include "actors/in_process_cluster.h"
#include "cluster/admission/admission_queue.h"

namespace herd::api {

// A request on its way to the loop. `gone` is set by the I/O thread when its client leaves.
struct Arrival {
  RequestId id;
  GenerationRequest request;
  std::shared_ptr<http::HttpResponder> responder;
  std::shared_ptr<std::atomic<bool>> gone;
  Instant arrived;
};

struct JobLoopConfig {
  admission::AdmissionConfig admission;
  std::size_t mailbox_deltas_max = std::size_t{1} << 16;  // beyond it a sequence loses its reader
  std::function<void(const GenerationJob&, Instant now)> on_end;  // on the loop's thread; may be empty
};

class JobLoop {
 public:
  // `cluster` and `environment` outlive it.
  JobLoop(JobLoopConfig config, actors::InProcessCluster& cluster, const JobEnvironment& environment);
  ~JobLoop();  // stop()
  JobLoop(const JobLoop&) = delete;
  JobLoop& operator=(const JobLoop&) = delete;

  // Any thread.
  void arrive(Arrival arrival);
  void client_gone(RequestId id);
  void set_tenant(admission::TenantId tenant, const admission::TenantLimits& limits);
  // Before a body is read: would any request be refused now?
  [[nodiscard]] std::optional<admission::AdmissionRefusal> refuses_now(admission::TenantId tenant) const;
  [[nodiscard]] admission::AdmissionStats admission() const;
  [[nodiscard]] std::size_t open_jobs() const { return open_jobs_; }
  // Seconds since the last token, or since something began to run; nullopt when nothing runs.
  [[nodiscard]] std::optional<double> seconds_without_token() const;
  // Waits until no job is open; false when `timeout` passed first.
  [[nodiscard]] bool await_empty(std::chrono::milliseconds timeout);
  // Ends open jobs with `why` (503) and the thread. Repeatable.
  void stop();

  static Instant now();

 private:
  struct Gone {
    RequestId id;
  };
  // Most are deltas: an arrival, several times as large, lies elsewhere.
  using Event = std::variant<std::unique_ptr<Arrival>, Gone, step::TokenDelta>;
  class Sink;

  bool post_delta(const step::TokenDelta& delta);
  bool post(Event event);  // false: stopped
  void run();
  void on_arrival(Arrival& arrival);
  void on_delta(const step::TokenDelta& delta);
  void on_gone(RequestId id);
  void on_timer();
  void start_jobs();
  void abort(const std::vector<SequenceId>& sequences);
  void settle(RequestId id);  // forgets a job that has ended
  void refuse(GenerationJob& job, const admission::AdmissionRefusal& refusal);

  JobLoopConfig config_;
  actors::InProcessCluster& cluster_;
  const JobEnvironment& environment_;
  std::shared_ptr<Sink> sink_;

  mutable std::mutex admission_mutex_;
  admission::AdmissionQueue admission_;

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Event> mailbox_;
  std::size_t mailbox_deltas_ = 0;
  bool stop_ = false;

  // The loop's thread only.
  std::map<RequestId, std::unique_ptr<GenerationJob>> jobs_;
  std::map<SequenceId, GenerationJob*> sequences_;
  std::uint64_t next_sequence_ = 1;
  std::int64_t next_timer_ns_ = 0;

  std::atomic<std::size_t> open_jobs_{0};
  std::atomic<std::size_t> running_sequences_{0};
  std::atomic<std::int64_t> last_progress_ns_{0};
  std::condition_variable emptied_;
  std::thread thread_;
};

}  // namespace herd::api
