#include "cluster/report/status_table.h"

#include <algorithm>
#include <string_view>
#include <tuple>

namespace herd::report {
namespace {

using handshake::Role;

constexpr std::size_t kUnlistedGoneMax = 64;  // shown as failed for as long as there are not more of them

bool speaks_for(Role role, const std::string& name, const ProcessReport& report) {
  if (report.role == role && report.name == name) return true;
  return role == Role::kNode && report.role == Role::kRank && report.node == name;
}

int order_of(Role role) {
  switch (role) {
    case Role::kCoordinator: return 0;
    case Role::kNode: return 1;
    case Role::kRank: return 2;
    case Role::kGateway: return 3;
    case Role::kOperator: return 4;
  }
  return 5;
}

// Its pid may be another process's by now.
void forget_pid_of_ended(ProcessReport& report) {
  if (report.state == ProcessState::kStopped || report.state == ProcessState::kFailed) report.pid = 0;
}

// A process with what decides between two that have its name.
struct Row {
  const ProcessReport* report;
  bool here;
  [[nodiscard]] auto name() const { return std::pair(order_of(report->role), std::string_view(report->name)); }
  [[nodiscard]] auto standing() const { return std::tuple(here, report->epoch, report->pid); }
};

}  // namespace

StatusTable::StatusTable(const std::vector<ProcessReport>& listed) {
  for (const ProcessReport& report : listed) senders_[{report.role, report.name}] = {.listed = true, .here = false, .said = {report}};
}

void StatusTable::set_listed(const std::vector<ProcessReport>& listed) {
  for (auto& [name, sender] : senders_) sender.listed = false;
  for (const ProcessReport& report : listed) {
    Sender& sender = senders_[{report.role, report.name}];
    sender.listed = true;
    if (sender.said.empty()) sender.said = {report};
  }
  std::erase_if(senders_, [](const auto& entry) { return !entry.second.listed && !entry.second.here; });
}

std::size_t StatusTable::on_reports(Role role, const std::string& name, const ProcessReports& said) {
  Sender& sender = senders_[{role, name}];
  sender.here = true;
  sender.said.clear();
  for (const ProcessReport& report : said.processes)
    if (speaks_for(role, name, report)) forget_pid_of_ended(sender.said.emplace_back(report));
  if (role == Role::kGateway) sender.caches = said.caches;
  return said.processes.size() - sender.said.size();
}

std::optional<CacheReport> StatusTable::cache(ReplicaId replica, std::uint64_t epoch) const {
  std::optional<CacheReport> latest;
  for (const auto& [name, sender] : senders_) {
    for (const CacheReport& cache : sender.caches) {
      if (cache.replica != replica || cache.epoch != epoch) continue;
      if (!latest || cache.query_tokens > latest->query_tokens) latest = cache;
    }
  }
  return latest;
}

void StatusTable::on_gone(Role role, const std::string& name) {
  const auto found = senders_.find({role, name});
  if (found == senders_.end()) return;
  found->second.here = false;
  for (ProcessReport& report : found->second.said) {
    const bool on_purpose = report.state == ProcessState::kDraining || report.state == ProcessState::kStopped;
    report.state = on_purpose ? ProcessState::kStopped : ProcessState::kFailed;
    report.loaded_percent = -1;
    forget_pid_of_ended(report);
  }
  const auto is_forgettable = [](const auto& entry) { return !entry.second.listed && !entry.second.here; };
  if (static_cast<std::size_t>(std::ranges::count_if(senders_, is_forgettable)) > kUnlistedGoneMax)
    std::erase_if(senders_, is_forgettable);
}

std::vector<ProcessReport> StatusTable::processes(const ProcessReport& own) const {
  std::vector<Row> rows{{&own, true}};
  for (const auto& [name, sender] : senders_)
    for (const ProcessReport& report : sender.said) rows.push_back({&report, sender.here});
  std::ranges::sort(rows, [](const Row& a, const Row& b) {
    return a.name() != b.name() ? a.name() < b.name() : a.standing() > b.standing();
  });
  std::vector<ProcessReport> processes;
  for (std::size_t i = 0; i < rows.size() && processes.size() < kProcessesMax; ++i)
    if (i == 0 || rows[i].name() != rows[i - 1].name()) processes.push_back(*rows[i].report);
  return processes;
}

}  // namespace herd::report
