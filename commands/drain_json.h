#pragma once
// What `herd drain --output json` prints: one line.
//   {"config":FILE,"target":NAME,"undo":BOOL,"may_be_stopped":BOOL,"lines":[TEXT]}

#include <string>

#include "cluster/report/operator_orders.h"

namespace herd::commands {

// With its line feed. `config`: the cluster's file, as whoever asked named it; `may_be_stopped`: nothing of the target is left.
[[nodiscard]] std::string drain_json(const std::string& config, const report::DrainAsk& ask, const report::OrderAnswer& answer,
                                     bool may_be_stopped);

}  // namespace herd::commands
