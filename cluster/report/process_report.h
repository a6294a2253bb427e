#pragma once
// What processes of a cluster say of themselves, and what `herd status` shows of all. Values; they travel as schema/report.capnp
// says.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/handshake/hello.h"
#include "cluster/routing/cluster_view.h"
#include "runtime/ids.h"

namespace herd::report {

inline constexpr std::size_t kProcessesMax = 4096;      // of a cluster
inline constexpr std::size_t kReportNameBytesMax = 256;  // of each text but the two below
inline constexpr std::size_t kReportTextBytesMax = 512;  // last_death, why: longer ones are cut on the wire

enum class ProcessState : std::uint8_t { kStarting, kServing, kDraining, kStopped, kFailed };
[[nodiscard]] constexpr const char* process_state_name(ProcessState state) {
  switch (state) {
    case ProcessState::kStarting: return "starting";
    case ProcessState::kServing: return "serving";
    case ProcessState::kDraining: return "draining";
    case ProcessState::kStopped: return "stopped";
    case ProcessState::kFailed: return "failed";
  }
  return "?";
}

// One process. Its node speaks for a rank.
struct ProcessReport {
  handshake::Role role = handshake::Role::kNode;
  std::string name;               // unique within a role, the same over restarts: "node-a"; of a rank "replica-0/rank-1"
  std::string node;               // on whose machine it runs; empty: not known
  std::int64_t pid = 0;           // 0: there is none now
  bool leader = false;            // the rank that takes its replica's gateways
  ProcessState state = ProcessState::kStarting;
  std::uint64_t epoch = 0;        // of its replica's group; of a coordinator the cluster's; else 0
  std::uint32_t restarts = 0;     // since its supervisor started
  std::string last_death;         // "killed by signal 9 (SIGKILL)"; empty: it never died
  std::string endpoint_url;       // of a gateway: "http://127.0.0.1:8000"
  std::string metrics_url;        // "http://127.0.0.1:9100/metrics"; empty: none
  std::int32_t loaded_percent = -1;  // of its weights, while they load
  // Of a gateway: what its resume key and its API keys are, as digests that tell nothing but whether two are equal:
  // "RESUME/KEYS", each 16 hexadecimal digits, or "-" where it has none. Else empty.
  std::string access_digest;
  // Of a node: digests of all weights that a replica of it read, and of its tokenizer with the chat template, each 16 hexadecimal digits;
  // empty: it has read none, has none. Two nodes that hold the same have equal ones.
  std::string weights_digest;
  std::string tokenizer_digest;
  bool operator==(const ProcessReport&) const = default;
};

// The prefix cache of a replica, as a gateway heard of it last. Counters of that generation; they rise only.
struct CacheReport {
  ReplicaId replica;
  std::uint64_t epoch = 0;
  std::uint64_t query_tokens = 0;   // looked up
  std::uint64_t hit_tokens = 0;     // of these, found
  std::uint64_t evicted_blocks = 0;
  double saved_s = 0.0;             // what the hits would have taken to compute
  std::uint64_t bytes_in = 0;       // of KV blocks taken from other replicas
  std::uint64_t bytes_out = 0;      // given to others
  std::uint64_t blocks_recomputed = 0;  // asked for, and computed as they did not come
  bool operator==(const CacheReport&) const = default;
};

// To the coordinator: all that the sender speaks for. It replaces what it said before.
struct ProcessReports {
  std::vector<ProcessReport> processes;
  std::vector<CacheReport> caches{};  // of a gateway: rising, each replica once
  bool operator==(const ProcessReports&) const = default;
};

// To the coordinator, from an operator. Answered by one ClusterStatusReport.
struct StatusAsk {
  bool operator==(const StatusAsk&) const = default;
};

enum class ReplicaCondition : std::uint8_t { kServing, kReforming, kDraining, kLost };
[[nodiscard]] constexpr const char* replica_condition_name(ReplicaCondition condition) {
  switch (condition) {
    case ReplicaCondition::kServing: return "serving";
    case ReplicaCondition::kReforming: return "re-forming";
    case ReplicaCondition::kDraining: return "draining";
    case ReplicaCondition::kLost: return "lost";
  }
  return "?";
}
struct ReplicaReportLine {
  ReplicaId replica;
  ReplicaCondition condition = ReplicaCondition::kReforming;
  std::string node;          // that holds it; empty: none
  std::uint64_t epoch = 0;
  std::string why;           // why it does not serve; empty: it does
  std::optional<CacheReport> cache{};  // of that epoch; nothing: no gateway has told of it
  bool operator==(const ReplicaReportLine&) const = default;
};

struct ClusterStatusReport {
  std::string cluster;
  std::vector<ProcessReport> processes;     // coordinators, nodes, ranks, gateways; by role and name
  std::vector<ReplicaReportLine> replicas;  // rising
  // What an operator should look at, a sentence each: "gateway-2 has another resume key than gateway-1". At most 256.
  std::vector<std::string> notices{};
  bool operator==(const ClusterStatusReport&) const = default;
};

}  // namespace herd::report
