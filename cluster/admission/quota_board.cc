#include "cluster/admission/quota_board.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cluster/admission/fair_division.h"

namespace herd::admission {
namespace {

constexpr double kGatherSeconds = 3;
// The rate that a gateway is asked at follows what it says with this time constant.
constexpr double kRateSeconds = 1;
constexpr double kAskedLately = 0.1;  // per second: once in the last two seconds or so
// So much of a limit is shared out evenly, whatever is asked: a gateway that nobody asked yet answers its first request from it.
constexpr double kEvenPart = 0.2;
// A bucket fills in a minute; a key that nobody asked for so long, and that owes nothing, is as good as one never seen.
constexpr double kIdleSeconds = 60;
constexpr std::size_t kEstatesMax = 64;  // of a key: gateways that may come back
constexpr double kRounding = 1e-6;  // of a place: what sums of fractions lose

const routing::BucketDemand& bucket_of(const routing::TenantDemand& said, std::size_t which) {
  return which == 0 ? said.requests : which == 1 ? said.prompt_tokens : said.output_tokens;
}
routing::BucketShare& bucket_of(routing::TenantShare& share, std::size_t which) {
  return which == 0 ? share.requests : which == 1 ? share.prompt_tokens : share.output_tokens;
}

// Of what `count` gateways hold together, the part that one of them should have by its share is `by_share`. Tokens are of use when
// they are whole: each has one if there are so many, and of fewer the busiest has all.
double due_of(double held, double by_share, double count, bool is_busiest) {
  if (held < 0) return by_share;
  if (held >= count) return std::max(1.0, by_share);
  return is_busiest ? held : 0;
}

// Whoever was asked in the last seconds keeps what it will need next: a small share would never come to a whole token else.
double needed_next(double rate) { return rate < kAskedLately ? 0 : std::max(1.0, rate * kRateSeconds); }

}  // namespace

QuotaBoard::QuotaBoard(std::uint32_t listed, Instant now)
    : awaited_(std::max(1U, listed)), gathers_until_(seconds_after(now, kGatherSeconds)) {}

std::uint32_t QuotaBoard::gateways(Instant now) const {
  return std::max(static_cast<std::uint32_t>(gateways_.size()), now < gathers_until_ ? awaited_ : 1U);
}

void QuotaBoard::all_behind_but(QuotaPeer gateway) {
  for (auto& [peer, other] : gateways_) other.is_behind |= peer != gateway;
}

void QuotaBoard::on_joined(QuotaPeer peer, GatewayId id, bool is_fresh, Instant now) {
  Gateway& gateway = gateways_[peer];
  gateway = {.id = id, .is_fresh = is_fresh, .joined = ++joins_};
  gateway.running = 1.0 / gateways(now);
  all_behind_but(peer);
}

void QuotaBoard::on_gone(QuotaPeer peer, Instant) {
  const auto gateway = gateways_.extract(peer);
  if (gateway.empty()) return;
  awaited_ = std::max(2U, awaited_) - 1;
  for (auto& [id, tenant] : tenants_)
    if (const auto part = tenant.parts.extract(peer)) inherit(tenant, gateway.mapped().id, part.mapped());
  all_behind_but(peer);
}

void QuotaBoard::inherit(Tenant& tenant, GatewayId of, const Part& part) {
  Tenant::Estate& estate = tenant.estates.emplace_back();
  estate.of = of;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    estate.held[i] = part.buckets[i].held;
    tenant.pool[i] += estate.held[i];
  }
  if (tenant.estates.size() > kEstatesMax) tenant.estates.pop_front();
}

void QuotaBoard::return_estate(Tenant& tenant, GatewayId of) {
  const auto estate = std::ranges::find(tenant.estates, of, &Tenant::Estate::of);
  if (estate == tenant.estates.end()) return;
  for (std::size_t i = 0; i < kBuckets; ++i) tenant.pool[i] -= estate->held[i];
  tenant.estates.erase(estate);
}

routing::QuotaShares QuotaBoard::on_demand(QuotaPeer peer, const routing::QuotaDemand& demand, Instant now) {
  const auto gateway = gateways_.find(peer);
  if (gateway == gateways_.end()) {
    const std::uint32_t all = gateways(now);
    return {.number = demand.number, .gateways = all, .running = 1.0 / all, .tenants = {}};
  }
  std::map<TenantId, Moved> moved;
  for (const routing::TenantDemand& said : demand.tenants)
    if (const auto here = take(peer, demand, said, now)) moved.emplace(TenantId(said.tenant), *here);
  forget_idle(now);
  gateway->second.running = running_share(peer, demand.running_max, now);
  gateway->second.is_behind = false;
  routing::QuotaShares answer = told(peer, gateway->second, now);
  answer.number = demand.number;
  for (routing::TenantShare& share : answer.tenants) {
    const auto here = moved.find(TenantId(share.tenant));
    for (std::size_t i = 0; i < kBuckets && here != moved.end(); ++i) bucket_of(share, i).moved = here->second[i];
  }
  return answer;
}

std::optional<QuotaBoard::Moved> QuotaBoard::take(QuotaPeer peer, const routing::QuotaDemand& demand,
                                                  const routing::TenantDemand& said, Instant now) {
  const TenantId id(said.tenant);
  if (!tenants_.contains(id)) {
    if (tenants_.size() >= routing::kTenantsInUseMax) return std::nullopt;
    tenants_[id].since = joins_;
    all_behind_but(peer);
  }
  Tenant& tenant = tenants_.at(id);
  const Gateway& gateway = gateways_.at(peer);
  const auto [entry, is_first] = tenant.parts.try_emplace(peer);
  if (is_first) return_estate(tenant, gateway.id);
  Part& part = entry->second;
  // A new process begins with full buckets; what is left of the key others hold.
  const bool counts_for_nothing = is_first && gateway.is_fresh && tenant.since < gateway.joined;
  const double kept = std::exp(-demand.seconds / kRateSeconds);
  Moved moved{};
  for (std::size_t i = 0; i < kBuckets; ++i) {
    Bucket& bucket = part.buckets[i];
    bucket.rate = kept * bucket.rate + (1 - kept) * bucket_of(said, i).asked / demand.seconds;
    bucket.held = bucket_of(said, i).held;
    if (is_first) bucket.share = 1.0 / gateways(now);
    if (counts_for_nothing) moved[i] = -std::exchange(bucket.held, 0);
  }
  if (is_first) part.in_flight_told = std::max(1U, said.in_flight_max / gateways(now));
  part.in_flight = said.in_flight;
  part.in_flight_wanted = said.in_flight + said.in_flight_refused;
  part.in_flight_max = said.in_flight_max;
  part.sequences = said.sequences;
  tenant.weight = said.weight;
  if (is_first || said.requests.asked > 0 || said.output_tokens.asked > 0 || said.in_flight > 0) tenant.asked_at = now;
  const double all = share_of_parts(tenant, now);
  for (std::size_t i = 0; i < kBuckets; ++i) moved[i] += share_bucket(tenant, peer, i, all);
  share_in_flight(tenant, peer, all);
  share_weight(tenant, peer);
  return moved;
}

double QuotaBoard::share_of_parts(const Tenant& tenant, Instant now) const {
  return static_cast<double>(tenant.parts.size()) / gateways(now);
}

double QuotaBoard::share_bucket(Tenant& tenant, QuotaPeer peer, std::size_t which, double all) {
  Bucket& mine = tenant.parts.at(peer).buckets[which];
  const auto count = static_cast<double>(tenant.parts.size());
  double rates = 0;
  double held = tenant.pool[which];
  double others = 0;
  bool is_busiest = true;
  for (const auto& [other, part] : tenant.parts) {
    rates += part.buckets[which].rate;
    held += part.buckets[which].held;
    if (other == peer) continue;
    others += part.buckets[which].share;
    is_busiest &= other < peer ? part.buckets[which].rate < mine.rate : part.buckets[which].rate <= mine.rate;
  }
  const double even = all / count;
  const double wanted = rates > 0 ? all * mine.rate / rates : even;
  const double target = kEvenPart * even + (1 - kEvenPart) * wanted;
  // Others give first: together they never have more than all. Whoever has just come gets the even part at once.
  mine.share = std::max(kEvenPart * even, std::min(target, all - others));
  const double due = due_of(held, held * mine.share / all, count, is_busiest);
  const double kept = held < 0 ? due : std::max(due, needed_next(mine.rate));
  const double moved =
      mine.held < due ? std::min(due - mine.held, std::max(0.0, tenant.pool[which])) : std::min(0.0, kept - mine.held);
  tenant.pool[which] -= moved;
  mine.held += moved;
  return moved;
}

void QuotaBoard::share_in_flight(Tenant& tenant, QuotaPeer peer, double all) {
  Part& mine = tenant.parts.at(peer);
  const auto here = static_cast<std::uint32_t>(std::ceil(mine.in_flight_max * all - kRounding));
  std::vector<std::uint32_t> wants;
  std::uint32_t taken = 0;  // by others
  std::size_t at = 0;
  for (const auto& [other, part] : tenant.parts) {
    if (other == peer) at = wants.size();
    if (other != peer) taken += std::max({part.in_flight, part.in_flight_told, part.in_flight_before});
    wants.push_back(part.in_flight_wanted);
  }
  mine.in_flight_before = std::exchange(mine.in_flight_told, std::min(divide_whole(here, wants)[at], here - std::min(here, taken)));
}

void QuotaBoard::share_weight(Tenant& tenant, QuotaPeer peer) const {
  std::uint64_t sequences = 0;
  for (const auto& [other, part] : tenant.parts) sequences += part.sequences;
  Part& mine = tenant.parts.at(peer);
  const double least = 0.5 / static_cast<double>(gateways_.size());
  mine.weight_share =
      sequences == 0 ? 1 : std::max(least, static_cast<double>(mine.sequences) / static_cast<double>(sequences));
}

double QuotaBoard::running_share(QuotaPeer peer, std::uint32_t running_max, Instant now) const {
  std::vector<Claim> claims;
  for (const auto& [id, tenant] : tenants_) {
    claims.push_back({0, tenant.weight});
    for (const auto& [other, part] : tenant.parts) claims.back().want += part.sequences;
  }
  const std::vector<double> given = divide(running_max, claims);
  double left = running_max;
  std::map<QuotaPeer, double> places;
  std::size_t at = 0;
  for (const auto& [id, tenant] : tenants_) {
    for (const auto& [other, part] : tenant.parts)
      if (claims[at].want > 0) places[other] += given[at] * part.sequences / claims[at].want;
    left -= given[at++];
  }
  // Whole places, rounded so that all together are as many as there are.
  double sum = 0;
  double before = 0;
  for (const auto& [other, gateway] : gateways_) {
    before = std::floor(sum + kRounding);
    sum += places[other] + std::max(0.0, left) / gateways(now);
    if (other == peer) break;
  }
  return std::clamp((std::floor(sum + kRounding) - before) / running_max, 0.0, 1.0);
}

void QuotaBoard::forget_idle(Instant now) {
  const auto is_idle = [&](const Tenants::value_type& entry) {
    if (seconds_between(entry.second.asked_at, now) < kIdleSeconds) return false;
    return std::ranges::all_of(entry.second.parts, [](const auto& part) {
      return part.second.in_flight == 0 && std::ranges::all_of(part.second.buckets, [](const Bucket& one) { return one.held >= 0; });
    });
  };
  if (std::erase_if(tenants_, is_idle) == 0 || !tenants_.empty()) return;
  // Nobody has anything to say from here on: whoever is asked next begins with an even part.
  for (auto& [peer, gateway] : gateways_) {
    gateway.running = 1.0 / gateways(now);
    gateway.is_behind = true;
  }
}

routing::QuotaShares QuotaBoard::told(QuotaPeer peer, const Gateway& gateway, Instant now) const {
  routing::QuotaShares shares;
  shares.gateways = gateways(now);
  shares.running = gateway.running;
  for (const auto& [id, tenant] : tenants_) {
    routing::TenantShare& share = shares.tenants.emplace_back();
    share.tenant = id.value;
    const auto part = tenant.parts.find(peer);
    if (part == tenant.parts.end()) {
      share.in_flight = 1.0 / shares.gateways;
      for (std::size_t i = 0; i < kBuckets; ++i) bucket_of(share, i).share = 1.0 / shares.gateways;
      continue;
    }
    for (std::size_t i = 0; i < kBuckets; ++i) bucket_of(share, i).share = std::min(1.0, part->second.buckets[i].share);
    const std::uint32_t max = part->second.in_flight_max;
    share.in_flight = max == 0 ? 1 : std::min(1.0, static_cast<double>(part->second.in_flight_told) / max);
    share.weight = part->second.weight_share;
  }
  return shares;
}

std::vector<QuotaBoard::News> QuotaBoard::take_news(Instant now) {
  std::vector<News> news;
  for (auto& [peer, gateway] : gateways_)
    if (std::exchange(gateway.is_behind, false)) news.push_back({peer, told(peer, gateway, now)});
  return news;
}

}  // namespace herd::admission
