#pragma once
// StandaloneCluster: gateway, coordinator and dp replicas of tp ranks as actors of this process (`herd generate`, and
// `herd serve` without a cluster file). A resource; any thread that is not one of its own. No CAF here: the command line's
// units do not pay for its headers.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "actors/client/cluster_client.h"
#include "actors/messages/observers.h"
#include "actors/ranks/rank_ground.h"
#include "cluster/gateway/gateway_core.h"
#include "cluster/membership/restart_budget.h"
#include "cluster/replica/progress_watch.h"
#include "kernels/status.h"
#include "runtime/clock.h"
#include "runtime/ids.h"
#include "runtime/scheduler/scheduler.h"

namespace herd::actors {

struct StandaloneConfig {
  scheduler::SchedulerConfig scheduler;       // of each replica
  scheduler::SchedulerProbe scheduler_probe;  // tests
  std::uint32_t replicas = 1;            // dp, [1, 64]
  std::uint32_t ranks = 1;               // of one replica: tp * pp, [1, 64]
  routing::NumericsId numerics;          // of all replicas
  replica::MoveConfig moves;             // KV blocks from one of them to another
  std::shared_ptr<RankGround> ground;    // makes the ranks, and what they meet in
  membership::RestartBudget restart_budget;  // of each replica
  replica::WatchConfig watch;            // when a rank that makes no progress is suspected
  // What operations of a step are predicted to take, of ranks that were measured so; empty: nothing is predicted, and
  // watch.least_s alone decides.
  std::function<scheduler::StepCost(const scheduler::DeviceRates&)> make_cost;
  // After every step of a replica; may be empty. On that replica's actor thread, which waits for it; those of several
  // replicas may run at the same time.
  OnStep on_step;
  // What happened to a replica, as it happens; may be empty. On one thread a replica, which waits for it.
  OnNote on_note;
  gateway::GatewayConfig gateway = gateway_of_one_caller();
  // For streams that make text and frames of what is delivered. Streams that only hand it on do so on the actors' pool: one
  // thread less takes turns with those that compute.
  bool gateway_has_own_thread = false;
  // start() gives up when not every replica serves by then.
  std::chrono::milliseconds start_timeout{600'000};
  // A step without the results of all ranks for so long fails its replica. Far above any honest step.
  std::chrono::milliseconds step_timeout{120'000};
  std::function<Instant()> clock;  // empty: the steady clock

  // For a caller that bounds what it asks for itself, such as a command: its load alone is no reason to refuse.
  [[nodiscard]] static gateway::GatewayConfig gateway_of_one_caller();
  [[nodiscard]] Status validate() const;
};

class StandaloneCluster {
 public:
  // Waits until every replica serves and the gateway knows it; the first rank's refusal otherwise.
  static Expected<std::unique_ptr<StandaloneCluster>> start(StandaloneConfig config);
  ~StandaloneCluster();  // shutdown()
  StandaloneCluster(const StandaloneCluster&) = delete;
  StandaloneCluster& operator=(const StandaloneCluster&) = delete;

  // Lives as long as the cluster; after shutdown() it refuses.
  [[nodiscard]] ClusterClient& client();
  // Stops the client, then ends all actors and threads; a running step is waited for, but no thread for longer than `patience`
  // altogether. False: one hangs in what it computes. It cannot be ended, and what it uses stays in memory: the process should
  // end with _Exit. Repeatable.
  bool shutdown(std::chrono::milliseconds patience = kPatience);
  static constexpr std::chrono::minutes kPatience{10};

 private:
  struct Impl;
  explicit StandaloneCluster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace herd::actors
