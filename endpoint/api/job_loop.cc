#include "endpoint/api/job_loop.h"

#include <utility>

#include "endpoint/api/answers.h"
#include "runtime/steady_clock.h"

namespace herd::api {
namespace {

constexpr std::chrono::milliseconds kTimer{50};  // deadlines, keep-alive comments: as coarse as this
constexpr const char* kShuttingDown = "the server is shutting down";
constexpr const char* kWaitedTooLong = "the request waited in the queue beyond its time limit";

openai::ApiError error_of(const admission::AdmissionRefusal& refusal) {
  return refusal.quota ? openai::quota(refusal.message, refusal.retry_after_s)
                       : openai::overloaded(refusal.message, refusal.retry_after_s);
}

}  // namespace

// Shared with the cluster, which may hold it a little longer than the loop lives.
class JobLoop::Sink final : public actors::DeltaSink {
 public:
  explicit Sink(JobLoop& loop) : loop_(&loop) {}
  bool push(const step::TokenDelta& delta) override {
    const std::scoped_lock lock(mutex_);
    return loop_ == nullptr || loop_->post_delta(delta);
  }
  void close() {
    const std::scoped_lock lock(mutex_);
    loop_ = nullptr;
  }

 private:
  std::mutex mutex_;
  JobLoop* loop_;
};

JobLoop::JobLoop(JobLoopConfig config, actors::InProcessCluster& cluster, const JobEnvironment& environment)
    : config_(std::move(config)),
      cluster_(cluster),
      environment_(environment),
      sink_(std::make_shared<Sink>(*this)),
      admission_(config_.admission),
      thread_([this] { run(); }) {}

JobLoop::~JobLoop() { stop(); }

Instant JobLoop::now() { return steady_now(); }

bool JobLoop::post(Event event) {
  {
    const std::scoped_lock lock(mutex_);
    if (stop_) return false;
    mailbox_.push_back(std::move(event));
  }
  arrived_.notify_one();
  return true;
}

bool JobLoop::post_delta(const step::TokenDelta& delta) {
  bool first = false;
  {
    const std::scoped_lock lock(mutex_);
    if (stop_) return true;
    // A terminal delta is the last of its sequence: always taken.
    if (mailbox_deltas_ >= config_.mailbox_deltas_max && delta.finish == step::FinishReason::kNone) return false;
    first = mailbox_.empty();
    mailbox_.push_back(delta);
    ++mailbox_deltas_;
  }
  if (first) arrived_.notify_one();
  return true;
}

void JobLoop::arrive(Arrival arrival) {
  const auto responder = arrival.responder;
  auto headers = arrival.request.headers;
  ++open_jobs_;
  if (post(std::make_unique<Arrival>(std::move(arrival)))) return;
  --open_jobs_;
  responder->respond(error_answer(openai::overloaded(kShuttingDown, 1), std::move(headers)));
}

void JobLoop::client_gone(RequestId id) { (void)post(Gone{id}); }

void JobLoop::set_tenant(admission::TenantId tenant, const admission::TenantLimits& limits) {
  const std::scoped_lock lock(admission_mutex_);
  admission_.set_tenant(tenant, limits);
}

std::optional<admission::AdmissionRefusal> JobLoop::refuses_now(admission::TenantId tenant) const {
  const std::scoped_lock lock(admission_mutex_);
  return admission_.refuses_now(tenant, now());
}

admission::AdmissionStats JobLoop::admission() const {
  const std::scoped_lock lock(admission_mutex_);
  return admission_.stats();
}

std::optional<double> JobLoop::seconds_without_token() const {
  if (running_sequences_ == 0) return std::nullopt;
  return static_cast<double>(now().ns - last_progress_ns_) * 1e-9;
}

bool JobLoop::await_empty(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return emptied_.wait_for(lock, timeout, [this] { return open_jobs_ == 0 || stop_; }) && open_jobs_ == 0;
}

void JobLoop::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable()) thread_.join();
  sink_->close();
}

void JobLoop::run() {
  std::vector<Event> events;
  for (bool stopping = false; !stopping;) {
    {
      std::unique_lock lock(mutex_);
      arrived_.wait_for(lock, kTimer, [this] { return stop_ || !mailbox_.empty(); });
      events.swap(mailbox_);
      mailbox_deltas_ = 0;
      stopping = stop_;
    }
    for (Event& event : events) {
      if (auto* delta = std::get_if<step::TokenDelta>(&event)) {
        on_delta(*delta);
      } else if (auto* arrival = std::get_if<std::unique_ptr<Arrival>>(&event)) {
        on_arrival(**arrival);
      } else {
        on_gone(std::get<Gone>(event).id);
      }
    }
    events.clear();
    if (now().ns >= next_timer_ns_) on_timer();
    start_jobs();
  }
  while (!jobs_.empty()) {
    GenerationJob& job = *jobs_.begin()->second;
    abort(job.fail(openai::overloaded(kShuttingDown, 1), now()));
    settle(job.id());
  }
}

void JobLoop::on_arrival(Arrival& arrival) {
  const Instant at = now();
  auto made = std::make_unique<GenerationJob>(arrival.id, std::move(arrival.request), std::move(arrival.responder),
                                              environment_, arrival.arrived);
  GenerationJob& job = *made;
  jobs_.emplace(job.id(), std::move(made));
  if (*arrival.gone) {
    abort(job.on_client_gone(at));
    return settle(job.id());
  }
  // Its time is over before it could wait here: no matter of the machine's load, so no refusal of the admission.
  if (at >= job.deadline()) {
    abort(job.fail(openai::timed_out(kWaitedTooLong), at));
    return settle(job.id());
  }
  admission::AdmissionRequest request;
  request.id = job.id();
  request.tenant = job.request().tenant;
  request.sequences = static_cast<std::uint32_t>(job.request().choices());
  request.prompt_tokens = job.request().prompt_tokens();
  request.output_tokens_max = job.request().output_tokens_max();
  request.priority = job.request().fields.priority;
  request.deadline = job.deadline();
  // The bound is of those that must wait: what can run leaves the queue before the next one is judged.
  start_jobs();
  std::optional<admission::AdmissionRefusal> refusal;
  {
    const std::scoped_lock lock(admission_mutex_);
    refusal = admission_.on_arrival(request, at);
  }
  if (refusal) return refuse(job, *refusal);
  start_jobs();
}

void JobLoop::refuse(GenerationJob& job, const admission::AdmissionRefusal& refusal) {
  environment_.metrics->on_refused(admission::refusal_name(refusal.reason));
  abort(job.fail(error_of(refusal), now()));
  settle(job.id());
}

void JobLoop::start_jobs() {
  const Instant at = now();
  std::vector<RequestId> startable;
  {
    const std::scoped_lock lock(admission_mutex_);
    (void)admission_.take_expired(at);  // on_timer ends their jobs
    startable = admission_.take_startable(at);
  }
  for (const RequestId id : startable) {
    GenerationJob& job = *jobs_.at(id);
    const SequenceId first{next_sequence_};
    next_sequence_ += job.request().choices();
    if (sequences_.empty()) last_progress_ns_ = at.ns;
    for (step::Submission& submission : job.start(first)) {
      sequences_.emplace(submission.sequence, &job);
      cluster_.submit(std::move(submission), sink_);
    }
    if (job.ended()) settle(id);
  }
  running_sequences_ = sequences_.size();
}

void JobLoop::on_delta(const step::TokenDelta& delta) {
  const auto found = sequences_.find(delta.sequence);
  if (found == sequences_.end()) return;  // aborted, its last delta
  GenerationJob& job = *found->second;
  const Instant at = now();
  if (delta.finish != step::FinishReason::kNone) sequences_.erase(found);
  if (delta.has_token) {
    last_progress_ns_ = at.ns;
    const std::scoped_lock lock(admission_mutex_);
    admission_.on_output(job.id(), 1, at);
  }
  abort(job.on_delta(delta, at));
  if (job.ended()) settle(job.id());
}

void JobLoop::on_gone(RequestId id) {
  const auto job = jobs_.find(id);
  if (job == jobs_.end()) return;
  abort(job->second->on_client_gone(now()));
  settle(id);
}

void JobLoop::on_timer() {
  const Instant at = now();
  next_timer_ns_ = at.ns + std::chrono::nanoseconds(kTimer).count();
  std::vector<RequestId> over;
  for (const auto& [id, job] : jobs_) {
    if (at >= job->deadline()) {
      abort(job->fail(openai::timed_out(job->started() ? "the request did not finish within its time limit"
                                                       : kWaitedTooLong),
                      at));
    } else {
      abort(job->on_tick(at));
    }
    if (job->ended()) over.push_back(id);
  }
  for (const RequestId id : over) settle(id);
}

void JobLoop::abort(const std::vector<SequenceId>& sequences) {
  for (const SequenceId sequence : sequences) {
    sequences_.erase(sequence);
    cluster_.abort(sequence);
  }
}

void JobLoop::settle(RequestId id) {
  const auto job = jobs_.find(id);
  const Instant at = now();
  {
    const std::scoped_lock lock(admission_mutex_);
    // Prompt tokens that the cache served cost nothing.
    const auto record = job->second->record(at);
    const std::uint64_t computed = record.queue_s < 0 ? 0 : record.prompt_tokens - record.cached_tokens;
    admission_.on_finished(id, computed, job->second->tokens_made(), at);
  }
  if (config_.on_end) config_.on_end(*job->second, at);
  jobs_.erase(job);
  {
    const std::scoped_lock lock(mutex_);
    --open_jobs_;
  }
  if (open_jobs_ == 0) emptied_.notify_all();
}

}  // namespace herd::api
