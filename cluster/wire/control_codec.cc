#include "cluster/wire/control_codec.h"

#include <utility>

#include "cluster/schema/control.capnp.h"
#include "cluster/wire/control_values.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using handshake::Hello;
using routing::ClusterView;
using routing::GatewayJoin;
using routing::ReplicaLoss;
using routing::ReplicaView;

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
  hello.numerics_id = short_text(from.getNumericsId());
  hello.kv_layout_id = short_text(from.getKvLayoutId());
  hello.text_digest = short_text(from.getTextDigest());
  hello.config_digest = short_text(from.getConfigDigest());
  return hello;
}

void check(const ClusterView& view) {
  require(view.replicas.size() <= kReplicasMax, "more than 1024 replicas");
  for (const ReplicaView& replica : view.replicas) wire::check(replica);
  check_rising(view.replicas);
}

}  // namespace

Status validate(const GatewayJoin&) { return {}; }

Status validate(const ClusterView& view) {
  return status_of([&] { check(view); });
}

Status validate(const ReplicaLoss& loss) {
  return status_of([&] { check(loss); });
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
  to.setNumericsId(text(hello.numerics_id));
  to.setKvLayoutId(text(hello.kv_layout_id));
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
  for (unsigned i = 0; i < replicas.size(); ++i) write(replicas[i], view.replicas[i]);
  return {FrameKind::kClusterView, to_words(message)};
}

Frame encode(const ReplicaLoss& loss) {
  capnp::MallocMessageBuilder message;
  write(message.initRoot<schema::ReplicaLoss>(), loss);
  return {FrameKind::kReplicaLoss, to_words(message)};
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

}  // namespace herd::wire
