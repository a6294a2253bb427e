#pragma once
// What a MembershipCore says that its shell is to do, in order. Values.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "cluster/membership/node_messages.h"
#include "cluster/membership/peer_list.h"
#include "cluster/report/operator_orders.h"
#include "cluster/routing/cluster_view.h"
#include "cluster/routing/replica_loss.h"
#include "kernels/status.h"

namespace herd::membership {

struct SendView {
  std::vector<PeerId> gateways;
  routing::ClusterView view;
};
struct SendLoss {
  std::vector<PeerId> gateways;
  routing::ReplicaLoss loss;
};
struct SendAssignment {
  PeerId node;
  Assignment assignment;
};
struct SendPlaced {
  PeerId node;
  Placed placed;
};
// To an operator.
struct AnswerOrder {
  PeerId peer;
  report::OrderAnswer answer;
};
// Tell it why, and close its connection.
struct ClosePeer {
  PeerId peer;
  Status why;
};
// For the log. In plain words.
struct MembershipNote {
  bool is_warning = false;
  std::string event;  // "node joined"
  std::string peer;   // whom it is about; empty: nobody
  std::string what;
};

using MembershipEffect = std::variant<SendView, SendLoss, SendAssignment, SendPlaced, AnswerOrder, ClosePeer, MembershipNote>;
using MembershipEffects = std::vector<MembershipEffect>;

}  // namespace herd::membership
