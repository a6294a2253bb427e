#pragma once
// NodeProcess: a node of a cluster: it connects to the coordinator and holds the replicas that this one assigns to it, each rank of
// them a process of its own. Its ranks end with it (they die with the thread that calls run()). No CAF here.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/link/link_host.h"
#include "actors/messages/observers.h"
#include "cluster/config/cluster_spec.h"
#include "cluster/handshake/hello.h"
#include "cluster/placement/node_plan.h"
#include "cluster/placement/rank_spec.h"
#include "cluster/placement/replica_plan.h"
#include "cluster/reload/reload_vote.h"
#include "cluster/report/process_report.h"
#include "kernels/device.h"
#include "kernels/status.h"
#include "runtime/checkpoint/open_model.h"

namespace herd::processes {

// One rank's process, as its command line says it; what it is to compute comes over the link.
struct RankStart {
  ReplicaId replica;
  std::uint32_t rank = 0;
  std::uint16_t port = 0;  // where it takes gateways; 0: any free one
  int cpu_sharers = 0;     // see LocalCollectiveConfig
  int link_fd = -1;
  int descriptors_fd = -1;
  int progress_fd = -1;
};

struct NodeProcessConfig {
  handshake::Hello hello;              // role and name are the node's
  config::ClusterSpec spec;
  config::NodeSpec node;               // this one, in `spec` or unlisted
  std::optional<link::TlsFiles> tls;   // of this node; none: loopback only
  std::string coordinator;             // its name; empty: any
  std::string coordinator_address;     // HOST:PORT
  // What is served, and how ranks compute:
  model::ModelFiles model;
  std::string encoding;                // empty: the checkpoint's own
  int tensor_parallel = 1;
  placement::ReplicaWishes wishes;     // data_parallel: of the cluster
  CpuIsa isa = CpuIsa::kAuto;
  int compute_nice = 0;                // [0, 19]
  // argv of a rank's process. Asked anew before each start.
  std::function<std::vector<std::string>(const RankStart&)> rank_argv;
  // What a person should know, a line each; may be empty, as the next three.
  std::function<void(const std::string&)> note;
  actors::OnNote on_note;              // what became of its replicas, kTaken first
  // A line that a rank wrote on stderr; on the thread of run().
  std::function<void(ReplicaId, std::uint32_t rank, std::string_view line)> on_rank_line;
  // The coordinator has taken this node in (ok), the connection with it ended, or did not come to open. Any thread.
  std::function<void(const Status&)> on_link;
  // What the coordinator says of a reload. Any thread, which must not wait; may be empty.
  std::function<void(const reload::ReloadOrder&)> on_reload;
  report::ProcessReport mine;          // what is said of the node itself; its state is filled in
};

// Resource.
class NodeProcess {
 public:
  // Opens the model's files, decides what a replica is, connects; waits for nobody, but some seconds for memory that becomes free while
  // there is too little. What open_model, plan_node and
  // LinkHost::start refuse.
  static Expected<std::unique_ptr<NodeProcess>> start(NodeProcessConfig config);
  virtual ~NodeProcess() = default;

  // On the thread that starts the ranks, which lives as long as the process: until stop() and the end of all that it holds.
  virtual void run() = 0;
  // Replicas take nothing new and end once they have nothing left, after the file's http.shutdown_timeout with the steps that are under
  // way; then run() returns. From any thread or signal handler. Repeatable.
  virtual void stop() = 0;
  // `done` is called on the thread of run(), once it comes by. Any thread.
  virtual void turn(std::function<void()> done) = 0;

  // To the coordinator, if there is a connection with it. Any thread.
  virtual void say(const report::ReloadPrepared& prepared) = 0;
  // The settings are these now, as far as a node takes them; TLS files are read again. Any thread. An error: of these; the old ones stay.
  virtual Status on_reloaded(const config::ClusterSpec& spec) = 0;

  // Any thread:
  [[nodiscard]] virtual const placement::NodePlan& plan() const = 0;
  [[nodiscard]] virtual bool hears_coordinator() const = 0;
  [[nodiscard]] virtual std::vector<report::ProcessReport> reports() const = 0;  // its own first, then its ranks'
  [[nodiscard]] virtual std::map<std::string, std::uint64_t> deaths() const = 0;  // of ranks: how often each way
  [[nodiscard]] virtual link::LinkHostStats link_stats() const = 0;
  [[nodiscard]] virtual std::int64_t certificate_expires() const = 0;  // Unix seconds; 0: it has none
};

}  // namespace herd::processes
