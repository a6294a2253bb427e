#pragma once
// OperatorClient: an operator's connection to the coordinator of a cluster: `herd status`, `herd drain`, `herd reload`, and `herd up`
// that waits for its cluster. It speaks as "operator", under that certificate where the cluster's file has a section tls. No CAF.

#include <chrono>
#include <cstdint>
#include <memory>

#include "cluster/config/cluster_spec.h"
#include "cluster/report/operator_orders.h"
#include "cluster/report/process_report.h"
#include "kernels/status.h"

namespace herd::processes {

// Resource: connects at once, and again whenever the connection has ended. Used by one thread.
class OperatorClient {
 public:
  // `incarnation`: random bits, not 0. kUsage: the file names no coordinator; kMissing, kBadInput: certificates that cannot be used.
  [[nodiscard]] static Expected<std::unique_ptr<OperatorClient>> start(const config::ClusterSpec& spec, std::uint64_t incarnation);
  virtual ~OperatorClient() = default;

  // kMissing: no answer within `patience`; the message says what was tried last and what came of it.
  [[nodiscard]] virtual Expected<report::ClusterStatusReport> ask(std::chrono::milliseconds patience) = 0;
  // Likewise. Said again on a connection that opens before the answer came.
  [[nodiscard]] virtual Expected<report::OrderAnswer> order(const report::ReloadAsk& ask, std::chrono::milliseconds patience) = 0;
  [[nodiscard]] virtual Expected<report::OrderAnswer> order(const report::DrainAsk& ask, std::chrono::milliseconds patience) = 0;
};

}  // namespace herd::processes
