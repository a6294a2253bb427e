#pragma once
// QuotaBoard: the coordinator's part in the quotas of keys: what each gateway of the cluster may let through, so that a key's limits,
// and the places on replicas, are had once and not once a gateway. Pure; nothing waits and nothing is timed: a gateway says what is
// asked of it, and is answered.
//
// Limits per minute. The limit's bucket is divided among the gateways that told of the key; each has a share of what it fills with
// and of what it holds, by what was asked of it lately. Whenever one tells, what its bucket has over its share of all there is, and
// does not need next, goes to a pool, and what it lacks comes out of it: so tokens go where they are asked for, none is made, and none
// is lost. Whoever has not told of the key keeps 1 / gateways of it.
// Requests in flight: whole places, no gateway's before another has given them back.
// Places on replicas: max-min fair among keys by weight, each key's part where its work waits; what nobody wants evenly.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "cluster/admission/fair_queue.h"
#include "cluster/routing/quota_messages.h"
#include "runtime/clock.h"
#include "runtime/ids.h"

namespace herd::admission {

// A connection of a gateway with the coordinator, as its shell numbers them; never used again.
using QuotaPeer = StrongId<struct QuotaPeerTag, std::uint64_t>;

class QuotaBoard {
 public:
  // `listed`: gateways of the cluster's file. Until 3 s after `now` those that have not come are reckoned with: they may have a share
  // from the coordinator before.
  QuotaBoard(std::uint32_t listed, Instant now);

  // `is_fresh`: its process has just started: what its buckets hold is not what is left of a key that is used already.
  void on_joined(QuotaPeer gateway, GatewayId id, bool is_fresh, Instant now);
  // What it held, as far as it said, goes to the others; should the same process join again, it had that all the time.
  void on_gone(QuotaPeer gateway, Instant now);
  // The answer. Of a gateway that has not joined: 1 / gateways of everything.
  [[nodiscard]] routing::QuotaShares on_demand(QuotaPeer gateway, const routing::QuotaDemand& demand, Instant now);

  struct News {
    QuotaPeer gateway;
    routing::QuotaShares shares;
  };
  // What others are to be told without having asked; after each event.
  [[nodiscard]] std::vector<News> take_news(Instant now);

  [[nodiscard]] std::size_t tenants() const { return tenants_.size(); }

 private:
  static constexpr std::size_t kBuckets = 3;  // requests, prompt tokens, output tokens
  struct Bucket {
    double rate = 0;   // asked per second, lately
    double held = 0;   // as it said last, and what was moved since
    double share = 0;  // as it was told
  };
  // A tenant at a gateway that told of it.
  struct Part {
    std::array<Bucket, kBuckets> buckets;
    std::uint32_t in_flight = 0;
    std::uint32_t in_flight_wanted = 0;
    std::uint32_t in_flight_told = 0;
    std::uint32_t in_flight_before = 0;  // it may let in as many until it says that it has heard the last
    std::uint32_t in_flight_max = 0;
    std::uint32_t sequences = 0;
    double weight_share = 1;
  };
  struct Tenant {
    double weight = 1;
    std::array<double, kBuckets> pool{};
    Instant asked_at;        // last
    std::uint64_t since = 0; // in joins
    std::map<QuotaPeer, Part> parts;
    struct Estate {
      GatewayId of;
      std::array<double, kBuckets> held{};
    };
    std::deque<Estate> estates;  // of gateways that have gone: what went to the pool
  };
  struct Gateway {
    GatewayId id;
    bool is_fresh = false;
    std::uint64_t joined = 0;  // the how manieth join
    bool is_behind = true;     // others know of something that it was not told
    double running = 1;        // as it was told
  };
  using Tenants = std::map<TenantId, Tenant>;

  using Moved = std::array<double, kBuckets>;

  [[nodiscard]] std::uint32_t gateways(Instant now) const;
  void all_behind_but(QuotaPeer gateway);
  // Takes what that gateway says of a tenant, and says what is moved. Null: there is no room for another tenant.
  [[nodiscard]] std::optional<Moved> take(QuotaPeer peer, const routing::QuotaDemand& demand, const routing::TenantDemand& said,
                                          Instant now);
  // What a gateway held that has gone, and its taking back when the same process is there again.
  static void inherit(Tenant& tenant, GatewayId of, const Part& part);
  static void return_estate(Tenant& tenant, GatewayId of);
  // Of the tenant's limits that much is with those that told of it: [0, 1].
  [[nodiscard]] double share_of_parts(const Tenant& tenant, Instant now) const;
  // What is moved to that gateway's bucket, after it has got its share.
  static double share_bucket(Tenant& tenant, QuotaPeer peer, std::size_t which, double all);
  static void share_in_flight(Tenant& tenant, QuotaPeer peer, double all);
  void share_weight(Tenant& tenant, QuotaPeer peer) const;
  [[nodiscard]] double running_share(QuotaPeer peer, std::uint32_t running_max, Instant now) const;
  void forget_idle(Instant now);
  // As it was told last; nothing moves.
  [[nodiscard]] routing::QuotaShares told(QuotaPeer peer, const Gateway& gateway, Instant now) const;

  std::uint32_t awaited_;  // of those listed: that have not gone again; at least 1
  Instant gathers_until_;
  std::map<QuotaPeer, Gateway> gateways_;
  Tenants tenants_;  // in use
  std::uint64_t joins_ = 0;
};

}  // namespace herd::admission
