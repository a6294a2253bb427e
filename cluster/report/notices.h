#pragma once
// What an operator should look at, beside the states of processes: copies of the cluster's file and keys that differ, what is drained.
// Pure.

#include <string>
#include <vector>

#include "cluster/report/process_report.h"

namespace herd::report {

inline constexpr std::size_t kNoticesMax = 256;

// What a process that is connected to the coordinator read as the cluster's file.
struct FileCopy {
  std::string called;  // node "a"
  std::string digest;  // empty: it did not say
};

// A sentence each, at most kNoticesMax. `digest`: of the coordinator's file; `drained`: nodes and replicas, by name, that an operator
// drained.
[[nodiscard]] std::vector<std::string> notices_of(const ClusterStatusReport& report, const std::string& digest,
                                                  const std::vector<FileCopy>& copies, const std::vector<std::string>& drained);

}  // namespace herd::report
