#pragma once
// SimReplica: one place where a replica lives again and again: its supervisor, which makes it, notices its death and makes it
// anew, and its present life, a ReplicaCore with toy ranks. Carries out what the core says; watches what it says.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/membership/coordinator_core.h"
#include "cluster/replica/replica_core.h"
#include "tests/sim/network.h"
#include "tests/sim/plan_checker.h"
#include "tests/sim/request_book.h"
#include "tests/sim/toy_shard.h"
#include "tests/sim/world.h"

namespace herd::sim {

class SimReplica {
 public:
  SimReplica(World& world, Network& network, SimCoordinator& coordinator, RequestBook& book, std::uint32_t index);

  [[nodiscard]] routing::ReplicaGeneration generation() const { return generation_; }
  [[nodiscard]] const routing::NumericsId& numerics() const { return numerics_; }
  [[nodiscard]] bool alive() const { return life_ != nullptr; }
  [[nodiscard]] bool serving() const { return life_ != nullptr && life_->core.serving(); }
  [[nodiscard]] bool draining() const { return draining_; }
  // It serves, takes new sequences, and nothing is about to end it.
  [[nodiscard]] bool whole() const { return serving() && !draining_ && !life_->doomed; }
  [[nodiscard]] bool given_up() const { return given_up_; }
  [[nodiscard]] bool idle() const;  // nothing runs or waits
  [[nodiscard]] routing::ReplicaView view() const;
  [[nodiscard]] std::uint32_t sequences_max() const;

  // From its supervisor and operator.
  void make();                                        // as soon as the coordinator names the next generation
  void begin(routing::ReplicaGeneration generation);  // a new life, whatever was before
  void on_coordinator_back(membership::CoordinatorCore& core, membership::CoordinatorEffects& effects);
  void drain();
  void stop();
  void give_up();

  // From gateways; what is meant for another life is dropped.
  void on_submission(routing::ReplicaGeneration to, const step::Submission& submission);
  void on_abort(routing::ReplicaGeneration on, const step::AttemptKey& attempt);
  void on_gateway_gone(GatewayId gateway);

  // Faults.
  void kill(routing::LossCause cause);
  void lose_rank(routing::LossCause cause);
  void fail_step() { spoil(&Life::steps_to_fail); }
  void spoil_hash() { spoil(&Life::hashes_to_spoil); }
  void hang() { spoil(&Life::ranks_to_hang); }
  void fail_start() { starts_to_fail_ = 1; }
  void heal();  // what was planted and has not come yet does not come
  void repeat_old_result();

  void check();
  void check_drained();

 private:
  struct StepOut {
    step::StepPlan plan;
    std::uint32_t answers = 0;  // of ranks
    bool spoiled = false;       // it must not count
  };
  struct Rank {
    std::unique_ptr<ToyShard> shard;
    Link plans, results;
    bool silent = false;  // dead or hanging
  };
  struct Life {
    Life(const World& world, routing::ReplicaGeneration generation);
    replica::ReplicaCore core;
    PlanChecker plans;
    std::vector<Rank> ranks;
    std::deque<StepOut> steps_out;           // oldest first
    std::uint64_t steps_answered = 0;        // by all ranks
    std::uint64_t steps_finished = 0;        // that the core says
    std::map<SequenceId, SimChoice*> known;  // by the replica's own ids, ever started
    std::map<std::uint64_t, step::AttemptKey> attempts;  // the last one submitted, by sampling seed
    std::map<step::AttemptKey, std::uint64_t> submitted;  // ever, with their sampling seeds
    std::set<std::uint64_t> ended;  // sampling seeds that were aborted: no plan made later may compute them
    std::uint64_t wakes = 0;        // the last timer asked for
    bool doomed = false;            // a fault was planted that will end it
    std::uint32_t steps_to_fail = 0, hashes_to_spoil = 0, ranks_to_hang = 0;
    bool group_aborted = false;
    std::optional<StepId> fatal_step;
  };
  using Effects = replica::ReplicaEffects;

  void spoil(std::uint32_t Life::* what);
  // Runs at this life only.
  void later(std::int64_t us, EventLoop::Event event);
  EventLoop::Event for_this_life(EventLoop::Event event);
  void make_rank(std::uint32_t rank);

  // One for each effect.
  void carry_out(Effects& effects);
  void carry_out(replica::ExecuteOnRanks& effect);
  void carry_out(replica::SendDeltas& effect);
  void carry_out(replica::SayServing& effect);
  void carry_out(replica::SayLost& effect);
  void carry_out(replica::AbortGroup& effect);
  void carry_out(replica::EndGeneration& effect);
  void carry_out(replica::StepFinished& effect);
  void carry_out(replica::WakeReplicaAt& effect);

  void execute(std::uint32_t rank, const step::StepPlan& plan);
  bool dies_of(std::uint32_t rank, const step::StepPlan& plan);
  void answer(std::uint32_t rank, step::StepResult result);
  void on_result(const step::StepResult& result);
  void end_life();
  void restart();
  void check_loss(const routing::ReplicaLoss& loss);
  void violate(const std::string& what);

  World& world_;
  Network& network_;
  SimCoordinator& coordinator_;
  RequestBook& book_;
  std::uint32_t index_;
  routing::NumericsId numerics_;
  routing::ReplicaGeneration generation_;
  std::unique_ptr<Life> life_;
  std::uint64_t lives_ = 0;
  bool draining_ = false, given_up_ = false;
  std::uint32_t starts_to_fail_ = 0;
  std::deque<step::StepResult> old_results_;  // of earlier lives
};

}  // namespace herd::sim
