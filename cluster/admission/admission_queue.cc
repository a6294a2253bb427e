#include "cluster/admission/admission_queue.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/check.h"

namespace herd::admission {
namespace {

// Costs stay exact as doubles when thousands are summed.
constexpr double kCostMax = 1e12;
// Of a request that has not been read: as much as others made.
constexpr std::uint64_t kUnknownOutput = std::numeric_limits<std::uint64_t>::max();

using Reason = AdmissionRefusal::Reason;

}  // namespace

Status AdmissionConfig::validate() const {
  if (queue_requests_max == 0) return usage_error("the queue must hold at least 1 request");
  if (queue_tokens_max == 0) return usage_error("the queue must hold at least 1 token");
  if (running_sequences_max == 0) return usage_error("at least 1 sequence must be able to run");
  if (gateways == 0) return usage_error("a cluster has at least 1 gateway");
  return {};
}

AdmissionQueue::AdmissionQueue(const AdmissionConfig& config)
    : config_(config), quotas_(config.gateways, config.running_sequences_max) {
  HERD_CHECK(config.validate().ok(), "an admission queue has room");
}

void AdmissionQueue::set_bounds(std::size_t queue_requests_max, std::uint64_t queue_tokens_max) {
  config_.queue_requests_max = queue_requests_max;
  config_.queue_tokens_max = queue_tokens_max;
  HERD_CHECK(config_.validate().ok(), "an admission queue has room");
  kept_requests_ = stats_.waiting;
  kept_tokens_ = stats_.waiting_tokens;
}

void AdmissionQueue::set_tenant(TenantId id, const TenantLimits& limits) {
  HERD_CHECK(limits.weight > 0 && std::isfinite(limits.weight), "a tenant's weight is positive");
  quotas_.set_limits(id, limits);
}

double AdmissionQueue::seconds_for(double tokens) const {
  const auto rate = meter_.tokens_per_s();
  return rate ? tokens / *rate : 1.0;
}

std::optional<AdmissionRefusal> AdmissionQueue::refuse_quota(TenantId id, const AskedTokens& asked, Instant now) {
  quotas_.expire(now);
  const TenantQuota& of = quotas_.of(id);
  // One of its requests ends, on the whole, each time this much is done.
  const double seconds = seconds_for(order_.cost_waiting() / std::max(1U, of.in_flight()));
  auto refused = of.refuses(asked.prompt, seconds, now);
  if (refused) quotas_.on_refused(id, *refused, asked);
  return refused;
}

std::optional<AdmissionRefusal> AdmissionQueue::refuse_full(std::uint64_t prompt_tokens) const {
  const auto refuse = [this](Reason reason, const std::string& what) {
    return refusal(reason, false, seconds_for(order_.cost_waiting()), "overloaded: " + what + " are waiting");
  };
  const std::size_t waiting = stats_.waiting + parked_.requests;
  const std::uint64_t tokens = stats_.waiting_tokens + parked_.tokens;
  if (waiting >= config_.queue_requests_max)
    return refuse(Reason::kQueueRequests, std::to_string(waiting) + " requests");
  if (waiting > 0 && (tokens >= config_.queue_tokens_max || prompt_tokens > config_.queue_tokens_max - tokens))
    return refuse(Reason::kQueueTokens, "requests of " + std::to_string(tokens) + " prompt tokens");
  return std::nullopt;
}

std::optional<AdmissionRefusal> AdmissionQueue::refuse_late(const AdmissionRequest& request, Instant now) const {
  const double patience_s = seconds_between(now, request.deadline);
  if (patience_s <= 0)
    return refusal(Reason::kDeadline, false, seconds_for(order_.cost_waiting()), "its deadline has passed");
  const auto rate = meter_.tokens_per_s();
  if (!rate) return std::nullopt;
  const double wait_s = order_.cost_ahead(request.tenant, config_.priorities ? request.priority : 0) / *rate;
  if (wait_s <= patience_s) return std::nullopt;
  return refusal(Reason::kDeadline, false, wait_s - patience_s,
                 "overloaded: it would wait about " + std::to_string(retry_after_s(wait_s)) +
                     " s, and its deadline comes before");
}

std::optional<AdmissionRefusal> AdmissionQueue::refuses_now(TenantId id, Instant now) {
  const AskedTokens unread{.prompt = 0, .output = meter_.forecast_output(1, kUnknownOutput)};
  if (auto quota = refuse_quota(id, unread, now)) return quota;
  return refuse_full(0);
}

std::optional<AdmissionRefusal> AdmissionQueue::on_arrival(const AdmissionRequest& request, Instant now) {
  HERD_CHECK(request.sequences > 0, "a request has sequences");
  HERD_CHECK(!entries_.contains(request.id), "a request id is used once");
  const double output = meter_.forecast_output(request.sequences, request.output_tokens_max);
  if (auto refused = refuse_quota(request.tenant, {static_cast<double>(request.prompt_tokens), output}, now)) {
    ++stats_.refused_quota;
    return refused;
  }
  auto refused = refuse_full(request.prompt_tokens);
  if (!refused) refused = refuse_late(request, now);
  if (refused) {
    ++stats_.refused_capacity;
    return refused;
  }
  quotas_.on_taken(request.tenant, request.prompt_tokens, request.sequences, now);

  Entry entry{.request = request, .item = {}};
  entry.prompt_expected = meter_.forecast_prompt(request.prompt_tokens);
  const double cost = entry.prompt_expected + output;
  entry.item = {.id = request.id,
                .tenant = request.tenant,
                .priority = config_.priorities ? request.priority : 0,
                .arrival = ++arrivals_,
                .cost = static_cast<std::uint64_t>(std::clamp(std::ceil(cost), static_cast<double>(request.sequences), kCostMax))};
  entry.waiting = request.sequences;
  order_.push(entry.item, quotas_.of(request.tenant).weight());
  deadlines_.emplace(request.deadline, request.id);
  ++stats_.accepted;
  ++stats_.waiting;
  stats_.waiting_tokens += request.prompt_tokens;
  entries_.emplace(request.id, std::move(entry));
  return std::nullopt;
}

std::vector<Turn> AdmissionQueue::take_startable(Instant now) {
  const std::size_t running_max = quotas_.running_max();
  std::vector<Turn> turns;
  while (!order_.empty() && stats_.running_sequences < running_max) {
    Entry& entry = entries_.at(order_.first().id);
    const std::size_t free = running_max - stats_.running_sequences;
    const auto sequences = static_cast<std::uint32_t>(std::min<std::size_t>(entry.waiting, free));
    start(entry, sequences, now);
    turns.push_back({entry.request.id, sequences});
  }
  return turns;
}

void AdmissionQueue::Held::add(const Entry& entry) {
  if (!entry.is_held()) return;
  ++requests;
  tokens += entry.tokens_waiting();
}

void AdmissionQueue::Held::remove(const Entry& entry) {
  if (!entry.is_held()) return;
  --requests;
  tokens -= entry.tokens_waiting();
}

void AdmissionQueue::start(Entry& entry, std::uint32_t sequences, Instant now) {
  held_.remove(entry);
  if (!entry.is_running()) {
    stop_waiting(entry.request);
    if (stats_.running == 0) meter_.set_busy(true, now);
    ++stats_.running;
  }
  // A cost is at least 1 for each sequence, so that each part has one and leaves one.
  const std::uint64_t cost = entry.item.cost * sequences / entry.waiting;
  if (sequences == entry.waiting) {
    order_.pop();
  } else {
    order_.pop_part(cost);
    entry.item.cost -= cost;
  }
  entry.charged += cost;
  entry.waiting -= sequences;
  entry.running += sequences;
  entry.begun += sequences;
  ++entry.turns;
  held_.add(entry);
  stats_.running_sequences += sequences;
}

void AdmissionQueue::on_sequence_over(RequestId id) {
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second.running == 0) return;
  --found->second.running;
  --stats_.running_sequences;
}

void AdmissionQueue::on_sequence_dropped(RequestId id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  if (!entry.is_running() || entry.waiting == 0) return;
  held_.remove(entry);
  if (--entry.waiting == 0) order_.erase(entry.item);
  held_.add(entry);
}

std::vector<RequestId> AdmissionQueue::take_expired(Instant now) {
  std::vector<RequestId> expired;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto entry = entries_.find(deadlines_.begin()->second);
    expired.push_back(entry->first);
    order_.erase(entry->second.item);
    stop_waiting(entry->second.request);
    forget(entry);
    ++stats_.expired;
  }
  return expired;
}

void AdmissionQueue::set_parked(const ParkedWork& parked) { parked_ = parked; }

AdmissionRefusal AdmissionQueue::refuse_without_replica(std::string why) {
  ++stats_.refused_capacity;
  return no_replica_refusal(std::move(why));
}

void AdmissionQueue::on_output(RequestId id, std::uint64_t tokens, Instant now) {
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second.is_running() || tokens == 0) return;
  Entry& entry = found->second;
  const double done = static_cast<double>(tokens) + entry.prompt_begun() - entry.prompt_counted;
  entry.prompt_counted = entry.prompt_begun();
  entry.output_counted += tokens;
  meter_.on_tokens(done, now);
  quotas_.on_output(entry.request.tenant, static_cast<double>(tokens), now);
}

void AdmissionQueue::on_finished(RequestId id, std::uint64_t prompt_tokens, std::uint64_t output_tokens, Instant now) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  const Entry& entry = found->second;
  if (!entry.is_running()) return on_cancelled(id, now);
  const std::uint64_t output = std::max(output_tokens, entry.output_counted);
  const double untold = static_cast<double>(output - entry.output_counted);
  meter_.on_tokens(static_cast<double>(prompt_tokens) - entry.prompt_counted + untold, now);
  // Neither computed nor made anything: it failed, and says nothing about the next one.
  if (prompt_tokens + output > 0) {
    const std::uint64_t given = entry.request.prompt_tokens * entry.begun / entry.request.sequences;
    meter_.on_request(given, prompt_tokens, entry.begun, output);
  }
  if (untold > 0) quotas_.on_output(entry.request.tenant, untold, now);
  stop_running(entry, static_cast<double>(prompt_tokens) + static_cast<double>(output), now);
  forget(found);
}

void AdmissionQueue::on_cancelled(RequestId id, Instant now) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  const Entry& entry = found->second;
  if (entry.is_running()) {
    stop_running(entry, entry.prompt_begun() + static_cast<double>(entry.output_counted), now);
  } else {
    order_.erase(entry.item);
    stop_waiting(entry.request);
  }
  forget(found);
}

void AdmissionQueue::on_refused(RequestId id, Instant now) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  const AdmissionRequest& request = found->second.request;
  quotas_.on_given_back(request.tenant, request.prompt_tokens, now);
  if (!found->second.is_running()) return on_cancelled(id, now);
  stop_running(found->second, 0, now);
  forget(found);
}

void AdmissionQueue::stop_waiting(const AdmissionRequest& request) {
  deadlines_.erase({request.deadline, request.id});
  --stats_.waiting;
  stats_.waiting_tokens -= request.prompt_tokens;
}

void AdmissionQueue::stop_running(const Entry& entry, double used, Instant now) {
  const auto cost = static_cast<std::int64_t>(std::min(std::ceil(used), kCostMax));
  held_.remove(entry);
  if (entry.waiting > 0) order_.erase(entry.item);
  order_.on_served(entry.item, cost - static_cast<std::int64_t>(entry.charged));
  for (std::uint32_t turn = 1; turn < entry.turns; ++turn) order_.on_served(entry.item, 0);
  --stats_.running;
  stats_.running_sequences -= entry.running;
  if (stats_.running == 0) meter_.set_busy(false, now);
}

void AdmissionQueue::forget(Entries::iterator entry) {
  quotas_.on_ended(entry->second.request.tenant, entry->second.request.sequences);
  entries_.erase(entry);
}

AdmissionStats AdmissionQueue::stats() const {
  AdmissionStats stats = stats_;
  stats.waiting += held_.requests + parked_.requests;
  stats.waiting_tokens += held_.tokens + parked_.tokens;
  stats.running -= parked_.requests;
  stats.running_sequences -= parked_.sequences;
  stats.tokens_per_s = meter_.tokens_per_s().value_or(0);
  if (stats.tokens_per_s > 0) stats.wait_s = order_.cost_waiting() / stats.tokens_per_s;
  return stats;
}

void AdmissionQueue::check_integrity() const {
  AdmissionStats seen;
  Held held;
  double cost = 0;
  std::map<TenantId, std::uint32_t> in_flight;
  std::map<TenantId, std::uint32_t> sequences;
  for (const auto& [id, entry] : entries_) {
    HERD_CHECK(entry.request.id == id && entry.item.id == id, "entries are filed under their id");
    ++in_flight[entry.request.tenant];
    sequences[entry.request.tenant] += entry.request.sequences;
    HERD_CHECK(entry.running <= entry.begun && entry.waiting + entry.begun <= entry.request.sequences, "a sequence has one turn");
    if (entry.waiting > 0) cost += static_cast<double>(entry.item.cost);
    if (entry.is_running()) {
      ++seen.running;
      seen.running_sequences += entry.running;
      held.add(entry);
      continue;
    }
    ++seen.waiting;
    seen.waiting_tokens += entry.request.prompt_tokens;
    HERD_CHECK(deadlines_.contains({entry.request.deadline, id}), "what waits can expire");
  }
  HERD_CHECK(seen.waiting == stats_.waiting && seen.waiting_tokens == stats_.waiting_tokens, "what waits is counted");
  HERD_CHECK(held == held_, "what is held is counted");
  HERD_CHECK(seen.running == stats_.running && seen.running_sequences == stats_.running_sequences,
             "what runs is counted");
  HERD_CHECK(seen.running_sequences <= config_.running_sequences_max, "no more runs than there are places");
  HERD_CHECK(stats_.waiting <= std::max(config_.queue_requests_max, kept_requests_), "the queue is bounded in requests");
  HERD_CHECK(stats_.waiting <= 1 || stats_.waiting_tokens <= std::max(config_.queue_tokens_max, kept_tokens_),
             "the queue is bounded in tokens");
  HERD_CHECK(deadlines_.size() == stats_.waiting, "only what waits can expire");
  HERD_CHECK(parked_.requests <= stats_.running && parked_.requests <= parked_.sequences &&
                 parked_.sequences <= stats_.running_sequences,
             "what is parked had started");
  HERD_CHECK(cost == order_.cost_waiting(), "the order holds what waits");
  for (const auto& [id, of] : quotas_.tenants()) {
    HERD_CHECK(of.in_flight() == in_flight[id] && of.sequences() == sequences[id], "a tenant's requests are counted");
    HERD_CHECK(!of.is_forgettable(), "a tenant without requests, limits and a share is forgotten");
  }
  for (const auto& [id, requests] : in_flight) HERD_CHECK(quotas_.tenants().contains(id), "a request has a tenant");
  order_.check_integrity();
}

}  // namespace herd::admission
