// herd up: the processes that a cluster's file has on this host, in one terminal; without a file a demo cluster. Its own end is the
// end of all of them: they die with its main thread.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <CLI/CLI.hpp>

#include "actors/children/child_processes.h"
#include "actors/processes/operator_client.h"
#include "commands/cluster_report.h"
#include "commands/command_line.h"
#include "commands/demo_cluster.h"
#include "commands/line_writer.h"
#include "commands/random_bytes.h"
#include "commands/role_life.h"
#include "commands/service_turns.h"
#include "commands/standard_output.h"
#include "commands/status_output.h"
#include "commands/systemd_service.h"
#include "commands/up/own_host.h"
#include "commands/up/readiness.h"
#include "commands/up/role_runner.h"
#include "commands/up/signal_watch.h"
#include "commands/up/welcome.h"
#include "observability/event_log.h"

namespace herd::commands {
namespace {

using observability::LogLevel;
using std::chrono::milliseconds;

constexpr milliseconds kAskPatience{1000};
constexpr milliseconds kAskEvery{50};
constexpr int kAsksUntilTold = 200;  // about 10 s between two lines about what is waited for
constexpr const char* kOwnName = "up";

struct UpFlags {
  std::string config;
  DemoOrder demo;
  std::vector<std::string> hosts;
  bool all = false;
  std::string output = "text";
};

// Lines of all processes, each behind its name, or all as JSON, which says itself whose it is.
class ProcessLines {
 public:
  ProcessLines(const std::vector<up::HostProcess>& here, bool json) : writer_(STDERR_FILENO) {
    for (const up::HostProcess& process : here) width_ = std::max(width_, process.name.size());
    if (!json) return;
    log_.emplace(observability::LogFormat::kJson, LogLevel::kInfo);
    log_->set_context("role", kOwnName);
  }
  // `name` is empty where this process says it.
  void write(const std::string& name, std::string_view line) {
    if (!log_) return write_text(name.empty() ? own_ : name, line);
    if (line.starts_with('{')) return writer_.write(std::string(line));
    if (name.empty()) return log_->write(LogLevel::kInfo, line);
    // The last words of one that dies, as a rule.
    log_->write(LogLevel::kWarning, "a process wrote", {{"name", name}, {"text", line}});
  }

 private:
  void write_text(const std::string& name, std::string_view line) {
    writer_.write(name + std::string(width_ - std::min(width_, name.size()), ' ') + " | " + std::string(line));
  }

  const std::string own_ = kOwnName;
  std::size_t width_ = std::string_view(kOwnName).size();
  LineWriter writer_;
  std::optional<observability::EventLog> log_;  // JSON
};

// Asks the coordinator until the cluster is ready, on a thread of its own.
class ReadyWatch {
 public:
  ReadyWatch(const config::ClusterSpec& spec, const std::vector<up::HostProcess>& here, ProcessLines& lines,
             std::function<void()> on_ready)
      : spec_(spec), here_(here), lines_(lines), on_ready_(std::move(on_ready)), thread_([this] { watch(); }) {}
  ~ReadyWatch() {
    {
      const std::scoped_lock lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  // What was said when it became ready. After on_ready.
  [[nodiscard]] const report::ClusterStatusReport& status() const { return status_; }

 private:
  void watch() {
    std::unique_ptr<processes::OperatorClient> client;
    std::string last;
    for (int asked = 1; !is_over(); ++asked) {
      std::string waits = "the coordinator does not answer yet";
      if (!client) {
        auto started = processes::OperatorClient::start(spec_, random_incarnation());
        if (!started) return lines_.write({}, "it cannot be told when the cluster is ready: " + started.error().message());
        client = std::move(*started);
      }
      if (auto status = client->ask(kAskPatience)) {
        const auto more = up::waits_for(*status, spec_, here_);
        if (!more) {
          status_ = std::move(*status);
          return on_ready_();
        }
        waits = *more;
      } else {
        waits += ": " + status.error().message();
        client.reset();  // a new one tries at once
      }
      if (asked % kAsksUntilTold == 0 && waits != std::exchange(last, waits)) lines_.write({}, "waits for " + waits);
    }
  }
  bool is_over() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kAskEvery, [this] { return over_; });
  }

  const config::ClusterSpec& spec_;
  const std::vector<up::HostProcess>& here_;
  ProcessLines& lines_;
  const std::function<void()> on_ready_;
  report::ClusterStatusReport status_;
  std::mutex mutex_;  // of over_
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

Expected<std::vector<up::HostProcess>> processes_of(const UpFlags& flags, const std::string& config, const config::ClusterSpec& spec) {
  const up::OwnHost own = up::OwnHost::look(flags.hosts);
  auto here = up::processes_here(spec, [&](const std::string& host) { return flags.all || own.is(host); });
  if (here.empty())
    return fail(usage_error(config + " has no process on this host, which is " + own.addresses_text() + "; give --host or --all"));
  return here;
}

void print_ready(const UpFlags& flags, const std::string& config, const config::ClusterSpec& spec,
                 const report::ClusterStatusReport& status) {
  print_bytes(flags.output == "json" ? cluster_status_json(config, status)
                                     : up::welcome_text(config, children::own_program(), spec, status));
  (void)flush_output();  // a failure is told at the end
  notify_service_manager("READY=1");
}

Expected<int> run_cluster(const UpFlags& flags, const std::string& config, const config::ClusterSpec& spec) {
  auto here = processes_of(flags, config, spec);
  if (!here) return fail(here.error());
  std::atomic<up::RoleRunner*> told{nullptr};
  auto signals = up::SignalWatch::start([&told] {
    if (up::RoleRunner* runner = told) runner->stop();
    notify_service_manager("STOPPING=1\nSTATUS=ending");
  });
  if (!signals) return fail(signals.error());
  ProcessLines lines(*here, spec.logs.log_format == "json");
  std::unique_ptr<ReadyWatch> watch;
  ServiceTurns turns;
  turns.say("starting");
  up::RoleRunner runner({
      .processes = *here,
      .up = {budget_of(spec), spec.http.shutdown_timeout},
      .spec_of =
          [&config](const up::HostProcess& process) {
            children::ChildSpec child;
            child.argv = up::arguments_of(process, config);
            child.argv.insert(child.argv.begin(), children::own_program());
            return child;
          },
      .on_line = [&lines](const std::string& name, std::string_view line) { lines.write(name, line); },
      .on_ready =
          [&] {
            print_ready(flags, config, spec, watch->status());
            turns.say("serves");
          },
      .on_turn = [&turns] { turns.turn(); },
      .turn_due = [&turns] { return turns.next(); },
  });
  told = &runner;
  watch = std::make_unique<ReadyWatch>(spec, *here, lines, [&runner] { runner.ready(); });
  const int code = runner.run();
  watch.reset();
  signals->reset();
  return code;
}

Expected<int> up_with(const UpFlags& flags) {
  if (flags.output != "text" && flags.output != "json")
    return fail(usage_error("--output must be text or json, not " + flags.output));
  if (!flags.config.empty() && !flags.demo.model.empty())
    return fail(usage_error("a model and --config exclude each other: the file says which model it is"));
  if (!flags.config.empty() && flags.demo.ui)
    return fail(usage_error("--ui and --config exclude each other: the file says it, under http.ui"));
  std::unique_ptr<DemoCluster> demo;
  if (flags.config.empty()) {
    auto made = DemoCluster::make(flags.demo);
    if (!made) return fail(made.error());
    demo = std::move(*made);
  }
  const std::string config = demo ? demo->config() : flags.config;
  const auto checked = report_cluster(config);
  if (!checked) return fail(checked.error());
  if (!checked->parsed.problems.empty()) {
    std::fputs(problems_text(*checked).c_str(), stderr);
    return exit_code(bad_input(""));
  }
  return run_cluster(flags, config, checked->parsed.spec);
}

int up_command(const UpFlags& flags) {
  const auto code = up_with(flags);
  return code ? *code : report(code.error());
}

}  // namespace

void add_up(CLI::App& app, int* code) {
  auto flags = std::make_shared<UpFlags>();
  CLI::App* command = app.add_subcommand(
      "up", "Start, watch and restart every process that a cluster's file has on this host; without a file a demo cluster on "
            "loopback. Ctrl-C lets streams finish and ends it");
  command->add_option("model", flags->demo.model, "Of the demo cluster: Hugging Face directory or .gguf file (default: the demo model)");
  command->add_option("--config", flags->config, "Cluster file (YAML); see config/cluster for examples");
  command->add_option("--gateways", flags->demo.gateways, "Of the demo cluster: gateways")->capture_default_str();
  command->add_option("--nodes", flags->demo.nodes, "Of the demo cluster: nodes, a replica each")->capture_default_str();
  command->add_option("--tensor-parallel-size,--tp", flags->demo.tensor_parallel, "Of the demo cluster: ranks of a replica (-tp N)")
      ->capture_default_str();
  command->add_flag("--ui", flags->demo.ui, "Of the demo cluster: pages for people at /ui of every gateway");
  command->add_option("--host", flags->hosts, "With --config: start what the file has on this host, by the name or address it has there")
      ->delimiter(',');
  command->add_flag("--all", flags->all, "With --config: start every process of the file here");
  command->add_option("--output", flags->output, "text, or json: one line on standard output when the cluster is ready");
  command->callback([flags, code] { *code = up_command(*flags); });
}

}  // namespace herd::commands
