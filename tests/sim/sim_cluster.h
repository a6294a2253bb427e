#pragma once
// SimCluster: the pure cores of a whole cluster (Scheduler, StepCollector, RequestLedger, Router) with toy shards, in
// one thread under virtual time. Everything follows from the options' seed: message delays, deaths and restarts of
// replicas, failed steps, clients that leave or read slowly. Wires the cores as the actors do; decides nothing.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "cluster/replica/step_collector.h"
#include "actors/messages/wire_roundtrip.h"
#include "cluster/gateway/request_ledger.h"
#include "cluster/routing/router.h"
#include "runtime/scheduler/scheduler.h"
#include "tests/sim/event_loop.h"
#include "tests/sim/plan_checker.h"
#include "tests/sim/sim_options.h"
#include "tests/sim/stream_checker.h"
#include "tests/sim/toy_shard.h"

namespace herd::sim {

struct SimReport {
  std::optional<std::string> violation;  // the first broken promise
  std::uint64_t trace_hash = 0;          // of all that clients saw, with its times
  std::uint64_t events = 0;
  std::uint64_t replicas_lost = 0;
  gateway::RequestLedgerStats ledger;
  std::uint64_t preemptions = 0;
  std::uint64_t held_back = 0;
  std::uint64_t prompt_logprobs = 0;  // that clients got
};

class SimCluster {
 public:
  explicit SimCluster(const SimOptions& options);
  // The faults come in the first part; then all are healed, and everything must end.
  SimReport run();

 private:
  struct Replica {
    routing::ReplicaGeneration generation;
    bool alive = false;
    std::unique_ptr<scheduler::Scheduler> scheduler;
    std::unique_ptr<replica::StepCollector> collector;
    std::unique_ptr<PlanChecker> plans;
    std::vector<std::unique_ptr<ToyShard>> shards;
    std::vector<Link> to_rank, from_rank;
    Link to_gateway, from_gateway;
    std::uint32_t fail_next = 0;              // steps to fail
    std::uint32_t wrong_next = 0;             // hashes to spoil
    std::map<StepId, std::uint32_t> answers;  // of ranks, by step
    std::optional<StepId> spoiled;            // the step whose hashes differ: it must not count
  };
  struct Client {
    std::unique_ptr<StreamChecker> checker;
    std::deque<step::TokenDelta> unread;
    std::size_t credit = 0;
    std::int64_t read_us_max = 0;  // 0: reads at once
    bool refused = false;
  };

  // Load and faults.
  void schedule_arrivals();
  void schedule_faults();
  step::Submission draw_submission(std::uint64_t sequence);
  void arrive(std::uint64_t sequence);

  // Gateway.
  void ask_route(SequenceId sequence);
  void on_route(SequenceId sequence, std::optional<routing::ReplicaGeneration> route);
  void on_deltas(routing::ReplicaGeneration from, const std::vector<step::TokenDelta>& deltas);
  void deliver(const step::TokenDelta& delta);
  void abort(SequenceId sequence, const Status& why);
  void on_replica_lost(routing::ReplicaGeneration replica, const Status& why);

  // Client.
  bool push(const step::TokenDelta& delta);
  void read(SequenceId sequence);

  // Replica.
  void start_replica(std::uint32_t index, Epoch epoch);
  void lose_replica(std::uint32_t index, const Status& why);
  void run_sequence(std::uint32_t index, const step::Submission& submission);
  void pump(std::uint32_t index);
  void execute(std::uint32_t index, std::uint32_t rank, const step::StepPlan& plan);
  void on_step_done(std::uint32_t index, const step::StepResult& result);
  void publish(std::uint32_t index, std::vector<step::TokenDelta> deltas);
  // Runs `event` when it arrives, unless the replica is of another generation by then.
  void to_replica(std::uint32_t index, Link& link, std::int64_t us_max, EventLoop::Event event);

  void check_all();
  void check_drained();
  void violate(const std::string& what);
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  const SimOptions options_;
  std::mt19937_64 random_;
  EventLoop loop_;
  actors::WireRoundtrip through_wire_;
  gateway::RequestLedger ledger_;
  routing::Router router_;
  Link to_coordinator_, from_coordinator_, notices_;
  std::deque<Replica> replicas_;
  std::map<SequenceId, Client> clients_;
  // Where each open sequence runs, as seen from outside the ledger; nothing while it waits for a route.
  std::map<SequenceId, routing::ReplicaGeneration> runs_on_;
  std::vector<std::vector<TokenId>> prefixes_;  // shared by prompts
  bool healed_ = false;
  bool faulty_ = false;  // something was injected that may fail a sequence
  SimReport report_;
};

}  // namespace herd::sim
