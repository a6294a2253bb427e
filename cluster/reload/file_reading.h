#pragma once
// FileReading: the cluster's file as a process has read it again, beside what it makes of it. Value.

#include "cluster/config/cluster_spec.h"
#include "cluster/reload/reload_vote.h"

namespace herd::reload {

struct FileReading {
  Reading reading;
  config::ClusterSpec spec;  // when that is ok
};

}  // namespace herd::reload
