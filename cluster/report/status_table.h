#pragma once
// StatusTable: all processes of a cluster, as they said of themselves last. Pure.
//
// A gateway speaks for itself, a node for itself and its ranks. Whoever has gone is shown as failed, or as stopped when it had said
// that it stops: what it said last is what is known of it. Whatever has failed or stopped has no pid.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/handshake/hello.h"
#include "cluster/report/process_report.h"

namespace herd::report {

class StatusTable {
 public:
  // `listed`: the nodes and gateways that the cluster's file has: shown as they are here until they say something.
  explicit StatusTable(const std::vector<ProcessReport>& listed);

  // The file lists others now. One that is gone from it is shown for as long as it is here.
  void set_listed(const std::vector<ProcessReport>& listed);
  // How many lines were dropped: they spoke for others.
  std::size_t on_reports(handshake::Role role, const std::string& name, const ProcessReports& said);
  void on_gone(handshake::Role role, const std::string& name);

  // What gateways said of the prefix cache of that generation: the latest of them.
  [[nodiscard]] std::optional<CacheReport> cache(ReplicaId replica, std::uint64_t epoch) const;
  // Coordinators, nodes, ranks, gateways, by name; `own`: the coordinator's. A name is there once: a rank that two nodes tell of is
  // the one that is there, or else the later.
  [[nodiscard]] std::vector<ProcessReport> processes(const ProcessReport& own) const;

 private:
  struct Sender {
    bool listed = false;
    bool here = false;
    std::vector<ProcessReport> said;
    std::vector<CacheReport> caches;
  };

  std::map<std::pair<handshake::Role, std::string>, Sender> senders_;
};

}  // namespace herd::report
