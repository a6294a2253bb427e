#pragma once
// SimLife: one generation of a replica: a ReplicaCore, and what it says carried out and watched.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cluster/replica/replica_core.h"
#include "tests/sim/network.h"
#include "tests/sim/plan_checker.h"
#include "tests/sim/request_book.h"
#include "tests/sim/sim_collective.h"
#include "tests/sim/sim_rank.h"
#include "tests/sim/world.h"

namespace herd::sim {

// Its place: ranks, supervisor, gateways.
class LifeHost {
 public:
  virtual ~LifeHost() = default;
  // Runs it then, if that generation still lives.
  virtual void at_life(Instant when, EventLoop::Event event) = 0;
  virtual void send_deltas(GatewayId gateway, std::vector<step::TokenDelta> deltas) = 0;
  virtual void send_loss(const routing::ReplicaLoss& loss) = 0;  // to every gateway that joined
  virtual void send_news(kv::BlockNews news) = 0;                // likewise, beside how it stands
  virtual void send_plan(const step::StepPlan& plan) = 0;  // to every rank
  virtual std::vector<Progress> read_ranks() const = 0;
  virtual void on_life_serving() = 0;
  virtual void on_life_lost(const routing::ReplicaLoss& loss) = 0;
  virtual void end_life() = 0;  // it is not asked anything afterwards
};

class SimLife {
 public:
  SimLife(World& world, Network& network, RequestBook& book, LifeHost& host, routing::ReplicaGeneration generation);

  void start();
  void on_joined(std::uint32_t rank, const Status& status);
  void on_result(const step::StepResult& result);
  void on_rank_lost(std::uint32_t rank, routing::LossCause cause, const std::string& why);
  // It takes nothing new, and stops once nothing is left or that time is over.
  void drain(double drain_s);
  void on_submission(const step::Submission& submission);
  void on_abort(const step::AttemptKey& attempt);
  void on_gateway_gone(GatewayId gateway);

  // What befalls it, and what befell it. Doomed: something that may end it.
  void doom() { doomed_ = true; }
  void blame(std::uint32_t rank) { guilty_.insert(rank); doomed_ = true; }
  // Until then it may end because of that rank.
  void excuse(std::uint32_t rank, Instant until) { guilty_.insert(rank); excused_until_ = std::max(excused_until_, until); }
  void plant(RankFault fault) { planted_.push_back(fault); }
  void forget_planted() { planted_.clear(); }
  std::optional<RankFault> take_fault(std::uint32_t rank, const step::StepPlan& plan);
  // The choice of that step that kills who computes it; null: none.
  SimChoice* poison_in(const step::StepPlan& plan);
  void on_killed_by(SimChoice& choice, const step::StepPlan& plan);
  void on_computed(const step::StepPlan& plan, const ToyShard& shard, bool spoiled);

  [[nodiscard]] bool doomed() const { return doomed_ || !planted_.empty() || late_step_ || world_.now() < excused_until_; }
  [[nodiscard]] bool serving() const { return core_.serving(); }
  [[nodiscard]] bool draining() const { return core_.draining(); }
  // When it is to have stopped; nullopt: it does not drain.
  [[nodiscard]] std::optional<Instant> stops_by() const { return stops_by_; }
  [[nodiscard]] bool ended() const { return core_.ended(); }
  [[nodiscard]] bool has_served() const { return has_served_; }
  [[nodiscard]] bool idle() const;
  [[nodiscard]] replica::ReplicaStats stats() const { return core_.stats(); }
  // All that is cached; news are told first.
  [[nodiscard]] std::optional<kv::BlockNews> all_news() {
    if (!over_ && core_.has_news()) host_.send_news(core_.take_news());
    return core_.all_news();
  }
  [[nodiscard]] std::uint64_t steps_finished() const { return steps_finished_; }
  [[nodiscard]] const std::shared_ptr<SimCollective>& group() const { return group_; }
  void check(std::uint32_t sequences_max);
  void check_drained();

 private:
  struct StepOut {
    step::StepPlan plan;
    std::uint32_t answers = 0;  // of ranks
    bool spoiled = false;       // it must not count
  };
  using Effects = replica::ReplicaEffects;

  // Asks the core and does what it says.
  template <class Ask>
  void decide(Ask ask) {
    Effects effects;
    ask(core_, effects);
    carry_out(effects);
  }
  void tell_news();
  void carry_out(Effects& effects);
  void carry_out(replica::ExecuteOnRanks& effect);
  void carry_out(replica::SendDeltas& effect);
  void carry_out(replica::SayServing& effect);
  void carry_out(replica::SayLost& effect);
  void carry_out(replica::AbortGroup& effect);
  void carry_out(replica::EndGeneration& effect);
  void carry_out(replica::StepFinished& effect);
  void carry_out(replica::WakeReplicaAt& effect);
  void check_loss(const routing::ReplicaLoss& loss);
  void check_blame(const routing::ReplicaLoss& loss);
  void check_stop();
  void open(const step::AttemptKey& attempt);
  [[nodiscard]] bool is_open(std::uint64_t seed) const;
  void violate(const std::string& what);

  World& world_;
  Network& network_;
  RequestBook& book_;
  LifeHost& host_;
  routing::ReplicaGeneration generation_;
  replica::ReplicaCore core_;
  PlanChecker plans_;
  std::shared_ptr<SimCollective> group_;
  std::deque<StepOut> steps_out_;           // oldest first
  std::uint64_t steps_answered_ = 0;        // by all ranks
  std::uint64_t steps_finished_ = 0;        // that the core says
  std::map<SequenceId, SimChoice*> known_;  // by the replica's own ids, ever started
  std::map<std::uint64_t, step::AttemptKey> attempts_;   // the last one submitted, by sampling seed
  std::map<step::AttemptKey, std::uint64_t> submitted_;  // ever, with their sampling seeds
  std::set<std::uint64_t> ended_;  // sampling seeds that were aborted: no plan made later may compute them
  std::set<step::AttemptKey> open_;  // that nobody has ended
  std::optional<Instant> stops_by_;       // as it was told last
  std::optional<Instant> may_stop_from_;  // with work left
  std::uint64_t wakes_ = 0;        // the last timer asked for
  std::deque<RankFault> planted_;
  std::set<std::uint32_t> guilty_;  // ranks that something befell
  std::optional<StepId> late_step_;
  std::optional<StepId> fatal_step_;
  Instant excused_until_;
  bool doomed_ = false, has_served_ = false, over_ = false;
};

}  // namespace herd::sim
