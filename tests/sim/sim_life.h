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
#include <tuple>
#include <utility>
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
  virtual void give_block(const replica::SharedBlockBytes& bytes) = 0;  // to its rank
  virtual void send_to_holder(const routing::Route& holder, const replica::ToHolder& message) = 0;
  virtual void send_to_taker(replica::TakerId taker, const replica::ToTaker& message) = 0;
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

  // From other replicas, and from a rank for one of them. `spoiled`: a block that is not as it was read.
  void on_move(const replica::ToTaker& message, bool spoiled);
  void on_move(replica::TakerId taker, const replica::ToHolder& message);
  void on_holder_gone(routing::ReplicaGeneration holder);
  void on_taker_gone(replica::TakerId taker);
  void on_block_read(Epoch epoch, const step::BlockBytes& bytes);

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
    std::vector<step::DamagedBlock> damaged;  // as ranks said
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
  void carry_out(replica::SendToHolder& effect);
  void carry_out(replica::SendToTaker& effect);
  void carry_out(replica::GiveBlock& effect);
  void count_stop(TransferId move);
  void check_damaged(const step::StepPlan& plan, const step::StepResult& result);
  // Decides what may end moves for that reason.
  template <class Ask>
  void decide_for(Reached reason, Ask ask) {
    stops_moves_ = reason;
    decide(ask);
    stops_moves_ = Reached::kBlocksForRoom;
  }
  // What became of moves since it was asked last.
  void count_moves();
  void check_moves(const replica::MoveStats& moves);
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
  replica::MoveStats moves_;       // counted so far
  std::uint64_t bytes_given_ = 0, bytes_sent_ = 0;  // of blocks: to its ranks, to other replicas
  bool spoiled_block_ = false;     // the block that it hears of now
  Reached stops_moves_ = Reached::kBlocksForRoom;  // what a move that it stops now ends by
  std::map<TransferId, std::size_t> asked_;  // moves, and the tokens of those whose holder is not known to have less
  std::set<std::tuple<TransferId, std::uint32_t, std::uint32_t>> spoiled_;  // blocks that ranks were given: transfer, index, rank
  std::deque<RankFault> planted_;
  std::set<std::uint32_t> guilty_;  // ranks that something befell
  std::optional<StepId> late_step_;
  std::optional<StepId> fatal_step_;
  Instant excused_until_;
  bool doomed_ = false, has_served_ = false, over_ = false;
};

}  // namespace herd::sim
