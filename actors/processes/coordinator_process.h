#pragma once
// CoordinatorProcess: the coordinator of a cluster around its cores: takes the connections of nodes, gateways and operators, hands
// what they say to the MembershipCore on one thread and carries out what that says; keeps the table that operators are shown. Holds
// no policy; see cluster/membership/membership_core.h. No CAF.
//
// Its port is the lock: of two coordinators of a cluster file one does not start.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "actors/link/link_host.h"
#include "cluster/config/cluster_spec.h"
#include "cluster/membership/membership_core.h"
#include "cluster/reload/file_reading.h"
#include "cluster/report/process_report.h"
#include "kernels/status.h"
#include "runtime/ids.h"

namespace herd::processes {

struct CoordinatorConfig {
  config::ClusterSpec spec;
  std::string name;                     // one of spec.coordinators
  std::uint64_t incarnation = 0;        // random bits, not 0
  Epoch wall_ms;                        // the wall clock, by which generations rise over restarts
  std::string build_id;
  report::ProcessReport mine;           // what describe() says, for as long as it has not been called
  // Any of its threads; must not wait for long.
  std::function<void(const membership::MembershipNote&)> on_note;
  // The cluster's epoch is this one from now on; may be empty. On its thread.
  std::function<void(Epoch)> on_epoch;
  // Reads the file again for a reload and compares it with what the coordinator runs. On its thread, which waits for that.
  std::function<reload::FileReading(const config::ClusterSpec& running)> read_file;
  // What was read holds everywhere from now on. Likewise.
  std::function<void(const config::ClusterSpec&)> on_reloaded;
  // A reload that CoordinatorProcess::reload() asked for is over, whatever came of it. Likewise; may be empty.
  std::function<void()> on_reload_over;
};

// What a scrape shows. Counters rise only.
struct CoordinatorFacts {
  report::ClusterStatusReport cluster;
  Epoch cluster_epoch;
  membership::MembershipStats membership;
  link::LinkHostStats links;
  std::int64_t certificate_expires = 0;  // Unix seconds; 0: it has none
};

// Resource.
class CoordinatorProcess {
 public:
  // kUsage: no coordinator of that name in the file. kMissing: its port is in use, or certificates are not there; kBadInput: these
  // cannot be used.
  [[nodiscard]] static Expected<std::unique_ptr<CoordinatorProcess>> start(CoordinatorConfig config);
  virtual ~CoordinatorProcess() = default;  // stop()

  [[nodiscard]] virtual std::uint16_t port() const = 0;
  // It knows the cluster: what serves is adopted, and it places replicas. Any thread.
  [[nodiscard]] virtual bool is_settled() const = 0;
  // Any thread, but not while stop() runs. After it: what was known last.
  [[nodiscard]] virtual CoordinatorFacts facts() = 0;
  // What only its supervisor and its host know of this process: node, pid, restarts, last death, URL of its metrics.
  virtual void describe(const report::ProcessReport& mine) = 0;
  // As an operator who asks for a reload; what comes of it is noted. Any thread.
  virtual void reload() = 0;
  // `done` is called on the coordinator's thread, once it comes by. Any thread.
  virtual void turn(std::function<void()> done) = 0;
  // Says goodbye to all who are connected, and closes. Repeatable.
  virtual void stop() = 0;
};

}  // namespace herd::processes
