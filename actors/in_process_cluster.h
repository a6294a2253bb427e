#pragma once
// InProcessCluster: gateway, coordinator and dp replicas of tp ranks as actors of this process (`herd generate`,
// `herd serve` without a cluster file). A resource; its methods may be called from any thread that is not one of
// its own. No CAF here: the command line's units do not pay for its headers.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/messages/delta_sink.h"
#include "actors/messages/rank_factory.h"
#include "cluster/gateway/request_ledger.h"
#include "kernels/status.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/scheduler/scheduler.h"
#include "runtime/step/submission.h"

namespace herd::actors {

struct InProcessClusterConfig {
  scheduler::SchedulerConfig scheduler;  // of each replica
  scheduler::SchedulerProbe scheduler_probe;  // tests
  std::uint32_t replicas = 1;            // dp, [1, 64]
  std::uint32_t ranks = 1;               // of one replica: tp * pp, [1, 64]
  RankFactory make_rank;
  // Makes ranks that wait in the replica's collectives return (Collective::abort). Any thread; may be empty.
  std::function<void(ReplicaId, const Status& why)> abort_replica;
  // After every step of a replica; may be empty. On that replica's actor thread, which waits for it; those of several
  // replicas may run at the same time.
  OnStep on_step;
  gateway::RequestLedgerConfig ledger;
  // start() gives up when not every rank is made by then.
  std::chrono::milliseconds start_timeout{600'000};
  // A step without the results of all ranks for so long fails its replica. Far above any honest step.
  std::chrono::milliseconds step_timeout{120'000};
  // Every message passes through its Cap'n Proto codec on its way (tests, and a way to price it).
  bool wire_roundtrip = false;
  std::function<Instant()> clock;  // empty: the steady clock
};

struct InProcessClusterStats {
  gateway::RequestLedgerStats gateway;
  struct Replica {
    ReplicaId replica;
    bool serving = false;
    std::uint64_t steps = 0;              // finished
    scheduler::SchedulerStats scheduler;  // of a replica that serves
  };
  std::vector<Replica> replicas;
};

class InProcessCluster {
 public:
  // Waits until every rank is made; the first factory's refusal otherwise.
  static Expected<std::unique_ptr<InProcessCluster>> start(InProcessClusterConfig config);
  ~InProcessCluster();  // shutdown()
  InProcessCluster(const InProcessCluster&) = delete;
  InProcessCluster& operator=(const InProcessCluster&) = delete;

  // Never waits. Exactly one terminal delta reaches the sink, for refusals too (kRefused with the reason).
  // The caller chooses submission.sequence, never used before; attempt is 0.
  void submit(step::Submission submission, std::shared_ptr<DeltaSink> sink);
  // The sequence's terminal delta is kAborted unless another one was faster. Unknown ids are ignored.
  void abort(SequenceId sequence);
  [[nodiscard]] InProcessClusterStats stats();
  // Ends open sequences (kAborted), then all actors and threads; a running step is waited for. Repeatable.
  void shutdown();

  // Tests: the actor of one rank dies as if its thread had.
  void kill_rank(ReplicaId replica, std::uint32_t rank);

 private:
  struct Impl;
  explicit InProcessCluster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace herd::actors
