#include "tests/sim/through_wire.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/envelope.h"
#include "cluster/wire/generate_codec.h"
#include "cluster/wire/group_codec.h"
#include "cluster/wire/membership_codec.h"
#include "cluster/wire/moves_codec.h"
#include "cluster/wire/report_codec.h"
#include "cluster/wire/step_codec.h"
#include "kernels/check.h"
#include "runtime/step/cut_deltas.h"

namespace herd::sim {
namespace {

template <class Value, class Decode>
Value decoded(const wire::Frame& frame, Decode decode) {
  const auto sealed = wire::seal(frame, Epoch(1), {ReplicaId(0), Epoch(1)});
  HERD_CHECK(sealed.has_value(), sealed.error().message().c_str());
  const auto opened = wire::open(*sealed);
  HERD_CHECK(opened.has_value() && opened->frame == frame, "a frame comes back as it was sealed");
  Expected<Value> value = decode(opened->frame.words);
  HERD_CHECK(value.has_value(), value.error().message().c_str());
  return std::move(*value);
}

replica::MoveAsk decoded(const replica::MoveAsk& ask) { return decoded<replica::MoveAsk>(wire::encode(ask), wire::decode_move_ask); }
replica::MoveGrant decoded(const replica::MoveGrant& grant) {
  return decoded<replica::MoveGrant>(wire::encode(grant), wire::decode_move_grant);
}
replica::MoveStop decoded(const replica::MoveStop& stop) { return decoded<replica::MoveStop>(wire::encode(stop), wire::decode_move_stop); }
replica::MoveFound decoded(const replica::MoveFound& found) {
  return decoded<replica::MoveFound>(wire::encode(found), wire::decode_move_found);
}
replica::MoveOver decoded(const replica::MoveOver& over) { return decoded<replica::MoveOver>(wire::encode(over), wire::decode_move_over); }

replica::SharedBlockBytes decoded(const replica::SharedBlockBytes& bytes) {
  step::BlockJoiner joiner(step::kBlocksBegunMax);
  std::optional<step::BlockBytes> whole;
  for (const step::BlockPart& part : step::cut_block(*bytes)) {
    auto joined = joiner.add(decoded<step::BlockPart>(wire::encode(part), wire::decode_block_part));
    HERD_CHECK(joined.has_value(), joined.error().message().c_str());
    whole = std::move(*joined);
  }
  HERD_CHECK(whole.has_value(), "the parts of a block are all of it");
  return std::make_shared<const step::BlockBytes>(std::move(*whole));
}

}  // namespace

step::StepPlan through_wire(bool on, step::StepPlan plan) {
  return on ? decoded<step::StepPlan>(wire::encode(plan), wire::decode_step_plan) : plan;
}

step::StepResult through_wire(bool on, step::StepResult result) {
  if (!on) return result;
  // Rank 0 alone has outputs, and it is in its leader's process: they do not travel.
  std::vector<step::OutputRows> outputs = std::exchange(result.outputs, {});
  std::vector<step::PromptLogprobs> prompt_logprobs = std::exchange(result.prompt_logprobs, {});
  step::StepResult arrived = decoded<step::StepResult>(wire::encode(result), wire::decode_step_result);
  arrived.outputs = std::move(outputs);
  arrived.prompt_logprobs = std::move(prompt_logprobs);
  return arrived;
}

step::Submission through_wire(bool on, step::Submission submission) {
  return on ? decoded<step::Submission>(wire::encode(submission), wire::decode_submission) : submission;
}

step::AttemptKey through_wire(bool on, step::AttemptKey aborted) {
  return on ? decoded<step::AttemptKey>(wire::encode(aborted), wire::decode_abort) : aborted;
}

std::vector<step::TokenDelta> through_wire(bool on, std::vector<step::TokenDelta> deltas) {
  if (!on) return deltas;
  std::vector<step::TokenDelta> arrived;
  for (const std::vector<step::TokenDelta>& message : step::cut_deltas(std::move(deltas)))
    std::ranges::move(decoded<std::vector<step::TokenDelta>>(wire::encode(message), wire::decode_token_deltas),
                      std::back_inserter(arrived));
  return arrived;
}

routing::ClusterView through_wire(bool on, routing::ClusterView view) {
  return on ? decoded<routing::ClusterView>(wire::encode(view), wire::decode_cluster_view) : view;
}

routing::ReplicaLoss through_wire(bool on, routing::ReplicaLoss loss) {
  return on ? decoded<routing::ReplicaLoss>(wire::encode(loss), wire::decode_replica_loss) : loss;
}

routing::GatewayJoin through_wire(bool on, routing::GatewayJoin join) {
  return on ? decoded<routing::GatewayJoin>(wire::encode(join), wire::decode_gateway_join) : join;
}

replica::ToHolder through_wire(bool on, replica::ToHolder message) {
  if (!on) return message;
  return std::visit([](const auto& what) { return replica::ToHolder(decoded(what)); }, message);
}

replica::ToTaker through_wire(bool on, replica::ToTaker message) {
  if (!on) return message;
  return std::visit([](const auto& what) { return replica::ToTaker(decoded(what)); }, message);
}

membership::NodeJoin through_wire(bool on, membership::NodeJoin join) {
  return on ? decoded<membership::NodeJoin>(wire::encode(join), wire::decode_node_join) : join;
}

membership::Assignment through_wire(bool on, membership::Assignment assignment) {
  return on ? decoded<membership::Assignment>(wire::encode(assignment), wire::decode_assignment) : assignment;
}

membership::PlaceAsk through_wire(bool on, membership::PlaceAsk ask) {
  return on ? decoded<membership::PlaceAsk>(wire::encode(ask), wire::decode_place_ask) : ask;
}

membership::Placed through_wire(bool on, membership::Placed placed) {
  return on ? decoded<membership::Placed>(wire::encode(placed), wire::decode_placed) : placed;
}

membership::Serving through_wire(bool on, membership::Serving serving) {
  return on ? decoded<membership::Serving>(wire::encode(serving), wire::decode_serving) : serving;
}

membership::GivenUp through_wire(bool on, membership::GivenUp given_up) {
  return on ? decoded<membership::GivenUp>(wire::encode(given_up), wire::decode_given_up) : given_up;
}

membership::NodeLeaving through_wire(bool on, membership::NodeLeaving leaving) {
  return on ? decoded<membership::NodeLeaving>(wire::encode(leaving), wire::decode_node_leaving) : leaving;
}

replica::ReplicaReport through_wire(bool on, replica::ReplicaReport report) {
  return on ? decoded<replica::ReplicaReport>(wire::encode(report), wire::decode_replica_report) : report;
}

report::DrainAsk through_wire(bool on, report::DrainAsk ask) {
  return on ? decoded<report::DrainAsk>(wire::encode(ask), wire::decode_drain_ask) : ask;
}

report::OrderAnswer through_wire(bool on, report::OrderAnswer answer) {
  return on ? decoded<report::OrderAnswer>(wire::encode(answer), wire::decode_order_answer) : answer;
}

}  // namespace herd::sim
