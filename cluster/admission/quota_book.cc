#include "cluster/admission/quota_book.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

#include "kernels/check.h"

namespace herd::admission {
namespace {

constexpr double kTellSeconds = 0.25;
constexpr double kTellSecondsMin = 1e-3;   // that a message speaks of
constexpr double kTellSecondsMax = 3600;
constexpr double kAwaySecondsMax = 10;

}  // namespace

QuotaBook::QuotaBook(std::uint32_t gateways, std::size_t running_max)
    : gateways_(gateways),
      running_max_(running_max),
      part_(1.0 / gateways),
      running_share_(part_),
      unknown_(part_) {}

void QuotaBook::set_limits(TenantId id, const TenantLimits& limits) {
  const auto tenant = tenants_.try_emplace(id, part_).first;
  tenant->second.set_limits(limits);
  forget_idle(tenant);
}

const TenantQuota& QuotaBook::of(TenantId id) const {
  const auto found = tenants_.find(id);
  return found == tenants_.end() ? unknown_ : found->second;
}

void QuotaBook::on_refused(TenantId id, const AdmissionRefusal& why, const AskedTokens& asked) {
  const auto found = tenants_.find(id);
  if (found == tenants_.end()) return;  // it has no quota to be told of
  found->second.on_refused(why, asked);
  asked_.insert(id);
}

void QuotaBook::on_taken(TenantId id, std::uint64_t prompt_tokens, std::uint32_t sequences, Instant now) {
  tenants_.try_emplace(id, part_).first->second.on_taken(prompt_tokens, sequences, now);
  asked_.insert(id);
}

void QuotaBook::on_output(TenantId id, double tokens, Instant now) { tenants_.at(id).on_output(tokens, now); }

void QuotaBook::on_given_back(TenantId id, std::uint64_t prompt_tokens, Instant now) {
  tenants_.at(id).on_given_back(prompt_tokens, now);
}

void QuotaBook::on_ended(TenantId id, std::uint32_t sequences) {
  const auto tenant = tenants_.find(id);
  tenant->second.on_ended(sequences);
  forget_idle(tenant);
}

void QuotaBook::forget_idle(Tenants::iterator tenant) {
  if (!tenant->second.is_forgettable()) return;
  asked_.erase(tenant->first);
  tenants_.erase(tenant);
}

void QuotaBook::on_coordinator(bool is_there, Instant now) {
  if (is_there_ && !is_there) away_since_ = now;
  is_there_ = is_there;
  is_answered_ = true;  // what was not answered on the last connection never will be
  if (is_there) away_since_.reset();
}

bool QuotaBook::has_demand() const { return is_there_ && !(asked_.empty() && named_.empty()); }

std::set<TenantId> QuotaBook::to_be_told() const {
  std::set<TenantId> all = asked_;
  all.insert(named_.begin(), named_.end());
  if (all.size() <= routing::kTenantsInUseMax) return all;
  std::vector<std::pair<std::uint32_t, TenantId>> busiest;
  for (const TenantId id : all) busiest.emplace_back(tenants_.at(id).in_flight(), id);
  std::ranges::nth_element(busiest, std::next(busiest.begin(), routing::kTenantsInUseMax), std::ranges::greater{});
  busiest.resize(routing::kTenantsInUseMax);
  all.clear();
  for (const auto& [in_flight, id] : busiest) all.insert(id);
  return all;
}

std::optional<routing::QuotaDemand> QuotaBook::take_demand(Instant now) {
  expire(now);
  const double passed_s = told_at_ ? seconds_between(*told_at_, now) : kTellSeconds;
  if (!has_demand() || !is_answered_ || passed_s < kTellSeconds) return std::nullopt;
  routing::QuotaDemand demand;
  demand.number = ++number_;
  demand.seconds = std::clamp(passed_s, kTellSecondsMin, kTellSecondsMax);
  demand.running_max = static_cast<std::uint32_t>(std::min<std::size_t>(running_max_, ~std::uint32_t{0}));
  for (const TenantId id : to_be_told()) {
    demand.tenants.push_back(tenants_.at(id).take_demand(now));
    demand.tenants.back().tenant = id.value;
    if (tenants_.at(id).in_flight() == 0) asked_.erase(id);
  }
  is_answered_ = false;
  told_at_ = now;
  return demand;
}

void QuotaBook::set_shares(const routing::QuotaShares& shares, Instant now) {
  if (shares.number != 0 && (is_answered_ || shares.number != number_)) return;
  if (shares.number != 0) is_answered_ = true;
  running_share_ = shares.running;
  set_part(1.0 / shares.gateways, now);
  std::set<TenantId> before = std::exchange(named_, {});
  for (const routing::TenantShare& share : shares.tenants) {
    const TenantId id(share.tenant);
    tenants_.try_emplace(id, part_).first->second.set_share(share, now);
    named_.insert(id);
    before.erase(id);
  }
  for (const TenantId id : before) {
    const auto tenant = tenants_.find(id);
    tenant->second.forget_share(part_, now);
    forget_idle(tenant);
  }
}

void QuotaBook::expire(Instant now) {
  if (!away_since_ || seconds_between(*away_since_, now) < kAwaySecondsMax) return;
  away_since_.reset();
  is_answered_ = true;
  routing::QuotaShares alone;
  alone.gateways = gateways_;
  alone.running = 1.0 / gateways_;
  set_shares(alone, now);
}

void QuotaBook::set_part(double part, Instant now) {
  if (part == part_) return;
  part_ = part;
  unknown_ = TenantQuota(part);
  for (auto& [id, tenant] : tenants_) tenant.set_part(part, now);
}

std::size_t QuotaBook::running_max() const {
  if (running_share_ >= 1) return running_max_;
  return std::max<std::size_t>(1, static_cast<std::size_t>(std::llround(static_cast<double>(running_max_) * running_share_)));
}

}  // namespace herd::admission
