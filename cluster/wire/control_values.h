#pragma once
// The structs of schema/control.capnp that other conversations carry too, field by field. Included by codec .cc files only.
// read_x throws Refusal or kj::Exception (flat_message.h); check_x states what a value may hold.

#include <cstdint>
#include <span>

#include "cluster/handshake/hello.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/replica_loss.h"
#include "cluster/schema/control.capnp.h"

namespace herd::wire {

inline constexpr std::int64_t kModelLenMax = std::int64_t{1} << 20;  // tokens of the longest sequence that anybody names

schema::Role to_schema(handshake::Role role);
handshake::Role read_role(schema::Role role);

schema::LossCause to_schema(routing::LossCause cause);
routing::LossCause read_cause(schema::LossCause cause);

void write(schema::ReplicaView::Builder to, const routing::ReplicaView& replica);
routing::ReplicaView read_replica(schema::ReplicaView::Reader from);
void check(const routing::ReplicaView& replica);
// By id, each once.
void check_rising(std::span<const routing::ReplicaView> replicas);
// Of a generation that is about to be formed or is there: it has an epoch, an address and a numerics id, and is not lost.
void check_generation(const routing::ReplicaView& replica);

void write(schema::ReplicaLoss::Builder to, const routing::ReplicaLoss& loss);
routing::ReplicaLoss read_loss(schema::ReplicaLoss::Reader from);
void check(const routing::ReplicaLoss& loss);

}  // namespace herd::wire
