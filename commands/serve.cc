// herd serve: the OpenAI-compatible endpoint in one process: engine, gateway, HTTP server, metrics. Starts the parts in
// order, then waits for signals: SIGTERM or SIGINT drains, a second one stops, SIGHUP reads the key file again.

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <system_error>
#include <thread>

#include <CLI/CLI.hpp>
#include <pthread.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "endpoint/api/api_gateway.h"
#include "endpoint/api/front_door.h"
#include "endpoint/served/served_model.h"
#include "commands/command_line.h"
#include "commands/machine_bounds.h"
#include "commands/started_model.h"
#include "commands/systemd_service.h"
#include "commands/version.h"
#include "kernels/check.h"
#include "kernels/process_limits.h"

namespace herd::commands {
namespace {

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
  double request_timeout = 600;
  double request_timeout_max = 3600;
  std::size_t queued_requests_max = 1024;
  std::uint64_t queued_tokens_max = 1ULL << 20;
  std::string policy = "fcfs";
  double shutdown_timeout = 30;
  int text_threads = 1;
  int compute_nice = 5;
  double keep_alive = 10;
  double stalled = 30;
  std::string resume_key_file;
  std::string chat_date;
  std::string log_format = "text";
  bool log_requests = false;
  bool no_stats_line = false;
  double stats_interval = 10;
};

std::int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void random_bytes(std::span<std::uint8_t> bytes) {
  HERD_CHECK(::getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()), "getrandom gives bytes");
}

// Thousands of connections need thousands of descriptors.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

// Blocked in every thread from here on: the main thread takes them one by one.
sigset_t own_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

Status check(const ServeFlags& flags) {
  if (flags.request_timeout <= 0 || flags.request_timeout_max < flags.request_timeout)
    return usage_error("--request-timeout must be above 0 and at most --max-request-timeout");
  if (flags.policy != "fcfs" && flags.policy != "priority")
    return usage_error("--scheduling-policy must be fcfs or priority, not " + flags.policy);
  if (flags.log_format != "text" && flags.log_format != "json")
    return usage_error("--log-format must be text or json, not " + flags.log_format);
  if (flags.compute_nice < 0 || flags.compute_nice > 19) return usage_error("--compute-nice must be in [0, 19]");
  if (flags.text_threads < 1 || flags.text_threads > 64) return usage_error("--text-threads must be in [1, 64]");
  if (!flags.api_keys.empty() && !flags.api_key_file.empty())
    return usage_error("--api-key and --api-key-file cannot be given together");
  if (flags.shutdown_timeout < 0) return usage_error("--shutdown-timeout must not be negative");
  if (flags.stats_interval <= 0 || flags.keep_alive <= 0 || flags.stalled <= 0)
    return usage_error("--stats-interval, --keep-alive-interval and --ready-stall must be above 0");
  return {};
}

// Where the key of resumable streams is kept when nobody says: with the user's other state.
std::string default_resume_key_file() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return std::string(state) + "/herd/resume.key";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::string(home) + "/.local/state/herd/resume.key";
  return {};
}

// A quick look, for the share of bandwidth in the metrics of a replica; `herd bench machine` measures properly. 0: not
// known. Of GPUs only the first replica's count.
double quick_read_bandwidth(const actors::EngineOptions& options) {
  double gb_per_s = 0;
  if (options.gpu.use) {
    const auto gpus = measure_gpus(options.gpu, options.tensor_parallel);
    for (std::size_t i = 0; gpus && i < gpus->size(); ++i) gb_per_s += (*gpus)[i].rates.read_gb_per_s;
  } else {
    ThreadPool pool(options.threads > 0 ? options.threads : usable_cpus());
    const auto rates =
        measure_machine(pool, {.buffer_bytes = std::size_t{256} << 20, .repeats = 2, .fma_seconds = 0.001});
    if (rates) gb_per_s = rates->read_gb_per_s;
  }
  return gb_per_s * 1e9;
}

class Server {
 public:
  explicit Server(const ServeFlags& flags)
      : flags_(flags),
        log_(flags.log_format == "json" ? observability::LogFormat::kJson : observability::LogFormat::kText,
             flags.model.quiet ? observability::LogLevel::kWarning : observability::LogLevel::kInfo) {}

  Status start() {
    if (Status status = load_keys(); !status.ok()) return status;
    if (Status status = take_ports(); !status.ok()) return status;
    // On a thread of its own: loading and measuring leave the kernels' float mode behind, which threads started later
    // would inherit.
    Status started;
    std::thread([&] {
      try {
        started = start_engine();
      } catch (const std::bad_alloc&) {
        started = no_memory();
      } catch (const std::system_error& error) {  // somebody else took the threads that were counted
        started = no_thread(error);
      }
    }).join();
    if (!started.ok()) return started;
    if (Status status = make_gateway(); !status.ok()) return status;
    open_doors();
    return {};
  }

  // Until a signal says so; the exit status.
  Status run(const sigset_t& signals) {
    using Clock = std::chrono::steady_clock;
    auto next_line = Clock::now() + std::chrono::duration<double>(flags_.stats_interval);
    for (;;) {
      const int signal = next_signal(signals);
      if (signal == SIGHUP) reload_keys();
      if (signal == SIGTERM || signal == SIGINT) break;
      gateway_->tick();
      if (flags_.no_stats_line || Clock::now() < next_line) continue;
      next_line += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(flags_.stats_interval));
      if (!gateway_->idle()) log_.write(observability::LogLevel::kInfo, gateway_->stats_line());
    }
    drain(signals);
    return {};
  }

 private:
  static int next_signal(const sigset_t& signals) {
    const timespec second{1, 0};
    const int signal = ::sigtimedwait(&signals, nullptr, &second);
    return signal > 0 ? signal : 0;
  }

  Status load_keys() {
    if (flags_.api_key_file.empty() && flags_.api_keys.empty()) return {};
    if (!flags_.api_keys.empty())
      log_.write(observability::LogLevel::kWarning,
                 "--api-key shows the key to everyone who lists processes; --api-key-file does not");
    auto keys = flags_.api_keys.empty() ? access::ApiKeys::load(flags_.api_key_file)
                                        : access::ApiKeys::from_keys(flags_.api_keys);
    if (!keys) return keys.error();
    keys_ = std::move(*keys);
    return {};
  }

  void reload_keys() {
    if (flags_.api_key_file.empty()) return;
    auto keys = access::ApiKeys::load(flags_.api_key_file);
    if (!keys) {
      log_.write(observability::LogLevel::kError, "key file not taken, the old keys stay",
                 {{"reason", keys.error().message()}});
      return;
    }
    gateway_->set_keys(*keys);
    log_.write(observability::LogLevel::kInfo, "key file read again",
               {{"keys", static_cast<std::int64_t>((*keys)->keys().size())}});
  }

  Status start_engine() {
    auto options = engine_options(flags_.model);
    if (!options) return options.error();
    const double read_bytes_per_s = quick_read_bandwidth(*options);
    if (flags_.policy == "priority") options->scheduler.policy = scheduler::SchedulingPolicy::kPriority;
    // The gateway bounds what waits; behind it the largest single request (prompts × n) must fit.
    options->scheduler.queue_requests_max = 4096;
    options->scheduler.queue_tokens_max = std::uint64_t{1} << 24;
    options->compute_nice = flags_.compute_nice;
    options->on_step = [this](ReplicaId replica, const step::StepStats& stats, double step_s) {
      if (observability::ServingMetrics* metrics = metrics_ready_.load()) metrics->on_step(replica.value, stats, step_s);
    };
    scheduler_ = options->scheduler;
    replicas_ = static_cast<std::uint32_t>(options->data_parallel);
    names_ = served::served_names(flags_.served_names, options->model.path);
    auto model = start_model(std::move(*options), text_options(flags_.model));
    if (!model) return model.error();
    text_ = std::move(model->text);
    engine_ = std::move(model->engine);
    const actors::EngineFacts& facts = engine_->facts();
    metrics_ = std::make_unique<observability::ServingMetrics>(observability::ServingMetricsConfig{
        .model_name = names_.front(),
        .replicas = replicas_,
        .max_model_len = facts.max_model_len,
        .block_size = static_cast<std::uint32_t>(flags_.model.block_size),
        .num_blocks = static_cast<std::uint64_t>(facts.num_blocks),
        .prefix_caching = scheduler_.prefix_caching,
        .weight_bytes_per_step = facts.weight_bytes_per_token,
        .kv_bytes_per_token = static_cast<std::uint64_t>(facts.kv_bytes_per_token),
        .read_bytes_per_s = read_bytes_per_s});
    metrics_ready_ = metrics_.get();
    if (flags_.compute_nice > 0 && facts.gpus.empty())
      log_.write(observability::LogLevel::kInfo, "compute threads run at a lower priority than the server's",
                 {{"nice", std::int64_t{flags_.compute_nice}}});
    return {};
  }

  // What clients will not get, and why.
  void log_refusals() {
    using observability::LogLevel;
    if (!text_.tokenizer)
      log_.write(LogLevel::kWarning, "no text: prompts as token ids only", {{"reason", text_.no_text.message()}});
    if (!text_.chat) {
      log_.write(LogLevel::kWarning, "no chat: /v1/chat/completions will refuse",
                 {{"reason", text_.chat.error().message()}});
      return;
    }
    for (const tokenizer::RefusedRole& refused : text_.chat->refused_roles())
      log_.write(LogLevel::kInfo, "a role that chats will refuse", {{"role", refused.role}, {"reason", refused.reason}});
  }

  served::ServedModel served_model() {
    log_refusals();
    served::ServedModel model = served::served_model(text_, names_);
    if (!flags_.chat_date.empty()) model.chat.date_string = flags_.chat_date;
    model.max_model_len = engine_->facts().max_model_len;
    return model;
  }

  Status make_gateway() {
    if (Status status = make_event_ids(); !status.ok()) return status;
    served::ServedModel model = served_model();
    openai::RequestLimits limits;
    limits.vocab_size = model.vocab_size;
    // Four bytes a token is common, sixteen is generous: longer texts cannot fit.
    limits.prompt_bytes_max = static_cast<std::size_t>(model.max_model_len) * 16;
    limits.prompt_tokens_max = static_cast<std::size_t>(model.max_model_len);
    limits.priorities = flags_.policy == "priority";
    limits.strict_fields = flags_.strict_fields;
    api::ApiConfig config;
    // A few more than run at one time, so that a step never waits for the gateway to hand over the next.
    const std::size_t together = std::size_t{scheduler_.max_num_seqs} * replicas_;
    config.admission = {.queue_requests_max = flags_.queued_requests_max,
                        .queue_tokens_max = flags_.queued_tokens_max,
                        .running_sequences_max = together + std::max<std::size_t>(1, together / 8),
                        .priorities = limits.priorities};
    if (Status status = config.admission.validate(); !status.ok()) return status;
    config.request_timeout_s = flags_.request_timeout;
    config.request_timeout_max_s = flags_.request_timeout_max;
    config.stalled_s = flags_.stalled;
    config.keep_alive_s = flags_.keep_alive;
    config.allowed_origins = flags_.allowed_origins;
    config.eos_ids = text_.eos_ids;
    config.text_threads = flags_.text_threads;
    config.log_requests = flags_.log_requests;
    config.version = version();
    config.unix_time = unix_time;
    config.random_bytes = random_bytes;
    gateway_ = std::make_unique<api::ApiGateway>(std::move(config), api::RequestReader(std::move(model), limits),
                                                 *event_ids_, engine_->cluster(), *metrics_, log_);
    gateway_->set_keys(keys_);
    return {};
  }

  Status make_event_ids() {
    const std::string path = flags_.resume_key_file.empty() ? default_resume_key_file() : flags_.resume_key_file;
    auto key = access::random_key();
    if (!path.empty()) {
      auto kept = access::load_or_make_key(path);
      if (kept) {
        key = *kept;
      } else if (!flags_.resume_key_file.empty() || kept.error().code() != StatusCode::kMissing) {
        return kept.error();
      } else {
        log_.write(observability::LogLevel::kWarning, "no key file: streams cannot be resumed after a restart",
                   {{"reason", kept.error().message()}});
      }
    }
    event_ids_ = std::make_unique<access::EventIdCodec>(key, engine_->fingerprint() + "/" + names_.front());
    return {};
  }

  Status make_door(std::optional<api::FrontDoor>& door, const std::string& host) {
    std::optional<access::AllowedHosts> hosts;
    if (!keys_) {
      auto made = access::AllowedHosts::make(flags_.allowed_hosts, host);
      if (!made) return made.error();
      hosts = std::move(*made);
    }
    door.emplace(api::AnswerHeaders(flags_.allowed_origins, random_bytes), std::move(hosts));
    return {};
  }

  // Before the model is loaded: a port in use is known at once, and whoever calls meanwhile is told to come back.
  Status take_ports() {
    http::HttpServerConfig main = flags_.http;
    const std::vector<int> given = inherited_sockets();
    main.unix_seconds = unix_time;
    if (!given.empty()) main.listen_fd = given.front();
    if (Status status = make_door(door_, main.host); !status.ok()) return status;
    auto server = http::HttpServer::start(main, *door_);
    if (!server) return server.error();
    server_ = std::move(*server);
    if (!flags_.metrics_port) return {};
    http::HttpServerConfig metrics;
    metrics.unix_seconds = unix_time;
    metrics.host = metrics_host();
    metrics.port = *flags_.metrics_port;
    if (given.size() > 1) metrics.listen_fd = given[1];
    if (Status status = make_door(metrics_door_, metrics.host); !status.ok()) return status;
    auto opened = http::HttpServer::start(metrics, *metrics_door_);
    if (!opened) return opened.error();
    metrics_server_ = std::move(*opened);
    return {};
  }

  [[nodiscard]] const std::string& metrics_host() const {
    return flags_.metrics_host.empty() ? flags_.http.host : flags_.metrics_host;
  }

  void open_doors() {
    gateway_->set_server(server_.get());
    door_->open(*gateway_);
    if (metrics_server_) {
      metrics_handler_ = std::make_unique<api::MetricsHandler>(*gateway_);
      metrics_door_->open(*metrics_handler_);
      std::fprintf(stderr, "herd: metrics on http://%s:%d/metrics\n", metrics_host().c_str(), metrics_server_->port());
    }
    const char* scheme = flags_.http.tls_certificate.empty() ? "http" : "https";
    std::fprintf(stderr, "herd: serving on %s://%s:%d\n", scheme, flags_.http.host.c_str(), server_->port());
    notify_service_manager("READY=1");
  }

  // The first signal: what runs finishes. The second: it does not.
  void drain(const sigset_t& signals) {
    notify_service_manager("STOPPING=1");
    gateway_->drain();
    server_->drain();
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(flags_.shutdown_timeout);
    log_.write(observability::LogLevel::kInfo, "draining; a second signal stops at once");
    while (!gateway_->await_drained(std::chrono::milliseconds(50))) {
      if (std::chrono::steady_clock::now() >= end) {
        log_.write(observability::LogLevel::kWarning, "the shutdown timeout is over; open requests end with an error");
        break;
      }
      const timespec now{0, 0};
      const int signal = ::sigtimedwait(&signals, nullptr, &now);
      if (signal == SIGTERM || signal == SIGINT) break;
    }
    gateway_->stop();
    // The last frames still have to reach their sockets.
    for (int i = 0; i < 100 && server_->stats().connections_open > 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    gateway_->set_server(nullptr);
    server_.reset();
    metrics_server_.reset();
    engine_->cluster().shutdown();
    log_.write(observability::LogLevel::kInfo, "stopped");
  }

  const ServeFlags& flags_;
  observability::EventLog log_;
  std::shared_ptr<const access::ApiKeys> keys_;
  scheduler::SchedulerConfig scheduler_;
  std::uint32_t replicas_ = 1;
  std::vector<std::string> names_;
  std::unique_ptr<observability::ServingMetrics> metrics_;
  std::atomic<observability::ServingMetrics*> metrics_ready_{nullptr};
  served::ServedText text_;
  std::unique_ptr<actors::Engine> engine_;
  std::unique_ptr<access::EventIdCodec> event_ids_;
  std::unique_ptr<api::ApiGateway> gateway_;
  std::unique_ptr<api::MetricsHandler> metrics_handler_;
  std::optional<api::FrontDoor> door_;
  std::optional<api::FrontDoor> metrics_door_;
  std::unique_ptr<http::HttpServer> server_;
  std::unique_ptr<http::HttpServer> metrics_server_;
};

Status serve(const ServeFlags& flags) {
  if (Status status = check(flags); !status.ok()) return status;
  raise_descriptor_limit();
  const sigset_t signals = own_signals();
  auto options = engine_options(flags.model);
  if (!options) return options.error();
  // Beside the model's: connections and text, requests, the log, the start's own.
  const int own = flags.http.threads + flags.text_threads + (flags.metrics_port ? 1 : 0) + 4;
  if (Status status = probe_threads(actors::threads_needed(*options) + own); !status.ok()) return status;
  Server server(flags);
  if (Status status = server.start(); !status.ok()) return status;
  return server.run(signals);
}

}  // namespace

void add_serve(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "The OpenAI-compatible endpoint");
  add_model_flags(*command, flags->model);
  const std::string server = "Server";
  command->add_option("--host", flags->http.host, "Address to listen on")->capture_default_str()->group(server);
  command->add_option("--port", flags->http.port, "0: any free one")->capture_default_str()->group(server);
  command->add_option("--ssl-certfile", flags->http.tls_certificate, "TLS certificate chain (PEM)")->group(server);
  command->add_option("--ssl-keyfile", flags->http.tls_key, "TLS private key (PEM)")->group(server);
  command->add_option("--http-threads,--api-server-count", flags->http.threads, "I/O threads")
      ->capture_default_str()->group(server)->check(CLI::Range(1, 64));
  command->add_option("--text-threads", flags->text_threads, "Threads that parse and tokenize")
      ->capture_default_str()->group(server);
  command->add_option("--compute-nice", flags->compute_nice,
                      "Niceness of CPU ranks' threads, so that requests are answered while they are busy; 0: none")
      ->capture_default_str()->group(server);
  command->add_option("--served-model-name", flags->served_names, "Names in the API (default: the model's folder or file)")
      ->group(server);
  command->add_option("--allowed-origins", flags->allowed_origins, "CORS: origins of browsers, or * (default: none)")
      ->delimiter(',')->group(server);
  command->add_flag("--strict-fields", flags->strict_fields,
                    "Refuse fields that no API knows; else they pass and x-herd-ignored-fields names them")
      ->group(server);
  command->add_option("--metrics-port", flags->metrics_port, "/metrics on a port of its own as well, without a key")
      ->group(server);
  command->add_option("--metrics-host", flags->metrics_host, "Address of that port (default: --host)")->group(server);
  command->add_option("--shutdown-timeout", flags->shutdown_timeout, "Seconds that open requests get after SIGTERM")
      ->capture_default_str()->group(server);
  command->add_option("--resume-key-file", flags->resume_key_file,
                      "Key of event ids, made when missing (default: ~/.local/state/herd/resume.key)")
      ->group(server);
  command->add_option("--chat-date", flags->chat_date, "Date line of the Llama 3.1 chat format")->group(server);
  command->add_option("--keep-alive-interval", flags->keep_alive, "Seconds of silence before a stream gets a comment")
      ->capture_default_str()->group(server);
  const std::string access = "Access";
  command->add_option("--api-key-file", flags->api_key_file,
                      "Keys that may call, a line each: NAME key=… [requests_per_minute=…]; read again on SIGHUP")
      ->group(access);
  command->add_option("--api-key", flags->api_keys, "A key that may call (visible to other users: prefer the file)")
      ->group(access)->take_all();
  command->add_option("--allowed-hosts", flags->allowed_hosts,
                      "Without keys: names of this server in requests, beside localhost and its address, or * for any")
      ->delimiter(',')->group(access);
  const std::string limits = "Limits";
  command->add_option("--max-num-queued-reqs", flags->queued_requests_max, "Requests that may wait; more get 503")
      ->capture_default_str()->group(limits);
  command->add_option("--max-num-queued-tokens", flags->queued_tokens_max, "Prompt tokens that may wait; more get 503")
      ->capture_default_str()->group(limits);
  command->add_option("--request-timeout", flags->request_timeout, "Seconds a request may take (or X-Request-Timeout)")
      ->capture_default_str()->group(limits);
  command->add_option("--max-request-timeout", flags->request_timeout_max, "The most X-Request-Timeout may ask for")
      ->capture_default_str()->group(limits);
  command->add_option("--scheduling-policy", flags->policy, "fcfs, or priority: the request's `priority` counts")
      ->capture_default_str()->group(limits);
  command->add_option("--max-connections", flags->http.limits.connections, "Open connections")
      ->capture_default_str()->group(limits);
  command->add_option("--max-connections-per-ip", flags->http.limits.connections_per_ip,
                      "Of one address; loopback addresses do not count")
      ->capture_default_str()->group(limits);
  command->add_option("--max-body-bytes", flags->http.limits.body_bytes, "Of one request")
      ->capture_default_str()->group(limits)->check(CLI::Range(1024, 32 << 20));
  command->add_option("--ready-stall", flags->stalled, "/ready fails when nothing came out for so many seconds")
      ->capture_default_str()->group(limits);
  const std::string logs = "Logs";
  command->add_option("--log-format", flags->log_format, "text or json")->capture_default_str()->group(logs);
  command->add_flag("--enable-log-requests", flags->log_requests, "A line per finished request")->group(logs);
  command->add_flag("--disable-log-stats", flags->no_stats_line, "No line of throughput every 10 s")->group(logs);
  command->add_option("--stats-interval", flags->stats_interval, "Seconds between those lines")
      ->capture_default_str()->group(logs);
  command->callback([flags, exit_code] { *exit_code = report(serve(*flags)); });
}

}  // namespace herd::commands
