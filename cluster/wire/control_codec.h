#pragma once
// Hello, GatewayJoin, ClusterView, ReplicaLoss and quotas <-> the messages of schema/control.capnp. Decoding is validation: what
// comes out of decode passes validate, what goes into encode must.

#include <cstddef>
#include <cstdint>
#include <span>

#include "cluster/handshake/hello.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/gateway_join.h"
#include "cluster/routing/quota_messages.h"
#include "cluster/routing/replica_loss.h"
#include "cluster/wire/envelope.h"
#include "kernels/status.h"

namespace herd::wire {

inline constexpr std::size_t kReplicasMax = routing::kReplicasMax;
inline constexpr std::size_t kReplicaTextBytesMax = 256;  // address, numerics id
inline constexpr std::size_t kLostAttemptsMax = 65536;
inline constexpr std::size_t kBlamedRanksMax = 1024;  // likewise the attempts that they were working on

// Every GatewayJoin is valid. Hello's rules are handshake::validate.
[[nodiscard]] Status validate(const routing::GatewayJoin& join);
[[nodiscard]] Status validate(const routing::ClusterView& view);
[[nodiscard]] Status validate(const routing::ReplicaLoss& loss);
[[nodiscard]] Status validate(const routing::QuotaDemand& demand);
[[nodiscard]] Status validate(const routing::QuotaShares& shares);

[[nodiscard]] Frame encode(const handshake::Hello& hello);
[[nodiscard]] Frame encode(const routing::GatewayJoin& join);
[[nodiscard]] Frame encode(const routing::ClusterView& view);
[[nodiscard]] Frame encode(const routing::ReplicaLoss& loss);
[[nodiscard]] Frame encode(const routing::QuotaDemand& demand);
[[nodiscard]] Frame encode(const routing::QuotaShares& shares);

[[nodiscard]] Expected<handshake::Hello> decode_hello(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<routing::GatewayJoin> decode_gateway_join(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<routing::ClusterView> decode_cluster_view(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<routing::ReplicaLoss> decode_replica_loss(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<routing::QuotaDemand> decode_quota_demand(std::span<const std::uint64_t> words);
[[nodiscard]] Expected<routing::QuotaShares> decode_quota_shares(std::span<const std::uint64_t> words);

}  // namespace herd::wire
