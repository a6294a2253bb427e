#include "cluster/wire/control_values.h"

#include <algorithm>
#include <vector>

#include "cluster/wire/control_codec.h"
#include "cluster/wire/flat_message.h"
#include "cluster/wire/schema_values.h"

namespace herd::wire {

using handshake::Role;
using routing::LossCause;
using routing::ReplicaLoss;
using routing::ReplicaState;
using routing::ReplicaView;

namespace {

constexpr const char* kTooManyAtWork = "more than 1024 attempts at work";

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

// A rank works on at most one attempt at a time.
void check_at_work(const ReplicaLoss& loss) {
  require(loss.at_work.size() <= kBlamedRanksMax, kTooManyAtWork);
  require(std::ranges::is_sorted(loss.at_work, std::ranges::less_equal()), "attempts at work: not in rising order, each once");
  require(loss.at_work.empty() || loss.cause == LossCause::kDiedOfItself, "attempts at work: no rank died of itself");
  if (!loss.in_step) return;
  std::vector<step::AttemptKey> in_step;
  for (const routing::AttemptInStep& one : *loss.in_step) in_step.push_back(one.attempt);
  std::ranges::sort(in_step);
  require(std::ranges::includes(in_step, loss.at_work), "attempts at work: not all of them in a step");
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

}  // namespace

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

void write(schema::ReplicaView::Builder to, const ReplicaView& replica) {
  to.setReplica(replica.route.generation.replica.value);
  to.setEpoch(replica.route.generation.epoch.value);
  to.setAddress(text(replica.route.address));
  to.setNumericsId(text(replica.route.numerics));
  to.setState(to_schema(replica.state));
  to.setReturns(replica.returns);
  to.setSequencesMax(replica.sequences_max);
  to.setModelLenMax(static_cast<std::uint32_t>(replica.max_model_len));
}

ReplicaView read_replica(schema::ReplicaView::Reader from) {
  ReplicaView replica;
  replica.route.generation = {ReplicaId(from.getReplica()), Epoch(from.getEpoch())};
  replica.route.address = read_text(from.getAddress(), kReplicaTextBytesMax, "address");
  replica.route.numerics = read_text(from.getNumericsId(), kReplicaTextBytesMax, "numerics id");
  replica.state = read_state(from.getState());
  replica.returns = from.getReturns();
  replica.sequences_max = from.getSequencesMax();
  replica.max_model_len = from.getModelLenMax();
  return replica;
}

void check(const ReplicaView& replica) {
  check_text(replica.route.address, kReplicaTextBytesMax, "address");
  check_text(replica.route.numerics, kReplicaTextBytesMax, "numerics id");
  require(replica.sequences_max >= 1, "replica: takes no sequence");
  require(replica.max_model_len >= 0 && replica.max_model_len <= kModelLenMax, "replica: sequences longer than 2^20 tokens");
}

void check_rising(std::span<const ReplicaView> replicas) {
  const auto id = [](const ReplicaView& replica) { return replica.route.generation.replica; };
  require(std::ranges::is_sorted(replicas, std::ranges::less_equal(), id), "replicas: not in rising order, each once");
}

void check_generation(const ReplicaView& replica) {
  check(replica);
  require(replica.route.generation.epoch != Epoch(), "replica: a generation without an epoch");
  require(!replica.route.address.empty(), "replica: no address");
  require(!replica.route.numerics.empty(), "replica: no numerics id");
  require(replica.state != ReplicaState::kLost, "replica: it is lost");
}

void write(schema::ReplicaLoss::Builder to, const ReplicaLoss& loss) {
  to.setReplica(loss.replica.replica.value);
  to.setEpoch(loss.replica.epoch.value);
  to.setCause(to_schema(loss.cause));
  write(to.initWhy(), loss.why);
  if (loss.in_step) {
    auto attempts = to.initInStep(static_cast<unsigned>(loss.in_step->size()));
    for (unsigned i = 0; i < attempts.size(); ++i) {
      write(attempts[i].initAttempt(), (*loss.in_step)[i].attempt);
      attempts[i].setEmitted((*loss.in_step)[i].emitted);
    }
  }
  auto blamed = to.initBlamed(static_cast<unsigned>(loss.blamed.size()));
  for (unsigned i = 0; i < blamed.size(); ++i) blamed.set(i, loss.blamed[i]);
  auto at_work = to.initAtWork(static_cast<unsigned>(loss.at_work.size()));
  for (unsigned i = 0; i < at_work.size(); ++i) write(at_work[i], loss.at_work[i]);
}

ReplicaLoss read_loss(schema::ReplicaLoss::Reader from) {
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
  loss.blamed = read_numbers<std::uint32_t>(from.getBlamed(), kBlamedRanksMax, "more than 1024 ranks to blame");
  const auto at_work = from.getAtWork();
  require(at_work.size() <= kBlamedRanksMax, kTooManyAtWork);
  for (const auto attempt : at_work) loss.at_work.push_back(read_attempt(attempt));
  return loss;
}

void check(const ReplicaLoss& loss) {
  require(!loss.why.ok(), "a loss without a reason");
  require(!loss.in_step || loss.in_step->size() <= kLostAttemptsMax, "more than 65536 attempts");
  require(loss.blamed.size() <= kBlamedRanksMax, "more than 1024 ranks to blame");
  require(std::ranges::is_sorted(loss.blamed, std::ranges::less_equal()), "ranks to blame: not in rising order, each once");
  check_at_work(loss);
}

}  // namespace herd::wire
