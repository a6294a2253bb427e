#include "cluster/admission/tenant_quota.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace herd::admission {
namespace {

using Reason = AdmissionRefusal::Reason;

// Of a key's weight: whoever has work here is served, however much of it there is elsewhere.
constexpr double kWeightShareMin = 1e-3;

// "60", "0.5": limits as their owner wrote them.
std::string number(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

void TenantQuota::move(Limit& limit, double per_minute, const routing::BucketShare& share, Instant now) {
  limit.bucket.move(share.moved, {per_minute, limit.share}, {per_minute, share.share}, now);
  limit.share = share.share;
}

// A bucket that nobody has used is full, whatever its share.
void TenantQuota::share_anew(Limit& limit, double per_minute, double share, Instant now) {
  if (limit.bucket.used()) limit.bucket.move(0, {per_minute, limit.share}, {per_minute, share}, now);
  limit.share = share;
}

void TenantQuota::set_part(double part, Instant now) {
  if (shared_) return;
  share_anew(requests_, limits_.requests_per_minute, part, now);
  share_anew(prompts_, limits_.prompt_tokens_per_minute, part, now);
  share_anew(outputs_, limits_.output_tokens_per_minute, part, now);
  in_flight_share_ = part;
}

void TenantQuota::set_share(const routing::TenantShare& share, Instant now) {
  move(requests_, limits_.requests_per_minute, share.requests, now);
  move(prompts_, limits_.prompt_tokens_per_minute, share.prompt_tokens, now);
  move(outputs_, limits_.output_tokens_per_minute, share.output_tokens, now);
  in_flight_share_ = share.in_flight;
  weight_share_ = std::max(share.weight, kWeightShareMin);
  shared_ = true;
}

void TenantQuota::forget_share(double part, Instant now) {
  shared_ = false;
  weight_share_ = 1;
  set_part(part, now);
}

std::uint32_t TenantQuota::in_flight_max() const {
  if (limits_.in_flight_max == 0 || in_flight_share_ >= 1) return limits_.in_flight_max;
  const double own = limits_.in_flight_max * in_flight_share_;
  // A share that was given is of whole requests; what nobody has given is a part, and one request is let in to be told of.
  return shared_ ? static_cast<std::uint32_t>(std::llround(own)) : std::max(1U, static_cast<std::uint32_t>(own));
}

std::optional<AdmissionRefusal> TenantQuota::refuses(double prompt_tokens, double seconds_per_request, Instant now) const {
  if (limits_.in_flight_max > 0 && in_flight_ >= in_flight_max()) {
    const bool alone = in_flight_ >= limits_.in_flight_max;
    return refusal(Reason::kInFlight, true, seconds_per_request,
                   std::to_string(alone ? in_flight_ : limits_.in_flight_max) + " requests of this key are in flight" +
                       (alone ? "" : " over all gateways") + ", the most it may have");
  }
  if (const double wait = requests_.bucket.seconds_until(1, requests(), now); wait > 0)
    return refusal(Reason::kRequestRate, true, wait,
                   "this key may send " + number(limits_.requests_per_minute) + " requests per minute");
  if (const double wait = prompts_.bucket.seconds_until(prompt_tokens, prompts(), now); wait > 0)
    return refusal(Reason::kTokenRate, true, wait,
                   "this key may send " + number(limits_.prompt_tokens_per_minute) + " prompt tokens per minute");
  if (outputs_.bucket.level(outputs(), now) <= 0)
    return refusal(Reason::kTokenRate, true, outputs_.bucket.seconds_until(0, outputs(), now),
                   "this key may get " + number(limits_.output_tokens_per_minute) + " output tokens per minute");
  return std::nullopt;
}

void TenantQuota::on_refused(const AdmissionRefusal& why, const AskedTokens& asked) {
  requests_.asked += 1;
  prompts_.asked += asked.prompt > 0 ? asked.prompt : last_prompt_tokens_;
  outputs_.asked += asked.output;
  if (why.reason == Reason::kInFlight) ++in_flight_refused_;
}

void TenantQuota::on_taken(std::uint64_t prompt_tokens, std::uint32_t sequences, Instant now) {
  last_prompt_tokens_ = static_cast<double>(prompt_tokens);
  requests_.asked += 1;
  prompts_.asked += last_prompt_tokens_;
  requests_.bucket.take(1, requests(), now);
  prompts_.bucket.take(last_prompt_tokens_, prompts(), now);
  ++in_flight_;
  sequences_ += sequences;
}

void TenantQuota::on_output(double tokens, Instant now) {
  outputs_.asked += tokens;
  outputs_.bucket.take(tokens, outputs(), now);
}

void TenantQuota::on_given_back(std::uint64_t prompt_tokens, Instant now) {
  requests_.bucket.give_back(1, requests(), now);
  prompts_.bucket.give_back(static_cast<double>(prompt_tokens), prompts(), now);
}

void TenantQuota::on_ended(std::uint32_t sequences) {
  --in_flight_;
  sequences_ -= sequences;
}

routing::BucketDemand TenantQuota::take_demand(Limit& limit, double per_minute, Instant now) {
  const double held = per_minute > 0 ? limit.bucket.level({per_minute, limit.share}, now) : 0;
  return {std::exchange(limit.asked, 0), held};
}

routing::TenantDemand TenantQuota::take_demand(Instant now) {
  routing::TenantDemand demand;
  demand.weight = limits_.weight;
  demand.requests = take_demand(requests_, limits_.requests_per_minute, now);
  demand.prompt_tokens = take_demand(prompts_, limits_.prompt_tokens_per_minute, now);
  demand.output_tokens = take_demand(outputs_, limits_.output_tokens_per_minute, now);
  demand.in_flight = in_flight_;
  demand.in_flight_refused = std::exchange(in_flight_refused_, 0);
  demand.in_flight_max = limits_.in_flight_max;
  demand.sequences = sequences_;
  return demand;
}

}  // namespace herd::admission
