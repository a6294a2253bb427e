#pragma once
// A cluster in this process whose ranks are toy shards, and clients that check their streams. Faults are switches that the
// test may turn from any thread.

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "actors/client/delta_queue.h"
#include "actors/standalone_cluster.h"
#include "tests/sim/stream_checker.h"
#include "tests/sim/toy_shard.h"

namespace herd::actors {

inline constexpr TokenId kToyVocabSize = 64;

// What the test may do to a rank while it runs.
struct ToyFaults {
  std::atomic<std::int64_t> fail_rank{-1};          // replica * 100 + rank answers its next step with an error
  std::atomic<std::int64_t> throw_rank{-1};         // … throws
  std::atomic<std::int64_t> other_tokens_rank{-1};  // … answers with another token hash
  std::atomic<std::int64_t> hang_rank{-1};          // … waits in its "collective" until the group is aborted
  std::atomic<std::int64_t> stop_rank{-1};          // … hangs in what it computes, until `released`
  std::atomic<bool> released{false};
  std::atomic<std::uint32_t> aborted_replicas{0};   // groups that were given up
  std::atomic<std::uint32_t> made{0};               // ranks, of all lives
  std::atomic<std::uint32_t> made_again{0};         // of them, those that were to read their weights again
  std::atomic<std::uint32_t> joined{0};             // times that a rank entered a group
  std::atomic<std::uint32_t> step_us{0};            // every step takes at least so long
  std::atomic<std::int64_t> refuse_rank{-1};        // cannot be made
  // Ranks made while this is above 0 are devices: a step is under way when submit returns, and so many looks find it
  // unfinished. hang_rank then never finishes, until the group is aborted; throw_rank throws when it is collected.
  std::atomic<std::uint32_t> late_looks{0};
  std::atomic<std::uint32_t> under_way_most{0};     // steps under way at once, of any rank
  std::atomic<std::int64_t> under_way{0};           // of all ranks that are there
};

// Passes every rank's executor on; may be empty.
using WrapToy = std::function<std::unique_ptr<shard::RankExecutor>(std::unique_ptr<shard::RankExecutor>)>;

// Deaths do not use up what restarts are allowed.
StandaloneConfig toy_config(std::uint32_t replicas, std::uint32_t ranks, std::shared_ptr<ToyFaults> faults,
                            const WrapToy& wrap = {});

class StandaloneActors;

// The actors of a StandaloneCluster within reach: a rank can be killed, a second gateway can join.
class ToyCluster {
 public:
  explicit ToyCluster(StandaloneConfig config);
  ~ToyCluster();
  [[nodiscard]] ClusterClient& client();
  // Another gateway, once it knows every replica that serves.
  [[nodiscard]] std::unique_ptr<ClusterClient> join_gateway(GatewayId id);
  // The actor of one rank dies as if its thread had been killed. False: it is being started again just now.
  bool kill_rank(ReplicaId replica, std::uint32_t rank);
  [[nodiscard]] std::shared_ptr<const ClusterStatus> status() { return client().status(); }
  // Until the status is like that; false when it does not become so within a minute.
  bool await(const std::function<bool(const ClusterStatus&)>& wanted);
  bool shutdown(std::chrono::milliseconds patience = std::chrono::minutes(1));

 private:
  std::unique_ptr<StandaloneActors> actors_;
};

// Polls: until the status of a client is like that; false after a minute.
bool await_status(const ClusterClient& client, const std::function<bool(const ClusterStatus&)>& wanted);

step::Submission toy_submission(std::uint64_t sequence, std::uint32_t prompt_tokens, std::uint32_t max_tokens);

// A request's end as the terminal delta of its one sequence; nothing for a good one, whose last delta told it.
std::optional<step::TokenDelta> terminal_of(const gateway::RequestEnd& end);

// Several requests of one sequence each behind one queue; a sequence's id is its request's.
class ToyClient {
 public:
  explicit ToyClient(ClusterClient& client) : queue_(client, std::size_t{1} << 20) {}
  void submit(const step::Submission& submission);
  // Until every sequence has ended, or `timeout` without a delta: then false.
  bool read_all(std::chrono::milliseconds timeout = std::chrono::seconds(20));
  // Until `tokens` of one sequence have come.
  bool read_until(SequenceId sequence, std::uint32_t tokens);

  [[nodiscard]] const sim::StreamChecker& stream(std::uint64_t sequence) const {
    return streams_.at(SequenceId(sequence));
  }
  [[nodiscard]] std::size_t count(step::FinishReason finish) const;
  // The first broken promise of any stream.
  [[nodiscard]] std::string violation() const;
  [[nodiscard]] const Status& error(std::uint64_t sequence) const { return errors_.at(SequenceId(sequence)); }

 private:
  bool read_one(std::chrono::milliseconds timeout);

  DeltaQueue queue_;
  std::map<SequenceId, sim::StreamChecker> streams_;
  std::map<SequenceId, Status> errors_;
};

}  // namespace herd::actors
