#include "cluster/admission/work_meter.h"

#include <algorithm>
#include <cmath>

namespace herd::admission {
namespace {

constexpr double kFadeSeconds = 10;
// Less says nothing: the first token of a first request may come after a millisecond or a minute.
constexpr double kBusySecondsMin = 1;
// Until the first request is done; a chat answer of a few sentences.
constexpr double kOutputPerSequenceAtStart = 128;
// Weight of the newest request in the forecasts: the last sixteen or so count.
constexpr double kNewestShare = 1.0 / 16;

}  // namespace

WorkMeter::WorkMeter() : output_per_sequence_(kOutputPerSequenceAtStart) {}

void WorkMeter::advance(Instant now) {
  if (busy_) pending_s_ += std::max(0.0, seconds_between(at_, now));
  at_ = std::max(at_, now);
}

void WorkMeter::set_busy(bool busy, Instant now) {
  advance(now);
  busy_ = busy;
}

void WorkMeter::on_tokens(double tokens, Instant now) {
  advance(now);
  if (pending_s_ > 0) {
    const double kept = std::exp(-pending_s_ / kFadeSeconds);
    const double weight = kFadeSeconds * (1 - kept);  // the integral of what each moment of pending_s_ still weighs
    tokens *= weight / pending_s_;
    tokens_ *= kept;
    busy_s_ = busy_s_ * kept + weight;
    pending_s_ = 0;
  }
  tokens_ = std::max(0.0, tokens_ + tokens);
}

std::optional<double> WorkMeter::tokens_per_s() const {
  if (busy_s_ < kBusySecondsMin || tokens_ <= 0) return std::nullopt;
  return tokens_ / busy_s_;
}

void WorkMeter::on_request(std::uint64_t given, std::uint64_t computed, std::uint32_t sequences, std::uint64_t output) {
  if (given > 0) {
    const double share = std::min(1.0, static_cast<double>(computed) / static_cast<double>(given));
    computed_share_ += kNewestShare * (share - computed_share_);
  }
  const double per_sequence = static_cast<double>(output) / std::max<std::uint32_t>(1, sequences);
  output_per_sequence_ += kNewestShare * (per_sequence - output_per_sequence_);
}

double WorkMeter::forecast_prompt(std::uint64_t prompt) const { return static_cast<double>(prompt) * computed_share_; }

double WorkMeter::forecast_output(std::uint32_t sequences, std::uint64_t output_max) const {
  return std::min(static_cast<double>(output_max), output_per_sequence_ * sequences);
}

}  // namespace herd::admission
