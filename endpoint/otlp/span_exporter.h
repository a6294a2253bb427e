#pragma once
// SpanExporter: sends spans to a collector, on a thread of its own. Whoever hands them over never waits for that: what the collector does
// not take in time is dropped and counted (SpanOutbox decides). The log says once when it takes none, and once when it does again.

#include <memory>

#include "endpoint/otlp/otlp_settings.h"
#include "kernels/status.h"
#include "observability/event_log.h"
#include "observability/trace/span.h"
#include "observability/trace/span_outbox.h"
#include "runtime/clock.h"

namespace herd::otlp {

class SpanExporter final : public trace::SpanSink {
 public:
  // `log` outlives it. kMissing: no thread is to be had.
  [[nodiscard]] static Expected<std::unique_ptr<SpanExporter>> start(OtlpSettings settings, const trace::SpanOutboxConfig& config,
                                                                     observability::EventLog& log);
  ~SpanExporter() override;
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  void take(trace::Spans spans) override;
  [[nodiscard]] trace::SpanCounts counts() const override;
  // What waits, and what comes later, is sent without waiting for more, or for a collector that asked for time.
  void hurry();
  // Until nothing waits any more; false when the time came first.
  [[nodiscard]] bool await_sent(Instant until);
  // What waits is dropped, and so is what comes later. Repeatable. A thread that is stuck in looking up a name is left behind.
  void close();

 private:
  struct Shared;
  explicit SpanExporter(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  const std::shared_ptr<Shared> shared_;  // with the thread
};

}  // namespace herd::otlp
