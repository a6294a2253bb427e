#pragma once
// RankProcess: a process that is one rank of a replica, as its node started it; the first rank's is the replica's leader beside it.
// What it is to be it hears on the connection that it was started with (cluster/replica/group_messages.h):
//
//   started --RankSpec--> loading (RankLoading …) --> ready (RankReady; a leader takes gateways) --its node goes--> ended
//   any --stop()--> its node is asked to drain the replica (StopReplica), and ends this rank then
//   ready: a leader hears FormReplica, RankEnded, StopReplica; every rank LeaveGroup; another rank JoinGroup from its leader
// It ends when its node has gone or has taken leave of it, or when its rank cannot be made or is in no known state.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "actors/link/link_host.h"
#include "actors/link/tls_files.h"
#include "actors/messages/observers.h"
#include "actors/ranks/rank_site.h"
#include "cluster/placement/rank_spec.h"
#include "cluster/replica/replica_core.h"
#include "kernels/status.h"
#include "observability/event_log.h"
#include "runtime/clock.h"
#include "runtime/ids.h"

namespace herd::actors {

// What a step of a leader's replica reads, and how fast that may be: for all ranks, as if each were as this one.
struct StepReads {
  std::uint64_t weight_bytes = 0;
  std::uint64_t kv_bytes_per_token = 0;
  double bytes_per_s = 0;  // measured
};

struct RankProcessConfig {
  std::string cluster;
  std::string node;                     // whose rank this is
  ReplicaId replica;
  std::uint32_t rank = 0;
  std::string host = "127.0.0.1";       // a leader takes gateways there; of a name, on every address of the machine
  std::uint16_t port = 0;               // 0: any free one
  int link_fd = -1;                     // to the node: one end of a socket pair (SOCK_STREAM); this process's from here on
  int descriptors_fd = -1;              // descriptors from the node (SOCK_SEQPACKET); likewise
  int progress_fd = -1;                 // the replica's ProgressPage; likewise
  std::optional<link::TlsFiles> tls;    // of its node, for gateways; none: loopback only
  int cpu_sharers = 0;                  // see LocalCollectiveConfig
  std::uint64_t incarnation = 0;        // random bits, not 0
  std::string build_id;
  std::string metrics_address;          // HOST:PORT, which the node is told; may be empty
  observability::EventLog* log = nullptr;  // never null; outlives the process object
  std::function<void(const placement::RankSpec&)> on_spec;  // told what it is to be, before it computes; may be empty
  std::function<void(const StepReads&)> on_loaded;  // its weights are there, and it has not computed yet; may be empty
  OnStep on_step;                       // a leader's steps; may be empty
  WrapRank wrap_rank;                   // see actors/ranks/rank_site.h; may be empty
  std::function<Instant()> clock;       // empty: the system's monotonic one
};

// For whoever asks whether it lives and what it does. Any thread.
struct RankProcessState {
  bool prepared = false;                // weights are there
  bool serves = false;                  // a leader whose generation serves
  std::uint64_t epoch = 0;              // a leader's generation; 0: there is none
  std::int32_t loaded_percent = -1;     // while weights load
  replica::ReplicaStats stats;          // of a leader's generation, as its gateways heard last
  link::LinkHostStats gateways;         // a leader's connections with them
  std::uint64_t stale_frames = 0;       // from gateways, about a generation that was over
  std::int64_t certificate_expires = 0;  // of a leader's, Unix seconds; 0: it has none
};

class RankProcess {
 public:
  // kMissing: threads, descriptors, memory; kUsage, kBadInput: what is wrong with descriptors or TLS files.
  [[nodiscard]] static Expected<std::unique_ptr<RankProcess>> start(RankProcessConfig config);
  ~RankProcess();
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;

  // Until it ends; ok when it was told to or its node has gone. Once. kAborted: its thread hangs, so that the caller ends the
  // process without waiting for it.
  [[nodiscard]] Status run();
  // Any thread: run() returns once its node has drained the replica; at once before the node has said what this rank is to be.
  void stop();
  [[nodiscard]] RankProcessState state() const;

 private:
  struct Impl;
  explicit RankProcess(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace herd::actors
