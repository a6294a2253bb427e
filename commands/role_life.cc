#include "commands/role_life.h"

#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "cluster/config/setting_table.h"
#include "commands/wall_clock.h"

namespace herd::commands {

report::ProcessReport own_report(handshake::Role role, const std::string& name, const std::string& node) {
  report::ProcessReport own;
  own.role = role;
  own.name = name;
  own.node = node;
  own.pid = getpid();
  if (const char* restarts = std::getenv("HERD_RESTARTS"))
    (void)std::from_chars(restarts, restarts + std::string_view(restarts).size(), own.restarts);
  if (const char* death = std::getenv("HERD_LAST_DEATH")) own.last_death = std::string(death).substr(0, report::kReportTextBytesMax);
  return own;
}

std::uint64_t own_wakeups() {
  rusage used{};
  return getrusage(RUSAGE_SELF, &used) == 0 ? static_cast<std::uint64_t>(used.ru_nvcsw) : 0;
}

void name_writer(observability::EventLog& log, handshake::Role role, const std::string& name, const std::string& node) {
  log.set_context("role", handshake::role_name(role));
  log.set_context("name", name);
  log.set_context("node", node);
}

observability::LinkCounts link_counts(const link::LinkHostStats& links, std::uint64_t stale_frames) {
  return {.accepted = links.accepted,
          .turned_away = links.turned_away,
          .opened = links.opened,
          .refused = links.refused,
          .lost = links.lost,
          .stale_frames = stale_frames,
          .half_open = links.half_open};
}

observability::LogLevel log_level_of(const config::ClusterSpec& spec) {
  return observability::log_level_named(spec.logs.log_level).value_or(observability::LogLevel::kInfo);
}

membership::RestartBudget budget_of(const config::ClusterSpec& spec) {
  return membership::budget_of(static_cast<std::uint32_t>(spec.supervision.restart_budget), spec.supervision.restart_window);
}

Expected<std::unique_ptr<admin::AdminServer>> open_admin(const std::string& host, std::int64_t port) {
  return admin::AdminServer::start({.host = host, .port = static_cast<std::uint16_t>(port), .unix_seconds = unix_time});
}

std::string settings_text(const config::ClusterSpec& spec) {
  std::string text;
  for (const config::EffectiveSetting& setting : config::effective_settings(spec))
    if (!setting.value.empty()) text += (text.empty() ? "" : " ") + setting.key + "=" + setting.value;
  return text;
}

}  // namespace herd::commands
