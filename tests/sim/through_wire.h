#pragma once
// A message as it comes out of its codec, when that is switched on. These are our own bytes, so a refusal is our bug and ends
// the process.

#include <vector>

#include "cluster/membership/node_messages.h"
#include "cluster/replica/group_messages.h"
#include "cluster/replica/move_messages.h"
#include "cluster/report/operator_orders.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/gateway_join.h"
#include "cluster/routing/replica_loss.h"
#include "runtime/step/step_plan.h"
#include "runtime/step/submission.h"

namespace herd::sim {

step::StepPlan through_wire(bool on, step::StepPlan plan);
step::StepResult through_wire(bool on, step::StepResult result);
step::Submission through_wire(bool on, step::Submission submission);
step::AttemptKey through_wire(bool on, step::AttemptKey aborted);
std::vector<step::TokenDelta> through_wire(bool on, std::vector<step::TokenDelta> deltas);
routing::ClusterView through_wire(bool on, routing::ClusterView view);
routing::ReplicaLoss through_wire(bool on, routing::ReplicaLoss loss);
routing::GatewayJoin through_wire(bool on, routing::GatewayJoin join);
replica::ReplicaReport through_wire(bool on, replica::ReplicaReport report);
replica::ToHolder through_wire(bool on, replica::ToHolder message);
replica::ToTaker through_wire(bool on, replica::ToTaker message);
membership::NodeJoin through_wire(bool on, membership::NodeJoin join);
membership::Assignment through_wire(bool on, membership::Assignment assignment);
membership::PlaceAsk through_wire(bool on, membership::PlaceAsk ask);
membership::Placed through_wire(bool on, membership::Placed placed);
membership::Serving through_wire(bool on, membership::Serving serving);
membership::GivenUp through_wire(bool on, membership::GivenUp given_up);
membership::NodeLeaving through_wire(bool on, membership::NodeLeaving leaving);
report::DrainAsk through_wire(bool on, report::DrainAsk ask);
report::OrderAnswer through_wire(bool on, report::OrderAnswer answer);

}  // namespace herd::sim
