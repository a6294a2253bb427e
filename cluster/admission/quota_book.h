#pragma once
// QuotaBook: the quotas of all tenants at one gateway, and what it tells the coordinator of them and hears. Pure.
//
// Alone (one gateway in the file, or none) every limit is its own. Of several gateways each has 1 / gateways of every limit until the
// coordinator says more: it is told what is asked here (QuotaDemand, at most four a second, the next one after the last was answered)
// and says which shares are this gateway's (QuotaShares). Without a coordinator they hold for 10 s.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "cluster/admission/fair_queue.h"
#include "cluster/admission/tenant_quota.h"
#include "cluster/routing/quota_messages.h"

namespace herd::admission {

class QuotaBook {
 public:
  using Tenants = std::map<TenantId, TenantQuota>;

  // `gateways`: of the cluster's file, at least 1; `running_max`: sequences that all of them together may have running.
  QuotaBook(std::uint32_t gateways, std::size_t running_max);

  void set_limits(TenantId tenant, const TenantLimits& limits);
  // Of one that nobody named: as TenantLimits{} says.
  [[nodiscard]] const TenantQuota& of(TenantId tenant) const;
  void on_refused(TenantId tenant, const AdmissionRefusal& why, const AskedTokens& asked);
  void on_taken(TenantId tenant, std::uint64_t prompt_tokens, std::uint32_t sequences, Instant now);
  void on_output(TenantId tenant, double tokens, Instant now);
  void on_given_back(TenantId tenant, std::uint64_t prompt_tokens, Instant now);
  void on_ended(TenantId tenant, std::uint32_t sequences);

  // Its connection has opened, or is gone.
  void on_coordinator(bool is_there, Instant now);
  // Something is to be said, now or soon: take_demand is to be called several times a second.
  [[nodiscard]] bool has_demand() const;
  // nullopt: nothing is to be said now.
  [[nodiscard]] std::optional<routing::QuotaDemand> take_demand(Instant now);
  // Those that answer another demand than the last are dropped.
  void set_shares(const routing::QuotaShares& shares, Instant now);
  // Shares of a coordinator that has been away for too long hold no more. Before a quota is asked.
  void expire(Instant now);

  [[nodiscard]] std::size_t running_max() const;  // at this gateway; at least 1
  [[nodiscard]] const Tenants& tenants() const { return tenants_; }

 private:
  void set_part(double part, Instant now);
  void forget_idle(Tenants::iterator tenant);
  [[nodiscard]] std::set<TenantId> to_be_told() const;

  const std::uint32_t gateways_;
  const std::size_t running_max_;
  double part_ = 1;           // of every limit that no share was given of
  double running_share_ = 1;
  TenantQuota unknown_;
  Tenants tenants_;                  // with requests, limits of their own, or a share
  std::set<TenantId> asked_;                 // of these: since the last demand, or something is in flight
  std::set<TenantId> named_;                 // of these: with a share
  bool is_there_ = false;                    // the coordinator
  std::optional<Instant> away_since_;        // and shares of it hold
  std::uint64_t number_ = 0;                 // of the last demand
  bool is_answered_ = true;
  std::optional<Instant> told_at_;
};

}  // namespace herd::admission
