// herd node: a node of a cluster: it holds the replicas that the coordinator gives it, a process for each of their ranks.

#include <unistd.h>

#include <chrono>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "actors/children/child_processes.h"
#include "actors/processes/cluster_tls.h"
#include "actors/processes/node_process.h"
#include "actors/remote/rank_roster.h"
#include "cluster/config/setting_table.h"
#include "cluster/link/peer_name.h"
#include "commands/cluster_options.h"
#include "commands/cluster_spec_file.h"
#include "commands/command_line.h"
#include "commands/config_reload.h"
#include "commands/line_writer.h"
#include "commands/random_bytes.h"
#include "commands/rank_flags.h"
#include "commands/role_life.h"
#include "commands/role_start.h"
#include "commands/roles.h"
#include "commands/serve_flags.h"
#include "commands/service_turns.h"
#include "commands/stop_guard.h"
#include "commands/supervision.h"
#include "commands/systemd_service.h"
#include "commands/version.h"
#include "endpoint/admin/admin_server.h"
#include "endpoint/served/served_model.h"
#include "endpoint/served/served_text.h"
#include "kernels/process_limits.h"
#include "observability/event_log.h"
#include "observability/role_metrics.h"
#include "observability/serving_metrics.h"
#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

using observability::LogLevel;

constexpr double kEndSeconds = 20;  // for its ranks to end, behind the drain
constexpr std::chrono::milliseconds kDrainTurn{100};  // between two looks at whether it is over

struct NodeFlags {
  std::string config;
  std::string name;
  // Of a node that the file does not list:
  std::string address;
  std::vector<std::string> devices;
  std::int64_t threads = 0;
};

// This node as the file has it, or as the flags say where the file takes any.
Expected<config::NodeSpec> node_of(const config::ClusterSpec& spec, const NodeFlags& flags) {
  const bool unlisted = !flags.address.empty() || !flags.devices.empty() || flags.threads > 0;
  if (!spec.any_node_with_certificate) {
    if (unlisted) return fail(usage_error("--address, --devices and --threads are for clusters of " + std::string(config::kAnyNode) +
                                          "; this file lists its nodes"));
    return entry_named(spec.nodes, flags.name, "node");
  }
  if (flags.address.empty())
    return fail(usage_error("--address HOST:PORT: a node that the file does not list says where gateways reach its leaders"));
  config::NodeSpec node;
  node.name = flags.name;
  node.address = flags.address;
  node.devices = flags.devices;
  node.threads = flags.threads;
  if (node.devices.empty())
    node.devices.assign(static_cast<std::size_t>(spec.parallelism.tensor_parallel_size), "cpu");
  return node;
}

// Gateways make ids of words and nodes compute with them, so the coordinator lets in only those whose words are the same.
Expected<std::string> text_digest_of(const FileOptions& options) {
  auto model = model::open_model(options.engine.model, options.engine.encoding);
  if (!model) return fail(model.error());
  auto text = served::open_served_text(*model, options.text);
  if (!text) return fail(text.error());
  return std::move(text->text_digest);
}

// The first name that gateways serve the model under, wherever it lies on this machine.
std::string served_name(const config::ClusterSpec& spec) {
  return served::served_names(spec.model.served_model_name, spec.model.model_path).front();
}

// What became of ranks, of every replica that this node may come to hold.
observability::ServingMetricsConfig metrics_config(const config::ClusterSpec& spec) {
  observability::ServingMetricsConfig config;
  config.model_name = served_name(spec);
  config.part = observability::MetricPart::kNode;
  config.replicas = static_cast<std::uint32_t>(spec.parallelism.data_parallel_size);
  config.ranks = static_cast<std::uint32_t>(spec.parallelism.tensor_parallel_size);
  config.restart_budget = budget_of(spec);
  return config;
}

class NodeCommand {
 public:
  NodeCommand(const std::string& file, config::ClusterSpec spec, config::NodeSpec node, observability::EventLog& log, StopGuard& guard)
      : spec_(std::move(spec)),
        node_(std::move(node)),
        log_(log),
        guard_(guard),
        supervision_(log, nullptr, std::numeric_limits<std::uint32_t>::max(), [] {}),
        metrics_(metrics_config(spec_)),
        reload_({.path = file,
                 .role = handshake::Role::kNode,
                 .name = node_.name,
                 .running = spec_,
                 .prepare = {},
                 .take = [this](const config::ClusterSpec& taken) { return take(taken); },
                 .say = [this](const report::ReloadPrepared& prepared) { process_->say(prepared); },
                 .wake = [this] { guard_.wake(); }},
                log) {}

  Status start() {
    name_writer(log_, handshake::Role::kNode, node_.name, node_.name);
    const std::string& metrics_host = spec_.metrics.metrics_host;
    auto served = open_admin(metrics_host.empty() ? config::listen_address(config::host_of(node_.address)) : metrics_host,
                             node_.metrics_port);
    if (!served) return served.error();
    admin_ = std::move(*served);
    auto config = process_config();
    if (!config) return config.error();
    auto process = processes::NodeProcess::start(std::move(*config));
    if (!process) return process.error();
    process_ = std::move(*process);
    admin_->open({.not_ready = [this] { return not_ready(); }, .metrics = [this] { return metrics(); }});
    log_.write(LogLevel::kInfo, "settings", {{"what", settings_text(spec_)}});
    log_.write(LogLevel::kInfo, "node started",
               {{"node", node_.name},
                {"coordinator", spec_.coordinators.front().address},
                {"replicas_max", static_cast<std::int64_t>(process_->plan().slots.size())},
                {"metrics", admin_->metrics_url()}});
    turns_.set_through([this](std::function<void()> done) { process_->turn(std::move(done)); });
    turns_.set_state([this] {
      const auto why = not_ready();
      return why ? "not ready: " + *why : "holds its replicas";
    });
    notify_service_manager("READY=1");
    return {};
  }

  // Ranks die with the thread that starts them: a thread of its own runs the node, this one takes signals.
  void run(StopGuard& guard) {
    std::promise<void> ending;
    const std::future<void> over = ending.get_future();
    std::thread runner([&] {
      process_->run();
      ending.set_value();
      guard.wake();
    });
    while (!is_over(over)) {
      const auto event = guard.wait_until(turns_.due());
      if (event == StopGuard::Event::kReload) reload_alone();
      if (event == StopGuard::Event::kWoken) reload_.carry_out();
      turns_.turn();
      if (event != StopGuard::Event::kStop) continue;
      drain(over);
      break;  // a second signal is the guard's
    }
    runner.join();
    admin_->close();
  }

 private:
  static bool is_over(const std::future<void>& over, std::chrono::milliseconds patience = {}) {
    return over.wait_for(patience) == std::future_status::ready;
  }

  void reload_alone() {
    notify_reloading();
    reload_.reload_alone();
    notify_service_manager("READY=1");
  }

  void drain(const std::future<void>& over) {
    notify_service_manager("STOPPING=1");
    turns_.set_state({});
    turns_.say("draining");
    reload_.close();
    log_.write(LogLevel::kInfo, "node drains", {{"seconds", drain_s_}});
    process_->stop();
    while (!is_over(over, kDrainTurn)) turns_.turn();
  }

  Expected<processes::NodeProcessConfig> process_config() {
    config::ClusterSpec spec = spec_;
    if (!node_.model_path.empty()) spec.model.model_path = node_.model_path;
    auto of_file = options_of(spec);
    if (!of_file) return fail(of_file.error());
    const actors::EngineOptions& options = of_file->engine;
    processes::NodeProcessConfig config;
    config.hello.cluster = spec_.name;
    config.hello.role = handshake::Role::kNode;
    config.hello.node = node_.name;
    config.hello.incarnation = random_incarnation();
    config.hello.build_id = version();
    auto digest = text_digest_of(*of_file);
    if (!digest) return fail(digest.error());
    config.hello.text_digest = std::move(*digest);
    config.hello.config_digest = config::settings_digest(spec_);
    config.tls = processes::tls_files_of(spec_.tls, node_.name);
    config.coordinator = spec_.coordinators.front().name;
    config.coordinator_address = spec_.coordinators.front().address;
    config.model = options.model;
    config.encoding = options.encoding;
    config.tensor_parallel = options.tensor_parallel;
    config.wishes = actors::wishes_of(options);
    lift_queue_bounds(config.wishes.scheduler);
    config.isa = options.isa;
    config.compute_nice = options.compute_nice;
    config.rank_argv = [this](const processes::RankStart& start) { return rank_argv(start); };
    config.spec = spec_;
    config.node = node_;
    config.note = [this](const std::string& line) { log_.write(LogLevel::kInfo, "note", {{"text", line}}); };
    config.on_note = [this](ReplicaId replica, const membership::Note& note) {
      metrics_.on_note(replica.value, note);
      supervision_.on_note(replica, note);
    };
    // On the thread that starts and ends ranks, which waits for nobody who reads slowly.
    config.on_rank_line = [this, json = spec_.logs.log_format == "json"](ReplicaId replica, std::uint32_t rank, std::string_view line) {
      if (!json) return rank_lines_.write(actors::rank_name(replica, rank) + " | " + std::string(line));
      if (line.starts_with('{')) return rank_lines_.write(std::string(line));
      // The last words of one that dies, as a rule.
      log_.write(LogLevel::kWarning, "a rank wrote",
                 {{"replica", std::int64_t{replica.value}}, {"rank", std::int64_t{rank}}, {"text", line}});
    };
    config.on_link = [this](const Status& status) { on_link(status); };
    config.on_reload = [this](const reload::ReloadOrder& order) { reload_.post(order); };
    config.mine = own_report(handshake::Role::kNode, node_.name, node_.name);
    config.mine.metrics_url = admin_->metrics_url();
    return config;
  }

  std::vector<std::string> rank_argv(const processes::RankStart& start) const {
    RankFlags flags;
    flags.process.cluster = spec_.name;
    flags.process.node = node_.name;
    flags.process.rank = start.rank;
    flags.process.host = config::plain_host(config::host_of(node_.address));
    flags.process.port = start.port;
    flags.process.link_fd = start.link_fd;
    flags.process.descriptors_fd = start.descriptors_fd;
    flags.process.progress_fd = start.progress_fd;
    flags.process.cpu_sharers = start.cpu_sharers;
    flags.replica = start.replica.value;
    if (const auto tls = processes::tls_files_of(spec_.tls, node_.name)) {
      flags.tls_authority = tls->authority;
      flags.tls_certificate = tls->certificate;
      flags.tls_key = tls->key;
    }
    flags.metrics_host = spec_.metrics.metrics_host.empty() ? config::listen_address(flags.process.host) : spec_.metrics.metrics_host;
    flags.shutdown_timeout = spec_.http.shutdown_timeout;
    flags.served_name = served_name(spec_);
    flags.log_format = spec_.logs.log_format;
    std::vector<std::string> argv{children::own_program(), "rank"};
    for (std::string& word : rank_words(std::move(flags))) argv.push_back(std::move(word));
    return argv;
  }

  Status take(const config::ClusterSpec& spec) {
    drain_s_ = spec.http.shutdown_timeout;
    guard_.set_drain(drain_s_ + kEndSeconds);
    log_.set_level(log_level_of(spec));
    metrics_.set_restart_budget(budget_of(spec));
    return process_->on_reloaded(spec);
  }

  // A coordinator that is away is tried again and again: each cause is said once.
  void on_link(const Status& status) {
    {
      const std::scoped_lock lock(mutex_);
      if (status.message() == last_trouble_) return;
      last_trouble_ = status.message();
    }
    if (status.ok()) log_.write(LogLevel::kInfo, "connected with the coordinator");
    else log_.write(LogLevel::kWarning, "no connection with the coordinator", {{"reason", status.message()}});
  }

  std::optional<std::string> not_ready() const {
    if (!process_->hears_coordinator()) return "no connection with the coordinator at " + spec_.coordinators.front().address;
    for (const report::ProcessReport& process : process_->reports())
      if (process.state == report::ProcessState::kStarting) return process.name + " is starting";
    return std::nullopt;
  }

  std::string metrics() {
    observability::MetricsPage page;
    const report::ProcessReports reports{process_->reports()};
    observability::add_process(page, reports.processes.front(),
                               {.links = link_counts(process_->link_stats(), 0),
                                .wakeups = own_wakeups(),
                                .log_lines_dropped = log_.dropped() + rank_lines_.dropped(),
                                .certificate_expires = process_->certificate_expires()});
    observability::add_ranks(page, reports, process_->deaths());
    metrics_.on_time(steady_now());
    return metrics_.render() + page.text();
  }

  const config::ClusterSpec spec_;  // as it was read at the start
  const config::NodeSpec node_;
  observability::EventLog& log_;
  StopGuard& guard_;
  double drain_s_ = spec_.http.shutdown_timeout;  // of what it holds, once it is told to end
  Supervision supervision_;
  observability::ServingMetrics metrics_;
  std::mutex mutex_;          // of last_trouble_
  std::string last_trouble_ = "not connected yet";
  LineWriter rank_lines_{STDERR_FILENO};
  ConfigReload reload_;
  std::unique_ptr<processes::NodeProcess> process_;
  std::unique_ptr<admin::AdminServer> admin_;  // ends first: its pages ask the process
  ServiceTurns turns_;
};

Status node(const NodeFlags& flags) {
  raise_file_limit();
  if (Status status = link::check_name(flags.name); !status.ok()) return usage_error("--name: " + status.message());
  auto spec = read_cluster_spec(flags.config);
  if (!spec) return spec.error();
  auto mine = node_of(*spec, flags);
  if (!mine) return mine.error();
  return run_role(*spec, spec->http.shutdown_timeout + kEndSeconds, [&](observability::EventLog& log, StopGuard& guard) {
    return std::make_unique<NodeCommand>(flags.config, *spec, *mine, log, guard);
  });
}

}  // namespace

void add_node(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<NodeFlags>();
  CLI::App* command = app.add_subcommand("node", "A node of a cluster: starts and watches a process for each rank it is given");
  command->add_option("--config", flags->config, "The cluster's file (YAML)")->required();
  command->add_option("--name", flags->name, "Which node of the file this is; its certificate's name too")->required();
  command->add_option("--address", flags->address, "HOST:PORT where gateways reach it, of a node that the file does not list");
  command->add_option("--devices", flags->devices, "Its devices, a rank each: cpu,cpu (default: one replica's), of such a node")
      ->delimiter(',');
  command->add_option("--threads", flags->threads, "Compute threads of all its ranks (default: one a CPU), of such a node");
  command->callback([flags, exit_code] { *exit_code = report(node(*flags)); });
}

}  // namespace herd::commands
