#pragma once
// How `herd coordinator` and `herd node` begin and end: a log, a guard that takes signals, one command between them.

#include <string>
#include <utility>
#include <vector>

#include "cluster/config/cluster_spec.h"
#include "commands/command_line.h"
#include "commands/role_life.h"
#include "commands/stop_guard.h"
#include "kernels/status.h"
#include "observability/event_log.h"

namespace herd::commands {

// The entry of the file's list that has that name. `what`: "node".
template <class Entry>
[[nodiscard]] Expected<Entry> entry_named(const std::vector<Entry>& list, const std::string& name, const std::string& what) {
  std::string known;
  for (const Entry& entry : list) {
    if (entry.name == name) return entry;
    known += (known.empty() ? "" : ", ") + entry.name;
  }
  return fail(missing("--name " + name + ": the file has no such " + what + "; it has " + known));
}

// Until it is told to end. `make`(log, guard) gives a pointer to what has start() and run(guard). `stop_s`: what it has to end in.
template <class Make>
[[nodiscard]] Status run_role(const config::ClusterSpec& spec, double stop_s, Make make) {
  observability::EventLog log(observability::log_format_named(spec.logs.log_format), log_level_of(spec));
  auto guard = StopGuard::start(stop_s, [&log] { log.flush(kLogFlush); });
  if (!guard) return guard.error();
  const auto command = make(log, **guard);
  if (Status status = command->start(); !status.ok()) return status;
  command->run(**guard);
  (*guard)->ended(0);
  log.flush(kLogFlush);
  return {};
}

}  // namespace herd::commands
