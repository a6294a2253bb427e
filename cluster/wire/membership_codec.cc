#include "cluster/wire/membership_codec.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cluster/schema/membership.capnp.h"
#include "cluster/wire/control_codec.h"
#include "cluster/wire/control_values.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {
namespace {

using membership::Assignment;
using membership::GivenUp;
using membership::kReplicasOfNodeMax;
using membership::NodeJoin;
using membership::NodeLeaving;
using membership::Placed;
using membership::PlaceAsk;
using membership::Serving;

constexpr const char* kTooMany = "more than 64 replicas";
constexpr const char* kTooManyDrained = "more than 1024 drained replicas";

void check_rising(const std::vector<ReplicaId>& replicas) {
  require(std::ranges::is_sorted(replicas, std::ranges::less_equal()), "replicas: not in rising order, each once");
}

void check(const std::vector<ReplicaId>& replicas) {
  require(replicas.size() <= kReplicasOfNodeMax, kTooMany);
  check_rising(replicas);
}

void check_drained(const std::vector<ReplicaId>& drained) {
  require(drained.size() <= kReplicasMax, kTooManyDrained);
  check_rising(drained);
}

void check(const NodeJoin& join) {
  require(join.replicas_max <= kReplicasOfNodeMax, "room for more than 64 replicas");
  check(join.held);
  require(join.serving.size() <= kReplicasOfNodeMax, kTooMany);
  for (const routing::ReplicaView& replica : join.serving) {
    check_generation(replica);
    require(std::ranges::binary_search(join.held, replica.route.generation.replica), "a replica serves that it does not hold");
  }
  wire::check_rising(join.serving);
  check_drained(join.drained);
}

void check(const Assignment& assignment) {
  check(assignment.replicas);
  check(assignment.draining);
  require(std::ranges::includes(assignment.replicas, assignment.draining), "a replica drains that is not assigned");
  check_drain_seconds(assignment.drain_s);
  check_drained(assignment.drained);
}

void check(const PlaceAsk& ask) {
  check_text(ask.address, kReplicaTextBytesMax, "address");
  check_text(ask.numerics, kReplicaTextBytesMax, "numerics id");
  require(!ask.address.empty(), "no address");
  require(!ask.numerics.empty(), "no numerics id");
  require(ask.sequences_max >= 1, "takes no sequence");
  require(ask.max_model_len >= 1 && ask.max_model_len <= kModelLenMax, "longest sequence: outside [1, 2^20]");
}

void check(const GivenUp& given_up) {
  require(!given_up.why.ok(), "without a reason");
  check_clean(given_up.why, "reason");
}

template <class List>
void write(List to, const std::vector<ReplicaId>& replicas) {
  for (unsigned i = 0; i < to.size(); ++i) to.set(i, replicas[i].value);
}

template <class List>
std::vector<ReplicaId> read_replicas(const List& from) {
  return read_numbers<ReplicaId>(from, kReplicasOfNodeMax, kTooMany);
}

template <class List>
std::vector<ReplicaId> read_drained(const List& from) {
  return read_numbers<ReplicaId>(from, kReplicasMax, kTooManyDrained);
}

}  // namespace

Status validate(const NodeJoin& join) {
  return status_of([&] { check(join); });
}

Status validate(const Assignment& assignment) {
  return status_of([&] { check(assignment); });
}

Status validate(const PlaceAsk& ask) {
  return status_of([&] { check(ask); });
}

Status validate(const Placed& placed) {
  return status_of([&] { check_generation(placed.view); });
}

Status validate(const Serving& serving) {
  return status_of([&] { check_generation(serving.view); });
}

Status validate(const GivenUp& given_up) {
  return status_of([&] { check(given_up); });
}

Status validate(const NodeLeaving& leaving) {
  return status_of([&] { check_drain_seconds(leaving.drain_s); });
}

Frame encode(const NodeJoin& join) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::NodeJoin>();
  to.setReplicasMax(join.replicas_max);
  to.setNewest(join.newest.value);
  write(to.initHeld(static_cast<unsigned>(join.held.size())), join.held);
  auto serving = to.initServing(static_cast<unsigned>(join.serving.size()));
  for (unsigned i = 0; i < serving.size(); ++i) wire::write(serving[i], join.serving[i]);
  to.setDrains(join.drains);
  write(to.initDrained(static_cast<unsigned>(join.drained.size())), join.drained);
  return {FrameKind::kNodeJoin, to_words(message)};
}

Frame encode(const Assignment& assignment) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::Assignment>();
  write(to.initReplicas(static_cast<unsigned>(assignment.replicas.size())), assignment.replicas);
  write(to.initDraining(static_cast<unsigned>(assignment.draining.size())), assignment.draining);
  to.setDrainSeconds(assignment.drain_s);
  to.setNodeDrains(assignment.node_drains);
  write(to.initDrained(static_cast<unsigned>(assignment.drained.size())), assignment.drained);
  return {FrameKind::kAssignment, to_words(message)};
}

Frame encode(const PlaceAsk& ask) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::PlaceAsk>();
  to.setReplica(ask.replica.value);
  to.setAddress(text(ask.address));
  to.setNumericsId(text(ask.numerics));
  to.setSequencesMax(ask.sequences_max);
  to.setModelLenMax(static_cast<std::uint32_t>(ask.max_model_len));
  return {FrameKind::kPlaceAsk, to_words(message)};
}

Frame encode(const Placed& placed) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<schema::Placed>().initView(), placed.view);
  return {FrameKind::kPlaced, to_words(message)};
}

Frame encode(const Serving& serving) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<schema::Serving>().initView(), serving.view);
  return {FrameKind::kServing, to_words(message)};
}

Frame encode(const GivenUp& given_up) {
  capnp::MallocMessageBuilder message;
  auto to = message.initRoot<schema::GivenUp>();
  to.setReplica(given_up.replica.value);
  write_clean(to.initWhy(), given_up.why);
  return {FrameKind::kGivenUp, to_words(message)};
}

Frame encode(const NodeLeaving& leaving) {
  capnp::MallocMessageBuilder message;
  message.initRoot<schema::NodeLeaving>().setDrainSeconds(leaving.drain_s);
  return {FrameKind::kNodeLeaving, to_words(message)};
}

Expected<NodeJoin> decode_node_join(std::span<const std::uint64_t> words) {
  return read_message<schema::NodeJoin, NodeJoin>(FrameKind::kNodeJoin, "node's join", words, [](schema::NodeJoin::Reader from) {
    NodeJoin join{from.getReplicasMax(), Epoch(from.getNewest()), read_replicas(from.getHeld()), {},
                  from.getDrains(),      read_drained(from.getDrained())};
    const auto serving = from.getServing();
    require(serving.size() <= kReplicasOfNodeMax, kTooMany);
    for (const auto replica : serving) join.serving.push_back(read_replica(replica));
    check(join);
    return join;
  });
}

Expected<Assignment> decode_assignment(std::span<const std::uint64_t> words) {
  return read_message<schema::Assignment, Assignment>(
      FrameKind::kAssignment, "assignment", words, [](schema::Assignment::Reader from) {
        Assignment assignment{read_replicas(from.getReplicas()), read_replicas(from.getDraining()), from.getDrainSeconds(),
                              from.getNodeDrains(), read_drained(from.getDrained())};
        check(assignment);
        return assignment;
      });
}

Expected<PlaceAsk> decode_place_ask(std::span<const std::uint64_t> words) {
  return read_message<schema::PlaceAsk, PlaceAsk>(FrameKind::kPlaceAsk, "place ask", words, [](schema::PlaceAsk::Reader from) {
    PlaceAsk ask;
    ask.replica = ReplicaId(from.getReplica());
    ask.address = read_text(from.getAddress(), kReplicaTextBytesMax, "address");
    ask.numerics = read_text(from.getNumericsId(), kReplicaTextBytesMax, "numerics id");
    ask.sequences_max = from.getSequencesMax();
    ask.max_model_len = from.getModelLenMax();
    check(ask);
    return ask;
  });
}

Expected<Placed> decode_placed(std::span<const std::uint64_t> words) {
  return read_message<schema::Placed, Placed>(FrameKind::kPlaced, "placed", words, [](schema::Placed::Reader from) {
    Placed placed{read_replica(from.getView())};
    check_generation(placed.view);
    return placed;
  });
}

Expected<Serving> decode_serving(std::span<const std::uint64_t> words) {
  return read_message<schema::Serving, Serving>(FrameKind::kServing, "serving", words, [](schema::Serving::Reader from) {
    Serving serving{read_replica(from.getView())};
    check_generation(serving.view);
    return serving;
  });
}

Expected<GivenUp> decode_given_up(std::span<const std::uint64_t> words) {
  return read_message<schema::GivenUp, GivenUp>(FrameKind::kGivenUp, "given up", words, [](schema::GivenUp::Reader from) {
    GivenUp given_up{ReplicaId(from.getReplica()), read_status(from.getWhy())};
    check(given_up);
    return given_up;
  });
}

Expected<NodeLeaving> decode_node_leaving(std::span<const std::uint64_t> words) {
  return read_message<schema::NodeLeaving, NodeLeaving>(
      FrameKind::kNodeLeaving, "leaving", words, [](schema::NodeLeaving::Reader from) {
        check_drain_seconds(from.getDrainSeconds());
        return NodeLeaving{from.getDrainSeconds()};
      });
}

}  // namespace herd::wire
