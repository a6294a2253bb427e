#include "observability/trace/span_outbox.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace herd::trace {

void SpanOutbox::add(Spans spans, Instant now) {
  if (spans.empty()) return;
  if (waiting() + spans.size() > config_.spans_max) {
    counts_.dropped += spans.size();
    return;
  }
  waiting_spans_ += spans.size();
  waiting_.push_back({std::move(spans), now});
}

std::optional<Instant> SpanOutbox::due() const {
  if (!batch_.empty()) return retry_at_;
  if (waiting_.empty()) return std::nullopt;
  const Instant since = waiting_.front().since;
  return waiting_spans_ >= config_.batch_max ? since : seconds_after(since, config_.delay_s);
}

Spans SpanOutbox::begin(Instant now, bool hurry) {
  const auto at = due();
  if (!at || (!hurry && *at > now)) return {};
  Spans batch = std::exchange(batch_, {});
  if (batch.empty()) tries_ = 0;
  while (tries_ == 0 && !waiting_.empty() && (batch.empty() || batch.size() + waiting_.front().spans.size() <= config_.batch_max)) {
    Spans& next = waiting_.front().spans;
    waiting_spans_ -= next.size();
    batch.insert(batch.end(), std::move_iterator(next.begin()), std::move_iterator(next.end()));
    waiting_.pop_front();
  }
  ++tries_;
  under_way_ = batch.size();
  return batch;
}

void SpanOutbox::on_taken(std::uint64_t rejected) {
  const std::uint64_t failed = std::min<std::uint64_t>(rejected, under_way_);
  counts_.failed += failed;
  counts_.exported += under_way_ - failed;
  under_way_ = 0;
}

void SpanOutbox::on_busy(Spans batch, std::optional<double> retry_after_s, Instant now) {
  if (tries_ >= config_.tries_max) return on_refused();
  const double wait_s = retry_after_s.value_or(std::ldexp(config_.retry_s, tries_ - 1));
  retry_at_ = seconds_after(now, std::clamp(wait_s, 0.0, config_.retry_max_s));
  batch_ = std::move(batch);
  under_way_ = 0;
}

void SpanOutbox::on_refused() {
  counts_.failed += under_way_;
  under_way_ = 0;
}

void SpanOutbox::drop_all() {
  counts_.dropped += waiting();
  batch_.clear();
  under_way_ = 0;
  waiting_.clear();
  waiting_spans_ = 0;
}

}  // namespace herd::trace
