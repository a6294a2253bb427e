#include "cluster/wire/control_codec.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cluster/schema/control.capnp.h"
#include "cluster/wire/control_values.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using handshake::Hello;
using routing::BucketDemand;
using routing::BucketShare;
using routing::ClusterView;
using routing::GatewayJoin;
using routing::kTenantsInUseMax;
using routing::QuotaDemand;
using routing::QuotaShares;
using routing::ReplicaLoss;
using routing::ReplicaView;
using routing::TenantDemand;
using routing::TenantShare;

constexpr double kDemandSecondsMax = 3600;
constexpr const char* kTooManyTenants = "more than 4096 tenants";

Hello read(schema::Hello::Reader from) {
  const auto short_text = [](capnp::Text::Reader value) {
    return read_text(value, handshake::kHelloTextBytesMax, "a text");
  };
  Hello hello;
  hello.cluster = short_text(from.getCluster());
  hello.role = read_role(from.getRole());
  hello.node = short_text(from.getNode());
  hello.incarnation = from.getIncarnation();
  hello.protocol_min = from.getProtocolMin();
  hello.protocol_max = from.getProtocolMax();
  hello.build_id = short_text(from.getBuildId());
  hello.model = short_text(from.getModel());
  hello.text_digest = short_text(from.getTextDigest());
  hello.config_digest = short_text(from.getConfigDigest());
  return hello;
}

void check(const ClusterView& view) {
  require(view.replicas.size() <= kReplicasMax, "more than 1024 replicas");
  for (const ReplicaView& replica : view.replicas) wire::check(replica);
  check_rising(view.replicas);
}

template <class Tenant>
void check_tenants(const std::vector<Tenant>& tenants) {
  require(tenants.size() <= kTenantsInUseMax, kTooManyTenants);
  require(std::ranges::is_sorted(tenants, std::ranges::less_equal(), &Tenant::tenant), "tenants: not in rising order, each once");
}

void check(const BucketDemand& bucket) {
  require(std::isfinite(bucket.asked) && bucket.asked >= 0, "tenant: asks for an amount that is not finite, or negative");
  require(std::isfinite(bucket.held), "tenant: holds an amount that is not finite");
}

void check_share(double share) { require(share >= 0 && share <= 1, "a share outside [0, 1]"); }

void check(const BucketShare& bucket, bool is_answer) {
  check_share(bucket.share);
  require(std::isfinite(bucket.moved), "a moved amount that is not finite");
  require(is_answer || bucket.moved == 0, "something is moved, and no demand is answered");
}

void check(const QuotaDemand& demand) {
  require(demand.number != 0, "a demand without a number");
  require(demand.seconds > 0 && demand.seconds <= kDemandSecondsMax, "seconds outside (0, 3600]");
  require(demand.running_max >= 1, "no sequence may be running");
  check_tenants(demand.tenants);
  for (const TenantDemand& tenant : demand.tenants) {
    check(tenant.requests);
    check(tenant.prompt_tokens);
    check(tenant.output_tokens);
    require(std::isfinite(tenant.weight) && tenant.weight > 0, "tenant: its weight is not finite, or not above 0");
  }
}

void check(const QuotaShares& shares) {
  require(shares.gateways >= 1, "no gateway shares");
  check_share(shares.running);
  check_tenants(shares.tenants);
  for (const TenantShare& tenant : shares.tenants) {
    for (const BucketShare* bucket : {&tenant.requests, &tenant.prompt_tokens, &tenant.output_tokens})
      check(*bucket, shares.number != 0);
    check_share(tenant.in_flight);
    check_share(tenant.weight);
  }
}

BucketDemand read(schema::BucketDemand::Reader from) { return {from.getAsked(), from.getHeld()}; }

void write(schema::BucketDemand::Builder to, const BucketDemand& bucket) {
  to.setAsked(bucket.asked);
  to.setHeld(bucket.held);
}

BucketShare read(schema::BucketShare::Reader from) { return {from.getShare(), from.getMoved()}; }

void write(schema::BucketShare::Builder to, const BucketShare& bucket) {
  to.setShare(bucket.share);
  to.setMoved(bucket.moved);
}

TenantDemand read(schema::TenantDemand::Reader from) {
  return {.tenant = from.getTenant(),
          .weight = from.getWeight(),
          .requests = read(from.getRequests()),
          .prompt_tokens = read(from.getPromptTokens()),
          .output_tokens = read(from.getOutputTokens()),
          .in_flight = from.getInFlight(),
          .in_flight_refused = from.getInFlightRefused(),
          .in_flight_max = from.getInFlightMax(),
          .sequences = from.getSequences()};
}

void write(schema::TenantDemand::Builder to, const TenantDemand& tenant) {
  to.setTenant(tenant.tenant);
  write(to.initRequests(), tenant.requests);
  write(to.initPromptTokens(), tenant.prompt_tokens);
  write(to.initOutputTokens(), tenant.output_tokens);
  to.setInFlight(tenant.in_flight);
  to.setInFlightRefused(tenant.in_flight_refused);
  to.setInFlightMax(tenant.in_flight_max);
  to.setSequences(tenant.sequences);
  to.setWeight(tenant.weight);
}

TenantShare read(schema::TenantShare::Reader from) {
  return {.tenant = from.getTenant(),
          .requests = read(from.getRequests()),
          .prompt_tokens = read(from.getPromptTokens()),
          .output_tokens = read(from.getOutputTokens()),
          .in_flight = from.getInFlight(),
          .weight = from.getWeight()};
}

void write(schema::TenantShare::Builder to, const TenantShare& tenant) {
  to.setTenant(tenant.tenant);
  write(to.initRequests(), tenant.requests);
  write(to.initPromptTokens(), tenant.prompt_tokens);
  write(to.initOutputTokens(), tenant.output_tokens);
  to.setInFlight(tenant.in_flight);
  to.setWeight(tenant.weight);
}

}  // namespace

Status validate(const GatewayJoin&) { return {}; }

Status validate(const ClusterView& view) {
  return status_of([&] { check(view); });
}

Status validate(const ReplicaLoss& loss) {
  return status_of([&] { check(loss); });
}

Status validate(const QuotaDemand& demand) {
  return status_of([&] { check(demand); });
}

Status validate(const QuotaShares& shares) {
  return status_of([&] { check(shares); });
}

Frame encode(const Hello& hello) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::Hello>();
  to.setCluster(text(hello.cluster));
  to.setRole(to_schema(hello.role));
  to.setNode(text(hello.node));
  to.setIncarnation(hello.incarnation);
  to.setProtocolMin(hello.protocol_min);
  to.setProtocolMax(hello.protocol_max);
  to.setBuildId(text(hello.build_id));
  to.setModel(text(hello.model));
  to.setTextDigest(text(hello.text_digest));
  to.setConfigDigest(text(hello.config_digest));
  return {FrameKind::kHello, to_words(message)};
}

Frame encode(const GatewayJoin& join) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::GatewayJoin>();
  to.setGateway(join.gateway.value);
  to.setClusterEpoch(join.cluster_epoch.value);
  to.setViewNumber(join.view_number);
  return {FrameKind::kGatewayJoin, to_words(message)};
}

Frame encode(const ClusterView& view) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::ClusterView>();
  to.setClusterEpoch(view.cluster_epoch.value);
  to.setNumber(view.number);
  auto replicas = to.initReplicas(static_cast<unsigned>(view.replicas.size()));
  for (unsigned i = 0; i < replicas.size(); ++i) wire::write(replicas[i], view.replicas[i]);
  return {FrameKind::kClusterView, to_words(message)};
}

Frame encode(const ReplicaLoss& loss) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<schema::ReplicaLoss>(), loss);
  return {FrameKind::kReplicaLoss, to_words(message)};
}

Frame encode(const QuotaDemand& demand) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::QuotaDemand>();
  to.setNumber(demand.number);
  to.setSeconds(demand.seconds);
  to.setRunningMax(demand.running_max);
  auto tenants = to.initTenants(static_cast<unsigned>(demand.tenants.size()));
  for (unsigned i = 0; i < tenants.size(); ++i) write(tenants[i], demand.tenants[i]);
  return {FrameKind::kQuotaDemand, to_words(message)};
}

Frame encode(const QuotaShares& shares) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::QuotaShares>();
  to.setNumber(shares.number);
  to.setGateways(shares.gateways);
  to.setRunning(shares.running);
  auto tenants = to.initTenants(static_cast<unsigned>(shares.tenants.size()));
  for (unsigned i = 0; i < tenants.size(); ++i) write(tenants[i], shares.tenants[i]);
  return {FrameKind::kQuotaShares, to_words(message)};
}

Expected<Hello> decode_hello(std::span<const std::uint64_t> words) {
  return read_message<schema::Hello, Hello>(FrameKind::kHello, "hello", words, [](schema::Hello::Reader from) {
    Hello hello = read(from);
    require(handshake::validate(hello));
    return hello;
  });
}

Expected<GatewayJoin> decode_gateway_join(std::span<const std::uint64_t> words) {
  return read_message<schema::GatewayJoin, GatewayJoin>(
      FrameKind::kGatewayJoin, "gateway's join", words, [](schema::GatewayJoin::Reader from) {
        return GatewayJoin{GatewayId(from.getGateway()), Epoch(from.getClusterEpoch()), from.getViewNumber()};
      });
}

Expected<ClusterView> decode_cluster_view(std::span<const std::uint64_t> words) {
  return read_message<schema::ClusterView, ClusterView>(
      FrameKind::kClusterView, "view", words, [](schema::ClusterView::Reader from) {
        ClusterView view{Epoch(from.getClusterEpoch()), from.getNumber(), {}};
        const auto replicas = from.getReplicas();
        require(replicas.size() <= kReplicasMax, "more than 1024 replicas");
        for (const auto replica : replicas) view.replicas.push_back(read_replica(replica));
        check(view);
        return view;
      });
}

Expected<ReplicaLoss> decode_replica_loss(std::span<const std::uint64_t> words) {
  return read_message<schema::ReplicaLoss, ReplicaLoss>(
      FrameKind::kReplicaLoss, "loss", words, [](schema::ReplicaLoss::Reader from) {
        ReplicaLoss loss = read_loss(from);
        check(loss);
        return loss;
      });
}

Expected<QuotaDemand> decode_quota_demand(std::span<const std::uint64_t> words) {
  return read_message<schema::QuotaDemand, QuotaDemand>(
      FrameKind::kQuotaDemand, "demand", words, [](schema::QuotaDemand::Reader from) {
        QuotaDemand demand{from.getNumber(), from.getSeconds(), from.getRunningMax(), {}};
        const auto tenants = from.getTenants();
        require(tenants.size() <= kTenantsInUseMax, kTooManyTenants);
        for (const auto tenant : tenants) demand.tenants.push_back(read(tenant));
        check(demand);
        return demand;
      });
}

Expected<QuotaShares> decode_quota_shares(std::span<const std::uint64_t> words) {
  return read_message<schema::QuotaShares, QuotaShares>(
      FrameKind::kQuotaShares, "shares", words, [](schema::QuotaShares::Reader from) {
        QuotaShares shares{from.getNumber(), from.getGateways(), from.getRunning(), {}};
        const auto tenants = from.getTenants();
        require(tenants.size() <= kTenantsInUseMax, kTooManyTenants);
        for (const auto tenant : tenants) shares.tenants.push_back(read(tenant));
        check(shares);
        return shares;
      });
}

}  // namespace herd::wire
