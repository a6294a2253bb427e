#pragma once
// What one seed is: a topology, a load, the faults that may come, and which of them are off (leaving features out
// finds more than always using all). Drawn from the seed alone.

#include <cstdint>
#include <memory>
#include <optional>

#include "cluster/admission/admission_queue.h"
#include "cluster/membership/restart_budget.h"
#include "cluster/replica/block_fetches.h"
#include "cluster/replica/progress_watch.h"
#include "cluster/routing/cluster_view.h"
#include "runtime/scheduler/scheduler.h"
#include "tests/sim/reached.h"
#include "tests/sim/script.h"

namespace herd::sim {

struct SimOptions {
  std::uint64_t seed = 0;
  // Which run of the seed it is: other delays (salt); some of its events only (null: all). For looking at it, nothing else.
  std::uint64_t salt = 0;
  std::shared_ptr<const EventNumbers> only;
  std::uint64_t steps_max = 5'000'000;  // of the simulation: a run of the largest size takes well below 10^6; more is no progress
  std::optional<Reached> never;         // a promise made for a test: it does not happen

  std::uint32_t gateways = 1;
  std::uint32_t nodes = 1;
  std::uint32_t replicas = 1;
  std::uint32_t replicas_per_node = 1;  // that it has room for
  bool any_node = false;           // the coordinator does not know nodes before they come
  std::uint32_t ranks = 1;
  std::uint32_t numerics_ids = 1;  // replicas take turns
  scheduler::SchedulerConfig scheduler;
  std::uint32_t preempt_every_steps = 0;  // one sequence; 0: never
  std::optional<scheduler::DeviceRates> rates;  // what steps are predicted by, at first; nullopt: by nothing
  double step_seconds_max = 1;
  bool ranks_are_processes = false;  // which can be ended whatever they do; else threads
  membership::RestartBudget budget;
  bool wire = false;  // every message through its codec
  bool moves = false;                // replicas take KV blocks from each other
  std::uint32_t other_layout = ~0U;  // the replica whose blocks lie otherwise in memory
  std::uint64_t block_bytes = 0;     // of a block, as replicas are told
  bool alike = false;                // most prompts begin alike for long

  // Of each gateway.
  admission::AdmissionConfig admission;
  std::uint32_t tenants = 1;
  bool quotas = false;
  double retry_min_s = 0.02;
  double retry_max_s = 0.5;

  std::uint32_t requests = 0;
  std::uint32_t choices_max = 1;
  std::uint32_t prompt_tokens_max = 0;
  std::uint32_t emitted_tokens_max = 0;
  std::int64_t arrivals_us = 0;  // requests arrive in [0, arrivals_us)
  bool flood = false;            // most requests are of one tenant, and come at once
  std::uint32_t short_deadline_percent = 0;
  std::int64_t short_deadline_us_max = 0;

  std::int64_t message_us_max = 0;  // delays are in [1, max]
  std::int64_t delta_us_max = 0;    // of deltas alone: long ones arrive after their replica is lost
  std::int64_t block_us_max = 0;    // of KV blocks between replicas
  std::int64_t step_us_max = 0;
  std::int64_t detect_us_max = 0;   // until somebody notices a death or a closed connection
  std::int64_t restart_us_max = 0;  // to start a rank, or a process that ended
  std::int64_t silence_us = 0;      // after which a connection is closed
  std::int64_t redial_us_max = 0;   // before it is tried again
  std::int64_t gather_us = 0;       // a coordinator waits for its nodes
  std::int64_t away_us = 0;         // a node may be gone before its replicas are placed elsewhere
  std::int64_t faults_us = 0;       // faults come in [0, faults_us); then all heals

  // Faults; 0 or false: off.
  std::uint32_t node_kills = 0;           // the process of a node is gone, its ranks with it
  std::uint32_t machine_losses = 0;       // likewise, and nobody closes its connections
  bool long_absences = false;             // it may be gone for longer than away_us
  std::uint32_t rank_kills = 0;           // one rank is killed; its leader says so
  std::uint32_t leader_kills = 0;         // or its node, when it was the leader
  std::uint32_t rank_deaths = 0;          // one rank dies of itself, whatever it computes
  std::uint32_t leader_deaths = 0;        // where it is the leader, nobody is left to say what it computed
  std::uint32_t failed_steps = 0;         // a rank answers a step with an error
  std::uint32_t wrong_hashes = 0;         // a rank answers a step with another token hash
  std::uint32_t damaged_weights = 0;      // a rank samples other tokens until it reads its weights again
  std::uint32_t hangs = 0;                // a rank computes for ever
  std::uint32_t late_steps = 0;           // a rank computes for long
  std::uint32_t deaths_in_collective = 0;
  std::uint32_t skipped_collectives = 0;
  std::uint32_t pauses = 0;               // a node's machine does nothing for a while
  std::uint32_t node_sleeps = 0;          // a node's process does nothing, while its leaders go on
  std::uint32_t failed_starts = 0;        // a rank cannot be made
  std::uint32_t failed_joins = 0;         // a rank cannot join the group
  std::uint32_t stale_results = 0;        // results of an earlier life reach a later one
  std::uint32_t poison_requests = 0;      // whoever computes past one position of them dies of it
  std::uint32_t not_finite_per_million = 0;  // rows that come out as NaN
  std::uint32_t cuts = 0;                 // between two machines, in one direction or both, for a while
  std::uint32_t resets = 0;               // of all connections between two machines
  std::uint32_t partitions = 0;           // some machines from all the others
  std::uint32_t flaps = 0;                // a way that fails and comes back, again and again
  std::uint32_t leader_sleeps = 0;        // a leader's process does nothing for a while, while its node and the other ranks go on
  std::uint32_t gateway_sleeps = 0;
  std::uint32_t gateway_crashes = 0;
  std::uint32_t gateway_stops = 0;
  std::uint32_t coordinator_silences = 0;
  std::uint32_t coordinator_restarts = 0;
  bool clock_jumps = false;               // the wall clock of a coordinator that starts again may show an earlier time
  std::uint32_t drains = 0;               // an operator drains a node or a replica, and takes that back later
  std::uint32_t node_stops = 0;           // the process of a node is told to end
  std::uint32_t rank_stops = 0;           // likewise that of a rank
  std::uint32_t rolling_restarts = 0;
  bool given_up = false;                  // at the end of the faults no node can hold anything any more
  std::uint32_t leaves_percent = 0;       // requests whose client leaves
  std::uint32_t taken_up_percent = 0;     // requests whose client goes on at another gateway when its own is gone
  std::uint32_t slow_percent = 0;         // requests whose client reads too slowly
  std::uint32_t stops_percent = 0;        // choices of which the client has enough
  std::uint32_t duplicates_percent = 0;   // deltas that come twice
  std::uint32_t repeats_percent = 0;      // submissions that come twice
  std::uint32_t resumed_percent = 0;      // requests that only one kind of numerics may serve
  std::uint32_t bad_percent = 0;          // requests that no replica can take
  std::uint32_t lost_news_percent = 0;    // news of prefix caches that do not come
  std::uint32_t spoiled_percent = 0;      // KV blocks that are damaged on the way
  std::uint32_t broken_percent = 0;       // words to one that takes blocks with which their connection ends
  std::uint32_t muted_percent = 0;        // moves that fall silent in one direction

  // What a replica takes at one time.
  [[nodiscard]] std::uint32_t sequences_max() const { return scheduler.max_num_seqs + scheduler.queue_requests_max; }
  // After the last disturbance: until every connection stands and every gateway knows the cluster.
  [[nodiscard]] std::int64_t settle_us() const {
    return 2 * (silence_us + redial_us_max) + gather_us + away_us + 10 * (message_us_max + detect_us_max + delta_us_max);
  }
  // Honest work shows progress at least so often.
  [[nodiscard]] std::int64_t honest_us() const { return step_us_max + 2 * message_us_max; }
  [[nodiscard]] std::int64_t hang_us() const { return 4 * honest_us(); }
  // An honest rank never waits for its peers so long. Before or after its watcher would find that it does.
  [[nodiscard]] std::int64_t collective_us() const { return (seed % 2 == 0 ? 2 : 6) * honest_us(); }
  [[nodiscard]] replica::WatchConfig watch() const {
    const double honest_s = 1e-6 * static_cast<double>(honest_us());
    return {.look_every_s = honest_s, .least_s = 4 * honest_s, .factor = 4, .gap_s = 1.5 * honest_s};
  }
};

// Of a small model's steps.
[[nodiscard]] std::optional<scheduler::StepCost> step_cost(const SimOptions& options);

// Of that replica, wherever it is.
[[nodiscard]] replica::MoveConfig move_config(const SimOptions& options, ReplicaId replica);

// What that replica computes, wherever it is.
[[nodiscard]] routing::NumericsId numerics_of(const SimOptions& options, ReplicaId replica);

SimOptions draw_options(std::uint64_t seed);

}  // namespace herd::sim
