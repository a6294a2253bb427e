#pragma once
// The flags of `herd serve`.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cluster/gateway/gateway_core.h"
#include "commands/command_line.h"
#include "endpoint/http/http_server.h"
#include "observability/event_log.h"

namespace herd::commands {

struct ServeFlags {
  ModelFlags model;
  http::HttpServerConfig http;
  std::vector<std::string> served_names;
  std::vector<std::string> api_keys;
  std::string api_key_file;
  std::optional<std::uint16_t> metrics_port;
  std::string metrics_host;
  std::vector<std::string> allowed_origins;
  std::vector<std::string> allowed_hosts;
  bool strict_fields = false;
  bool ui = false;
  double request_timeout = 600;
  double request_timeout_max = 3600;
  std::size_t queued_requests_max = 1024;
  std::uint64_t queued_tokens_max = 1ULL << 20;
  std::string policy = "fcfs";
  std::string routing_policy = "predicted";
  double shutdown_timeout = 30;
  int text_threads = 1;
  int compute_nice = 5;
  double keep_alive = 10;
  double stalled = 30;
  std::string resume_key_file;
  std::string log_format = "text";
  std::string log_level = "info";
  bool log_requests = false;
  bool no_stats_line = false;
  std::string otlp_traces_endpoint;
  double stats_interval = 10;
};

void add_serve_flags(CLI::App& command, ServeFlags& flags);
// A cluster file's settings as words of these flags (config::serve_flags_of).
[[nodiscard]] Status take_settings(std::vector<std::string> words, ServeFlags& flags);
// Checks values that need no file and no device. kUsage.
[[nodiscard]] Status check(const ServeFlags& flags);
// Of `from` what a server takes while it runs.
void take_live(const ServeFlags& from, ServeFlags& into);
// --log-level, and warnings at least under --quiet.
[[nodiscard]] observability::LogLevel log_level(const ServeFlags& flags);
// engine_options() of the model's flags, with what the others say of ranks.
[[nodiscard]] Expected<actors::EngineOptions> engine_options(const ServeFlags& flags);
// For a scheduler behind a gateway, which bounds what waits: the largest single request (prompts × n) must fit.
void lift_queue_bounds(scheduler::SchedulerConfig& config);
// What a gateway takes before replicas that run `together` sequences at one time.
void set_limits(const ServeFlags& flags, std::size_t together, gateway::GatewayConfig& gateway);

}  // namespace herd::commands
