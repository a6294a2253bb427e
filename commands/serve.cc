// herd serve: the OpenAI-compatible endpoint: of an engine in this process, or with --config as a gateway of a cluster.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "commands/command_line.h"
#include "commands/endpoint_server.h"
#include "commands/gateway_file.h"
#include "commands/gateway_reload.h"
#include "commands/joined_cluster.h"
#include "commands/own_cluster.h"
#include "commands/serve.h"
#include "commands/serve_flags.h"
#include "commands/stop_guard.h"
#include "kernels/process_limits.h"

namespace herd::commands {
namespace {

// What every server begins with: flags that are right, a log, a guard that takes signals.
Status serve_under_guard(const ServeFlags& flags,
                         const std::function<Status(observability::EventLog& log, StopGuard& guard)>& serve) {
  if (Status status = check(flags); !status.ok()) return status;
  raise_file_limit();
  using observability::LogLevel;
  observability::EventLog log(observability::log_format_named(flags.log_format), log_level(flags));
  auto guard = StopGuard::start(flags.shutdown_timeout, [&log] {
    log.write(LogLevel::kError, "something hangs and the time to stop is over: the process ends over it");
    log.flush(kLogFlush);
  });
  if (!guard) return guard.error();
  return serve(log, **guard);
}

// Beside what computes: connections, text and scrapes, the numerics' reader or a gateway's connections, traces, the start's own.
int own_threads(const ServeFlags& flags) {
  return flags.http.threads + flags.text_threads + (flags.metrics_port ? 1 : 0) + (flags.ui ? 1 : 0) + 5;
}

Status serve_own(const ServeFlags& flags, const EngineHooks& hooks) {
  return serve_under_guard(flags, [&](observability::EventLog& log, StopGuard& guard) -> Status {
    auto options = engine_options(flags.model);
    if (!options) return options.error();
    if (Status status = probe_threads(actors::threads_needed(*options) + own_threads(flags)); !status.ok()) return status;
    OwnCluster cluster(flags, hooks, log, guard);
    EndpointServer server(flags, log, guard, cluster);
    if (Status status = server.start(); !status.ok()) return status;
    return server.run();
  });
}

Status serve_joined(const GatewayFile& file) {
  return serve_under_guard(file.flags, [&](observability::EventLog& log, StopGuard& guard) -> Status {
    // The metrics port, the gateway's own, its proxies'.
    if (Status status = probe_threads(own_threads(file.flags) + 3); !status.ok()) return status;
    JoinedCluster cluster(file, log);
    // /metrics has a port of its own in any case, with what is to be said of a process of a cluster.
    ServeFlags doors = file.flags;
    doors.metrics_port.reset();
    EndpointServer server(doors, log, guard, cluster);
    GatewayReload reload(file, log, guard, cluster, server);
    if (Status status = server.start(); !status.ok()) return status;
    return server.run();
  });
}

std::vector<std::string> given_flags(const CLI::App& command) {
  std::vector<std::string> given;
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0) continue;
    given.push_back(option->get_lnames().empty() ? option->get_name() : "--" + option->get_lnames().front());
  }
  return given;
}

}  // namespace

void EngineHooks::set(actors::EngineOptions& options) const {
  if (wrap_rank) options.wrap_rank = wrap_rank;
  if (wrap_group) options.wrap_group = wrap_group;
  if (restart_budget) options.restart_budget = *restart_budget;
  if (watch) options.watch = *watch;
}

void add_serve(CLI::App& app, int* exit_code, const EngineHooks& hooks) {
  struct Asked {
    ServeFlags flags;
    std::string config;
    std::string name;
  };
  auto asked = std::make_shared<Asked>();
  CLI::App* command = app.add_subcommand("serve", "The OpenAI-compatible endpoint");
  add_serve_flags(*command, asked->flags);
  const std::string cluster = "Cluster";
  command->add_option("--config", asked->config, "Be a gateway of the cluster in this file (YAML), which has all other settings")
      ->group(cluster);
  command->add_option("--name", asked->name, "Which gateway of the file this is, where it has several")->group(cluster);
  command->callback([asked, command, hooks, exit_code] {
    if (asked->config.empty()) {
      *exit_code = report(asked->name.empty() ? serve_own(asked->flags, hooks)
                                              : usage_error("--name is of a file's gateways: give --config"));
      return;
    }
    const auto file = read_gateway_file(asked->config, asked->name, asked->flags, given_flags(*command));
    *exit_code = report(file ? serve_joined(*file) : file.error());
  });
}

}  // namespace herd::commands
