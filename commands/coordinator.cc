// herd coordinator: who is in a cluster, which node holds which replica, and what gateways are told. A service of its own: its end
// changes no stream, and the one that is started next learns everything from nodes and gateways.

#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <CLI/CLI.hpp>

#include "actors/processes/coordinator_process.h"
#include "commands/cluster_spec_file.h"
#include "commands/command_line.h"
#include "commands/random_bytes.h"
#include "commands/role_life.h"
#include "commands/role_start.h"
#include "commands/service_turns.h"
#include "commands/status_output.h"
#include "commands/stop_guard.h"
#include "commands/systemd_service.h"
#include "commands/version.h"
#include "commands/wall_clock.h"
#include "endpoint/admin/admin_server.h"
#include "kernels/process_limits.h"
#include "observability/event_log.h"
#include "observability/role_metrics.h"

namespace herd::commands {
namespace {

using observability::LogLevel;

constexpr double kDrainSeconds = 1.0;  // for its goodbyes

struct CoordinatorFlags {
  std::string config;
  std::string name;
};

// The one of the file that is meant.
Expected<config::CoordinatorSpec> coordinator_of(const config::ClusterSpec& spec, const std::string& name) {
  if (name.empty() && spec.coordinators.size() == 1) return spec.coordinators.front();
  return entry_named(spec.coordinators, name, "coordinator");
}

// The machine that it runs on, where the file has a node there: processes are told apart by it.
std::string node_beside(const config::ClusterSpec& spec, const config::CoordinatorSpec& coordinator) {
  const std::string host = config::plain_host(config::host_of(coordinator.address));
  for (const config::NodeSpec& node : spec.nodes)
    if (config::plain_host(config::host_of(node.address)) == host) return node.name;
  return {};
}

class CoordinatorCommand {
 public:
  // `log` outlives it.
  CoordinatorCommand(std::string file, config::ClusterSpec spec, config::CoordinatorSpec own, observability::EventLog& log)
      : file_(std::move(file)), spec_(std::move(spec)), own_(std::move(own)), log_(log) {
    set_hosts(spec_);
  }

  Status start() {
    processes::CoordinatorConfig config;
    config.spec = spec_;
    config.name = own_.name;
    config.incarnation = random_incarnation();
    config.wall_ms = Epoch(static_cast<std::uint64_t>(unix_time_ms()));
    config.build_id = version();
    config.mine = own_report(handshake::Role::kCoordinator, own_.name, node_beside(spec_, own_));
    config.on_note = [this](const membership::MembershipNote& note) { write(note); };
    config.on_epoch = [this](Epoch epoch) { log_.set_context("epoch", static_cast<std::int64_t>(epoch.value)); };
    config.read_file = [this](const config::ClusterSpec& running) {
      return read_again(file_, running, handshake::Role::kCoordinator, own_.name);
    };
    config.on_reload_over = [] { notify_service_manager("READY=1"); };
    config.on_reloaded = [this](const config::ClusterSpec& spec) {
      log_.set_level(log_level_of(spec));
      set_hosts(spec);
    };
    report::ProcessReport mine = config.mine;
    name_writer(log_, handshake::Role::kCoordinator, mine.name, mine.node);
    auto process = processes::CoordinatorProcess::start(std::move(config));  // first: its port is the lock
    if (!process) return process.error();
    process_ = std::move(*process);
    const std::string host = config::plain_host(config::host_of(own_.address));
    auto served = open_admin(spec_.metrics.metrics_host.empty() ? host : spec_.metrics.metrics_host, own_.metrics_port);
    if (!served) return served.error();
    admin_ = std::move(*served);
    mine.metrics_url = admin_->metrics_url();
    process_->describe(mine);
    admin_->open({.not_ready = [this] { return not_ready(); },
                  .metrics = [this] { return metrics(); },
                  .targets = [this] { return scrape_targets_json(process_->facts().cluster, hosts()); }});
    log_.write(LogLevel::kInfo, "settings", {{"what", settings_text(spec_)}});
    log_.write(LogLevel::kInfo, "coordinator started",
               {{"name", own_.name}, {"address", own_.address}, {"metrics", admin_->metrics_url()}});
    turns_.set_through([this](std::function<void()> done) { process_->turn(std::move(done)); });
    turns_.set_state([this] {
      const auto why = not_ready();
      return why ? "not ready: " + *why : "coordinates on " + own_.address;
    });
    notify_service_manager("READY=1");
    return {};
  }

  void run(StopGuard& guard) {
    for (;;) {
      const auto event = guard.wait_until(turns_.due());
      if (event == StopGuard::Event::kStop) break;
      if (event == StopGuard::Event::kReload) {
        notify_reloading();
        process_->reload();
      }
      turns_.turn();
    }
    notify_service_manager("STOPPING=1");
    admin_->close();
    process_->stop();
    log_.write(LogLevel::kInfo, "coordinator stopped", {{"name", own_.name}});
  }

 private:
  void write(const membership::MembershipNote& note) {
    const LogLevel level = note.is_warning ? LogLevel::kWarning : LogLevel::kInfo;
    if (note.peer.empty()) log_.write(level, note.event, {{"what", note.what}});
    else log_.write(level, note.event, {{"peer", note.peer}, {"what", note.what}});
  }

  [[nodiscard]] std::optional<std::string> not_ready() const {
    if (process_->is_settled()) return std::nullopt;
    return "it waits for the nodes of the cluster";
  }

  [[nodiscard]] ScrapeHosts hosts() const {
    const std::scoped_lock lock(mutex_);
    return hosts_;
  }
  void set_hosts(const config::ClusterSpec& spec) {
    const auto host_of = [](const std::string& address) { return config::plain_host(config::host_of(address)); };
    ScrapeHosts hosts;
    hosts.coordinator = host_of(own_.address);
    hosts.metrics_host = config::plain_host(spec.metrics.metrics_host);
    for (const config::NodeSpec& node : spec.nodes) hosts.nodes[node.name] = host_of(node.address);
    for (const config::GatewaySpec& gateway : spec.gateways)
      if (!config::is_wildcard(gateway.host)) hosts.gateways[gateway.name] = config::plain_host(gateway.host);
    const std::scoped_lock lock(mutex_);
    hosts_ = std::move(hosts);
  }

  [[nodiscard]] std::string metrics() const {
    const processes::CoordinatorFacts facts = process_->facts();
    observability::MetricsPage page;
    observability::LinkCounts links = link_counts(facts.links, facts.membership.stale);
    links.refused += facts.membership.refusals;
    observability::add_process(page, facts.cluster.processes.front(),
                               {.links = links,
                                .wakeups = own_wakeups(),
                                .log_lines_dropped = log_.dropped(),
                                .certificate_expires = facts.certificate_expires});
    observability::add_cluster(page, facts.cluster, facts.cluster_epoch.value);
    return page.text();
  }

  const std::string file_;
  const config::ClusterSpec spec_;  // as it was read at the start
  const config::CoordinatorSpec own_;
  observability::EventLog& log_;
  mutable std::mutex mutex_;  // of the next
  ScrapeHosts hosts_;
  std::unique_ptr<processes::CoordinatorProcess> process_;
  std::unique_ptr<admin::AdminServer> admin_;  // ends first: its pages ask the process
  ServiceTurns turns_;
};

Status coordinator(const CoordinatorFlags& flags) {
  raise_file_limit();
  auto spec = read_cluster_spec(flags.config);
  if (!spec) return spec.error();
  auto own = coordinator_of(*spec, flags.name);
  if (!own) return own.error();
  return run_role(*spec, kDrainSeconds, [&](observability::EventLog& log, StopGuard&) {
    return std::make_unique<CoordinatorCommand>(flags.config, *spec, *own, log);
  });
}

}  // namespace

void add_coordinator(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<CoordinatorFlags>();
  CLI::App* command = app.add_subcommand(
      "coordinator", "The coordinator of a cluster: places replicas on nodes and tells gateways where they are; never on the way of a "
                     "token");
  command->add_option("--config", flags->config, "The cluster's file (YAML)")->required();
  command->add_option("--name", flags->name, "Which coordinator of the file this is (default: the only one); its certificate's name too");
  command->callback([flags, exit_code] { *exit_code = report(coordinator(*flags)); });
}

}  // namespace herd::commands
