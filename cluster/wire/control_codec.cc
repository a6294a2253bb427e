#include "cluster/wire/control_codec.h"

#include <algorithm>
#include <string>

#include "cluster/schema/control.capnp.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using handshake::Hello;
using handshake::Role;
using routing::ClusterView;
using routing::GatewayJoin;
using routing::LossCause;
using routing::ReplicaLoss;
using routing::ReplicaState;
using routing::ReplicaView;

schema::Role to_schema(Role role) {
  switch (role) {
    case Role::kCoordinator:
      return schema::Role::COORDINATOR;
    case Role::kNode:
      return schema::Role::NODE;
    case Role::kGateway:
      return schema::Role::GATEWAY;
    case Role::kRank:
      return schema::Role::RANK;
    case Role::kOperator:
      return schema::Role::OPERATOR;
  }
  return schema::Role::UNKNOWN;
}

Role read_role(schema::Role role) {
  switch (role) {
    case schema::Role::UNKNOWN:
      break;
    case schema::Role::COORDINATOR:
      return Role::kCoordinator;
    case schema::Role::NODE:
      return Role::kNode;
    case schema::Role::GATEWAY:
      return Role::kGateway;
    case schema::Role::RANK:
      return Role::kRank;
    case schema::Role::OPERATOR:
      return Role::kOperator;
  }
  throw Refusal{bad_input("role: unknown")};
}

schema::ReplicaState to_schema(ReplicaState state) {
  switch (state) {
    case ReplicaState::kMaking:
      return schema::ReplicaState::MAKING;
    case ReplicaState::kServing:
      return schema::ReplicaState::SERVING;
    case ReplicaState::kDraining:
      return schema::ReplicaState::DRAINING;
    case ReplicaState::kLost:
      return schema::ReplicaState::LOST;
  }
  return schema::ReplicaState::UNKNOWN;
}

ReplicaState read_state(schema::ReplicaState state) {
  switch (state) {
    case schema::ReplicaState::UNKNOWN:
      break;
    case schema::ReplicaState::MAKING:
      return ReplicaState::kMaking;
    case schema::ReplicaState::SERVING:
      return ReplicaState::kServing;
    case schema::ReplicaState::DRAINING:
      return ReplicaState::kDraining;
    case schema::ReplicaState::LOST:
      return ReplicaState::kLost;
  }
  throw Refusal{bad_input("replica state: unknown")};
}

schema::LossCause to_schema(LossCause cause) {
  switch (cause) {
    case LossCause::kKilled:
      return schema::LossCause::KILLED;
    case LossCause::kDiedOfItself:
      return schema::LossCause::DIED_OF_ITSELF;
    case LossCause::kOverdue:
      return schema::LossCause::OVERDUE;
    case LossCause::kTokensDiffer:
      return schema::LossCause::TOKENS_DIFFER;
    case LossCause::kStopped:
      return schema::LossCause::STOPPED;
  }
  return schema::LossCause::UNKNOWN;
}

LossCause read_cause(schema::LossCause cause) {
  switch (cause) {
    case schema::LossCause::UNKNOWN:
      break;
    case schema::LossCause::KILLED:
      return LossCause::kKilled;
    case schema::LossCause::DIED_OF_ITSELF:
      return LossCause::kDiedOfItself;
    case schema::LossCause::OVERDUE:
      return LossCause::kOverdue;
    case schema::LossCause::TOKENS_DIFFER:
      return LossCause::kTokensDiffer;
    case schema::LossCause::STOPPED:
      return LossCause::kStopped;
  }
  throw Refusal{bad_input("cause: unknown")};
}

std::string read_text(capnp::Text::Reader from, std::size_t bytes_max, const char* what) {
  require(from.size() <= bytes_max, what);
  return {from.begin(), from.size()};
}

capnp::Text::Reader text(const std::string& value) { return {value.c_str(), value.size()}; }

Hello read(schema::Hello::Reader from) {
  const auto short_text = [](capnp::Text::Reader value) {
    return read_text(value, handshake::kHelloTextBytesMax, "a text longer than 256 bytes");
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

void write(schema::ReplicaView::Builder to, const ReplicaView& replica) {
  to.setReplica(replica.route.generation.replica.value);
  to.setEpoch(replica.route.generation.epoch.value);
  to.setAddress(text(replica.route.address));
  to.setNumericsId(text(replica.route.numerics));
  to.setState(to_schema(replica.state));
  to.setReturns(replica.returns);
  to.setSequencesMax(replica.sequences_max);
}

ReplicaView read(schema::ReplicaView::Reader from) {
  ReplicaView replica;
  replica.route.generation = {ReplicaId(from.getReplica()), Epoch(from.getEpoch())};
  replica.route.address = read_text(from.getAddress(), kReplicaTextBytesMax, "address: longer than 256 bytes");
  replica.route.numerics = read_text(from.getNumericsId(), kReplicaTextBytesMax, "numerics id: longer than 256 bytes");
  replica.state = read_state(from.getState());
  replica.returns = from.getReturns();
  replica.sequences_max = from.getSequencesMax();
  return replica;
}

void check(const ReplicaView& replica) {
  for (const std::string* text : {&replica.route.address, &replica.route.numerics}) {
    require(text->size() <= kReplicaTextBytesMax, "replica: a text longer than 256 bytes");
    require(std::ranges::none_of(*text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }),
            "replica: a text with a control character");
  }
  require(replica.sequences_max >= 1, "replica: takes no sequence");
}

void check(const ClusterView& view) {
  require(view.replicas.size() <= kReplicasMax, "more than 1024 replicas");
  for (const ReplicaView& replica : view.replicas) check(replica);
  const auto id = [](const ReplicaView& replica) { return replica.route.generation.replica; };
  for (std::size_t i = 1; i < view.replicas.size(); ++i)
    require(id(view.replicas[i - 1]) < id(view.replicas[i]), "replicas: not in rising order, each once");
}

void check(const ReplicaLoss& loss) {
  require(!loss.why.ok(), "a loss without a reason");
  require(!loss.in_step || loss.in_step->size() <= kLostAttemptsMax, "more than 65536 attempts");
  require(loss.blamed.size() <= kBlamedRanksMax, "more than 1024 ranks to blame");
  require(std::ranges::is_sorted(loss.blamed, std::ranges::less_equal()), "ranks to blame: not in rising order, each once");
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
  auto to = message.initRoot<schema::ReplicaLoss>();
  to.setReplica(loss.replica.replica.value);
  to.setEpoch(loss.replica.epoch.value);
  to.setCause(to_schema(loss.cause));
  wire::write(to.initWhy(), loss.why);
  if (loss.in_step) {
    auto attempts = to.initInStep(static_cast<unsigned>(loss.in_step->size()));
    for (unsigned i = 0; i < attempts.size(); ++i) {
      wire::write(attempts[i].initAttempt(), (*loss.in_step)[i].attempt);
      attempts[i].setEmitted((*loss.in_step)[i].emitted);
    }
  }
  auto blamed = to.initBlamed(static_cast<unsigned>(loss.blamed.size()));
  for (unsigned i = 0; i < blamed.size(); ++i) blamed.set(i, loss.blamed[i]);
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
        for (const auto replica : replicas) view.replicas.push_back(read(replica));
        check(view);
        return view;
      });
}

Expected<ReplicaLoss> decode_replica_loss(std::span<const std::uint64_t> words) {
  return read_message<schema::ReplicaLoss, ReplicaLoss>(
      FrameKind::kReplicaLoss, "loss", words, [](schema::ReplicaLoss::Reader from) {
        ReplicaLoss loss;
        loss.replica = {ReplicaId(from.getReplica()), Epoch(from.getEpoch())};
        loss.cause = read_cause(from.getCause());
        loss.why = read_status(from.getWhy());
        if (from.hasInStep()) {
          const auto attempts = from.getInStep();
          require(attempts.size() <= kLostAttemptsMax, "more than 65536 attempts");
          loss.in_step.emplace();
          loss.in_step->reserve(attempts.size());
          for (const auto one : attempts) {
            require(one.hasAttempt(), "an attempt in a step has a name");
            loss.in_step->push_back({read_attempt(one.getAttempt()), one.getEmitted()});
          }
        }
        require(from.getBlamed().size() <= kBlamedRanksMax, "more than 1024 ranks to blame");
        for (const std::uint32_t rank : from.getBlamed()) loss.blamed.push_back(rank);
        check(loss);
        return loss;
      });
}

}  // namespace herd::wire
