#include "commands/serve_flags.h"

#include <algorithm>
#include <utility>

#include <CLI/CLI.hpp>

#include "endpoint/otlp/otlp_settings.h"

namespace herd::commands {

Status check(const ServeFlags& flags) {
  if (flags.request_timeout <= 0 || flags.request_timeout_max < flags.request_timeout)
    return usage_error("--request-timeout must be above 0 and at most --max-request-timeout");
  if (flags.policy != "fcfs" && flags.policy != "priority")
    return usage_error("--scheduling-policy must be fcfs or priority, not " + flags.policy);
  if (flags.routing_policy != "predicted" && flags.routing_policy != "round_robin")
    return usage_error("--routing-policy must be predicted or round_robin, not " + flags.routing_policy);
  if (flags.log_format != "text" && flags.log_format != "json")
    return usage_error("--log-format must be text or json, not " + flags.log_format);
  if (!observability::log_level_named(flags.log_level) || flags.log_level == "debug")
    return usage_error("--log-level must be info, warning or error, not " + flags.log_level);
  if (flags.compute_nice < 0 || flags.compute_nice > 19) return usage_error("--compute-nice must be in [0, 19]");
  if (flags.text_threads < 1 || flags.text_threads > 64) return usage_error("--text-threads must be in [1, 64]");
  if (!flags.api_keys.empty() && !flags.api_key_file.empty())
    return usage_error("--api-key and --api-key-file cannot be given together");
  if (flags.shutdown_timeout < 0) return usage_error("--shutdown-timeout must not be negative");
  if (!flags.otlp_traces_endpoint.empty())
    if (const auto target = otlp::otlp_endpoint(flags.otlp_traces_endpoint); !target) return target.error();
  if (flags.stats_interval <= 0 || flags.keep_alive <= 0 || flags.stalled <= 0)
    return usage_error("--stats-interval, --keep-alive-interval and --ready-stall must be above 0");
  return {};
}

Status take_settings(std::vector<std::string> words, ServeFlags& flags) {
  CLI::App app;
  add_serve_flags(app, flags);
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    return {StatusCode::kInternal, std::string("a setting is no flag: ") + error.what()};
  }
  return {};
}

void take_live(const ServeFlags& from, ServeFlags& into) {
  into.http.limits.connections = from.http.limits.connections;
  into.http.limits.connections_per_ip = from.http.limits.connections_per_ip;
  into.http.limits.body_bytes = from.http.limits.body_bytes;
  into.api_key_file = from.api_key_file;
  into.request_timeout = from.request_timeout;
  into.request_timeout_max = from.request_timeout_max;
  into.queued_requests_max = from.queued_requests_max;
  into.queued_tokens_max = from.queued_tokens_max;
  into.shutdown_timeout = from.shutdown_timeout;
  into.keep_alive = from.keep_alive;
  into.stalled = from.stalled;
  into.log_level = from.log_level;
  into.log_requests = from.log_requests;
  into.no_stats_line = from.no_stats_line;
  into.stats_interval = from.stats_interval;
}

observability::LogLevel log_level(const ServeFlags& flags) {
  using observability::LogLevel;
  return std::max(observability::log_level_named(flags.log_level).value_or(LogLevel::kInfo),
                  flags.model.quiet ? LogLevel::kWarning : LogLevel::kInfo);
}

Expected<actors::EngineOptions> engine_options(const ServeFlags& flags) {
  auto options = engine_options(flags.model);
  if (!options) return options;
  options->compute_nice = flags.compute_nice;
  if (flags.policy == "priority") options->scheduler.policy = scheduler::SchedulingPolicy::kPriority;
  return options;
}

void lift_queue_bounds(scheduler::SchedulerConfig& config) {
  config.queue_requests_max = 4096;
  config.queue_tokens_max = std::uint64_t{1} << 24;
}

void set_limits(const ServeFlags& flags, std::size_t together, gateway::GatewayConfig& gateway) {
  // A few more than run at one time, so that a step never waits for the gateway to hand over the next.
  gateway.admission = {.queue_requests_max = flags.queued_requests_max,
                       .queue_tokens_max = flags.queued_tokens_max,
                       .running_sequences_max = together + std::max<std::size_t>(1, together / 8),
                       .priorities = flags.policy == "priority"};
  if (flags.routing_policy == "round_robin") gateway.routing = routing::RoutingPolicy::kRoundRobin;
  gateway.open_sequences_max = std::max(gateway.open_sequences_max, gateway.admission.running_sequences_max);
}

void add_serve_flags(CLI::App& command, ServeFlags& flags) {
  flags.model.max_step_ms = "auto";
  add_model_flags(command, flags.model);
  const std::string server = "Server";
  command.add_option("--host", flags.http.host, "Address to listen on")->capture_default_str()->group(server);
  command.add_option("--port", flags.http.port, "0: any free one")->capture_default_str()->group(server);
  command.add_option("--ssl-certfile", flags.http.tls_certificate, "TLS certificate chain (PEM)")->group(server);
  command.add_option("--ssl-keyfile", flags.http.tls_key, "TLS private key (PEM)")->group(server);
  command.add_option("--http-threads,--api-server-count", flags.http.threads, "I/O threads")
      ->capture_default_str()->group(server)->check(CLI::Range(1, 64));
  command.add_option("--text-threads", flags.text_threads, "Threads that parse and tokenize")
      ->capture_default_str()->group(server);
  command.add_option("--compute-nice", flags.compute_nice,
                      "Niceness of CPU ranks' threads, so that requests are answered while they are busy; 0: none")
      ->capture_default_str()->group(server);
  command.add_option("--served-model-name", flags.served_names, "Names in the API (default: the model's folder or file)")
      ->group(server);
  command.add_option("--allowed-origins", flags.allowed_origins, "CORS: origins of browsers, or * (default: none)")
      ->delimiter(',')->group(server);
  command.add_flag("--strict-fields", flags.strict_fields,
                    "Refuse fields that no API knows; else they pass and x-herd-ignored-fields names them")
      ->group(server);
  command.add_flag("--ui", flags.ui, "Pages for people: /ui shows what runs where, /ui/chat talks to the model")->group(server);
  command.add_option("--metrics-port", flags.metrics_port, "/metrics on a port of its own as well, without a key")
      ->group(server);
  command.add_option("--metrics-host", flags.metrics_host, "Address of that port (default: --host)")->group(server);
  command.add_option("--shutdown-timeout", flags.shutdown_timeout,
                      "Seconds that open requests get after SIGTERM; a second later the process is gone, whatever hangs")
      ->capture_default_str()->group(server);
  command.add_option("--resume-key-file", flags.resume_key_file,
                      "Key of event ids, made when missing (default: ~/.local/state/herd/resume.key)")
      ->group(server);
  command.add_option("--keep-alive-interval", flags.keep_alive, "Seconds of silence before a stream gets a comment")
      ->capture_default_str()->group(server);
  const std::string access = "Access";
  command.add_option("--api-key-file", flags.api_key_file,
                      "Keys that may call, a line each: NAME key=… [requests_per_minute=…]; read again on SIGHUP")
      ->group(access);
  command.add_option("--api-key", flags.api_keys, "A key that may call (visible to other users: prefer the file)")
      ->group(access)->take_all();
  command.add_option("--allowed-hosts", flags.allowed_hosts,
                      "Without keys: names of this server in requests, beside localhost and its address, or * for any")
      ->delimiter(',')->group(access);
  const std::string limits = "Limits";
  command.add_option("--max-num-queued-reqs", flags.queued_requests_max, "Requests that may wait; more get 503")
      ->capture_default_str()->group(limits);
  command.add_option("--max-num-queued-tokens", flags.queued_tokens_max, "Prompt tokens that may wait; more get 503")
      ->capture_default_str()->group(limits);
  command.add_option("--request-timeout", flags.request_timeout, "Seconds a request may take (or X-Request-Timeout)")
      ->capture_default_str()->group(limits);
  command.add_option("--max-request-timeout", flags.request_timeout_max, "The most X-Request-Timeout may ask for")
      ->capture_default_str()->group(limits);
  command.add_option("--scheduling-policy", flags.policy, "fcfs, or priority: the request's `priority` counts")
      ->capture_default_str()->group(limits);
  command.add_option("--routing-policy", flags.routing_policy,
                     "Which replica takes a request: predicted (where it would be done first, by what runs there and what its prefix "
                     "cache holds) or round_robin")
      ->capture_default_str()->group(limits);
  command.add_option("--max-connections", flags.http.limits.connections, "Open connections")
      ->capture_default_str()->group(limits);
  command.add_option("--max-connections-per-ip", flags.http.limits.connections_per_ip,
                      "Of one address; loopback addresses do not count")
      ->capture_default_str()->group(limits);
  command.add_option("--max-body-bytes", flags.http.limits.body_bytes, "Of one request")
      ->capture_default_str()->group(limits)->check(CLI::Range(1024, 32 << 20));
  command.add_option("--ready-stall", flags.stalled, "/ready fails when there is work and no step of it was finished for so many seconds")
      ->capture_default_str()->group(limits);
  const std::string logs = "Logs";
  command.add_option("--log-format", flags.log_format, "text or json")->capture_default_str()->group(logs);
  command.add_option("--log-level", flags.log_level, "info, warning or error: the least that is written")
      ->capture_default_str()->group(logs);
  command.add_flag("--enable-log-requests", flags.log_requests, "A line per finished request")->group(logs);
  command.add_flag("--disable-log-stats", flags.no_stats_line, "No line of throughput every 10 s")->group(logs);
  command.add_option("--stats-interval", flags.stats_interval, "Seconds between those lines")
      ->capture_default_str()->group(logs);
  command.add_option("--otlp-traces-endpoint", flags.otlp_traces_endpoint,
                     "Where spans of requests go: an OpenTelemetry collector, as JSON over HTTP (http://HOST:4318/v1/traces); the "
                     "environment's OTEL_* variables count as well")
      ->group("Traces");
}

}  // namespace herd::commands
