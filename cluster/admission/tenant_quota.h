#pragma once
// TenantQuota: what one tenant (API key) may have at one gateway, and what it has asked for. Pure. Where several gateways keep the
// limits of a tenant together each has a share of them (quota_board.h); alone it has all.

#include <cstdint>
#include <optional>

#include "cluster/admission/admission_refusal.h"
#include "cluster/admission/token_bucket.h"
#include "cluster/routing/quota_messages.h"
#include "runtime/clock.h"

namespace herd::admission {

// Of one tenant (API key). 0: no limit.
struct TenantLimits {
  double requests_per_minute = 0;  // token buckets, each holding one minute
  double prompt_tokens_per_minute = 0;
  double output_tokens_per_minute = 0;  // charged as they come; a tenant in debt is refused
  std::uint32_t in_flight_max = 64;     // waiting + running requests
  double weight = 1.0;                  // share of the machine among tenants that wait; > 0
  bool operator==(const TenantLimits&) const = default;
};

// Of one request, as far as it is known.
struct AskedTokens {
  double prompt = 0;
  double output = 0;  // that it will probably make
};

class TenantQuota {
 public:
  TenantQuota() = default;
  // `part`: of every limit, until a share is given; [0, 1].
  explicit TenantQuota(double part) { set_part(part, {}); }

  void set_limits(const TenantLimits& limits) { limits_ = limits; }
  [[nodiscard]] const TenantLimits& limits() const { return limits_; }
  // For as long as no share is given.
  void set_part(double part, Instant now);
  // Moves what it says from or to other gateways.
  void set_share(const routing::TenantShare& share, Instant now);
  void forget_share(double part, Instant now);

  // Nothing is used by asking. `prompt_tokens` 0: whatever the prompt. `seconds_per_request`: in which one of those in flight ends.
  [[nodiscard]] std::optional<AdmissionRefusal> refuses(double prompt_tokens, double seconds_per_request, Instant now) const;
  void on_refused(const AdmissionRefusal& why, const AskedTokens& asked);
  void on_taken(std::uint64_t prompt_tokens, std::uint32_t sequences, Instant now);
  void on_output(double tokens, Instant now);
  void on_given_back(std::uint64_t prompt_tokens, Instant now);  // of on_taken(); on_ended() follows
  void on_ended(std::uint32_t sequences);

  [[nodiscard]] std::uint32_t in_flight() const { return in_flight_; }
  [[nodiscard]] std::uint32_t in_flight_max() const;  // here; 0: no limit
  [[nodiscard]] std::uint32_t sequences() const { return sequences_; }
  [[nodiscard]] double weight() const { return limits_.weight * weight_share_; }  // > 0
  // What it was asked since the last call. `tenant` is left to the caller.
  [[nodiscard]] routing::TenantDemand take_demand(Instant now);
  // Without limits of its own, requests and a share it is as one that nobody ever named.
  [[nodiscard]] bool is_forgettable() const { return in_flight_ == 0 && !shared_ && limits_ == TenantLimits{}; }

 private:
  struct Limit {
    TokenBucket bucket;
    double share = 1;
    double asked = 0;
  };
  [[nodiscard]] BucketLimit requests() const { return {limits_.requests_per_minute, requests_.share}; }
  [[nodiscard]] BucketLimit prompts() const { return {limits_.prompt_tokens_per_minute, prompts_.share}; }
  [[nodiscard]] BucketLimit outputs() const { return {limits_.output_tokens_per_minute, outputs_.share}; }
  static void move(Limit& limit, double per_minute, const routing::BucketShare& share, Instant now);
  static void share_anew(Limit& limit, double per_minute, double share, Instant now);
  [[nodiscard]] static routing::BucketDemand take_demand(Limit& limit, double per_minute, Instant now);

  TenantLimits limits_;
  Limit requests_;
  Limit prompts_;
  Limit outputs_;
  double in_flight_share_ = 1;
  double weight_share_ = 1;
  bool shared_ = false;
  std::uint32_t in_flight_ = 0;
  std::uint32_t in_flight_refused_ = 0;
  std::uint32_t sequences_ = 0;    // of those in flight
  double last_prompt_tokens_ = 0;  // what one that is refused before it is read probably has
};

}  // namespace herd::admission
