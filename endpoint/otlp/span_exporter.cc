#include "endpoint/otlp/span_exporter.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "endpoint/otlp/otlp_answer_json.h"
#include "endpoint/otlp/otlp_body.h"
#include "kernels/process_limits.h"
#include "runtime/steady_clock.h"

namespace herd::otlp {
namespace {

constexpr double kLastGrace_s = 0.25;  // for the thread to notice that it is to end

bool is_busy(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

std::chrono::steady_clock::time_point time_of(Instant at) { return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(at.ns)); }

}  // namespace

struct SpanExporter::Shared {
  Shared(OtlpSettings to, const trace::SpanOutboxConfig& config, observability::EventLog& events)
      : settings(std::move(to)), log(&events), outbox(config) {}

  void run();
  void wait(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool is_closing() const;
  [[nodiscard]] Expected<http::PostedAnswer> send(const trace::Spans& batch) const;
  void judge(Expected<http::PostedAnswer> answer, trace::Spans& batch);
  void say(const std::string& trouble);

  const OtlpSettings settings;
  mutable std::mutex mutex;  // of the below
  std::condition_variable changed;
  observability::EventLog* log;  // null: its owner has left the thread behind
  trace::SpanOutbox outbox;
  bool in_hurry = false;
  bool closing = false;
  bool ended = false;
  bool in_trouble = false;
  std::thread thread;
};

void SpanExporter::Shared::run() {
  std::unique_lock lock(mutex);
  while (!closing) {
    trace::Spans batch = outbox.begin(steady_now(), in_hurry);
    if (batch.empty()) {
      wait(lock);
      continue;
    }
    lock.unlock();
    auto answer = send(batch);
    lock.lock();
    judge(std::move(answer), batch);
    lock.unlock();
    batch = {};  // not under the lock: whoever hands spans over does not wait for that
    lock.lock();
    changed.notify_all();
  }
  outbox.drop_all();
  ended = true;
  changed.notify_all();
}

void SpanExporter::Shared::wait(std::unique_lock<std::mutex>& lock) {
  if (const auto due = outbox.due()) {
    changed.wait_until(lock, time_of(*due));
  } else {
    changed.wait(lock);
  }
}

bool SpanExporter::Shared::is_closing() const {
  const std::scoped_lock lock(mutex);
  return closing;
}

Expected<http::PostedAnswer> SpanExporter::Shared::send(const trace::Spans& batch) const {
  http::Post post{.headers = settings.headers,
                  .body = trace_body(settings.resource, batch),
                  .timeout_s = settings.timeout_s,
                  .give_up = [this] { return is_closing(); }};
  post.headers.push_back({"Content-Type", "application/json"});
  post.headers.push_back({"User-Agent", "herd"});
  return http::post(settings.target, std::move(post));
}

void SpanExporter::Shared::judge(Expected<http::PostedAnswer> answer, trace::Spans& batch) {
  if (!answer) {
    outbox.on_refused();
    return say(answer.error().message());
  }
  if (answer->status / 100 == 2) {
    const TraceAnswer taken = read_trace_answer(answer->body);
    outbox.on_taken(taken.rejected);
    return say(taken.rejected == 0 ? "" : std::to_string(taken.rejected) + " spans are not wanted: " + taken.why);
  }
  if (is_busy(answer->status)) {
    outbox.on_busy(std::move(batch), answer->retry_after_s, steady_now());
  } else {
    outbox.on_refused();
  }
  say("the collector answers with status " + std::to_string(answer->status));
}

// `trouble`: empty where there is none.
void SpanExporter::Shared::say(const std::string& trouble) {
  if (in_trouble == !trouble.empty() || log == nullptr) return;
  in_trouble = !in_trouble;
  if (in_trouble) {
    log->write(observability::LogLevel::kWarning, "traces do not arrive", {{"endpoint", settings.target.url()}, {"reason", trouble}});
  } else {
    log->write(observability::LogLevel::kInfo, "traces arrive again", {{"endpoint", settings.target.url()}});
  }
}

Expected<std::unique_ptr<SpanExporter>> SpanExporter::start(OtlpSettings settings, const trace::SpanOutboxConfig& config,
                                                            observability::EventLog& log) {
  auto shared = std::make_shared<Shared>(std::move(settings), config, log);
  try {
    shared->thread = std::thread([shared] { shared->run(); });
  } catch (const std::system_error& error) {
    return fail(no_thread(error));
  }
  return std::unique_ptr<SpanExporter>(new SpanExporter(std::move(shared)));
}

SpanExporter::~SpanExporter() { close(); }

void SpanExporter::take(trace::Spans spans) {
  const std::scoped_lock lock(shared_->mutex);
  const auto before = shared_->outbox.due();
  shared_->outbox.add(std::move(spans), steady_now());
  if (shared_->ended) shared_->outbox.drop_all();
  const auto now = shared_->outbox.due();
  if (now && (shared_->in_hurry || !before || *now < *before)) shared_->changed.notify_all();
}

trace::SpanCounts SpanExporter::counts() const {
  const std::scoped_lock lock(shared_->mutex);
  return shared_->outbox.counts();
}

void SpanExporter::hurry() {
  const std::scoped_lock lock(shared_->mutex);
  shared_->in_hurry = true;
  shared_->changed.notify_all();
}

bool SpanExporter::await_sent(Instant until) {
  std::unique_lock lock(shared_->mutex);
  return shared_->changed.wait_until(lock, time_of(until), [this] { return shared_->outbox.waiting() == 0; });
}

void SpanExporter::close() {
  std::unique_lock lock(shared_->mutex);
  shared_->closing = true;
  shared_->changed.notify_all();
  const auto until = time_of(seconds_after(steady_now(), kLastGrace_s));
  const bool ended = shared_->changed.wait_until(lock, until, [this] { return shared_->ended; });
  if (!ended) shared_->log = nullptr;
  if (!shared_->thread.joinable()) return;
  std::thread thread = std::move(shared_->thread);
  lock.unlock();
  ended ? thread.join() : thread.detach();
}

}  // namespace herd::otlp
