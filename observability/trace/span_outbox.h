#pragma once
// SpanOutbox: spans that wait to be sent, in batches, and what becomes of a batch that was not taken. Pure: no clock, no network.
//   add ──> waiting ──begin──> under way ──on_taken──> exported
//                                │  ^  └──on_refused──> failed
//                       on_busy  v  │ begin, after a while, tries_max times in all
//                          waits to be sent again

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "observability/trace/span.h"
#include "runtime/clock.h"

namespace herd::trace {

struct SpanOutboxConfig {
  std::size_t spans_max = 4096;   // waiting and under way; the spans of a request that do not fit are dropped
  std::size_t batch_max = 512;    // spans of a batch; one request's are never parted
  double delay_s = 1;             // a batch that is not full waits for more
  int tries_max = 5;              // of one batch
  double retry_s = 1;             // after the first try; doubled after each
  double retry_max_s = 30;        // also where the collector asks for more
};

class SpanOutbox {
 public:
  explicit SpanOutbox(const SpanOutboxConfig& config) : config_(config) {}

  void add(Spans spans, Instant now);
  // When begin() has something to do; nullopt: nothing waits.
  [[nodiscard]] std::optional<Instant> due() const;
  // The batch to be sent; the caller says what became of it before it asks again. Empty: not now. `hurry`: whatever waits goes at once.
  [[nodiscard]] Spans begin(Instant now, bool hurry);
  void on_taken(std::uint64_t rejected);  // of these the collector did not want so many
  void on_busy(Spans batch, std::optional<double> retry_after_s, Instant now);
  void on_refused();
  // What waits is given up.
  void drop_all();

  [[nodiscard]] std::size_t waiting() const { return waiting_spans_ + batch_.size() + under_way_; }
  [[nodiscard]] const SpanCounts& counts() const { return counts_; }

 private:
  struct Waiting {
    Spans spans;
    Instant since;
  };
  const SpanOutboxConfig config_;
  std::deque<Waiting> waiting_;
  std::size_t waiting_spans_ = 0;
  Spans batch_;        // to be sent again
  Instant retry_at_;   // then
  int tries_ = 0;      // of it, or of what is under way
  std::size_t under_way_ = 0;
  SpanCounts counts_;
};

}  // namespace herd::trace
