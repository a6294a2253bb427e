// herd serve: the OpenAI-compatible endpoint in one process: engine, gateway, HTTP server, metrics. Starts the parts in
// order, then waits for signals: SIGTERM or SIGINT drains, a second one stops, SIGHUP reads the key file again.

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>

#include <CLI/CLI.hpp>
#include <pthread.h>

#include "commands/machine_bounds.h"
#include "commands/random_bytes.h"
#include "commands/serve_flags.h"
#include "commands/server_doors.h"
#include "commands/started_model.h"
#include "commands/systemd_service.h"
#include "commands/version.h"
#include "commands/wall_clock.h"
#include "endpoint/api/api_gateway.h"
#include "endpoint/api/metrics_handler.h"
#include "endpoint/served/served_model.h"
#include "kernels/process_limits.h"

namespace herd::commands {
namespace {

// Blocked in every thread from here on: the main thread takes them one by one.
sigset_t own_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
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
    auto doors = ServerDoors::take(flags_, keys_ != nullptr);
    if (!doors) return doors.error();
    doors_ = std::move(*doors);
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
      if (flags_.no_stats_line || Clock::now() < next_line) continue;
      next_line += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(flags_.stats_interval));
      if (!gateway_->state().idle()) log_.write(observability::LogLevel::kInfo, gateway_->state().stats_line());
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
    options->gateway_has_own_thread = true;
    scheduler_ = options->scheduler;
    replicas_ = static_cast<std::uint32_t>(options->data_parallel);
    // A few more than run at one time, so that a step never waits for the gateway to hand over the next.
    const std::size_t together = std::size_t{scheduler_.max_num_seqs} * replicas_;
    options->gateway.admission = {.queue_requests_max = flags_.queued_requests_max,
                                  .queue_tokens_max = flags_.queued_tokens_max,
                                  .running_sequences_max = together + std::max<std::size_t>(1, together / 8),
                                  .priorities = flags_.policy == "priority"};
    options->gateway.open_sequences_max =
        std::max(options->gateway.open_sequences_max, options->gateway.admission.running_sequences_max);
    if (Status status = options->gateway.validate(); !status.ok()) return status;
    options->make_on_step = [this, read_bytes_per_s](const actors::EngineFacts& facts) -> actors::OnStep {
      make_metrics(facts, read_bytes_per_s);
      return [&metrics = *metrics_](ReplicaId replica, const step::StepStats& stats, double step_s) {
        metrics.on_step(replica.value, stats, step_s);
      };
    };
    names_ = served::served_names(flags_.served_names, options->model.path);
    auto model = start_model(std::move(*options), text_options(flags_.model));
    if (!model) return model.error();
    text_ = std::move(model->text);
    engine_ = std::move(model->engine);
    if (flags_.compute_nice > 0 && engine_->facts().gpus.empty())
      log_.write(observability::LogLevel::kInfo, "compute threads run at a lower priority than the server's",
                 {{"nice", std::int64_t{flags_.compute_nice}}});
    return {};
  }

  void make_metrics(const actors::EngineFacts& facts, double read_bytes_per_s) {
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
    for (const chat::RefusedRole& refused : text_.chat->refused_roles())
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
    config.intake = {.request_timeout_s = flags_.request_timeout,
                     .request_timeout_max_s = flags_.request_timeout_max,
                     .keep_alive_s = flags_.keep_alive,
                     .eos_ids = text_.eos_ids,
                     .log_requests = flags_.log_requests,
                     .unix_time = unix_time,
                     .random_bytes = random_bytes};
    config.stalled_s = flags_.stalled;
    config.allowed_origins = flags_.allowed_origins;
    config.text_threads = flags_.text_threads;
    config.version = version();
    gateway_ = std::make_unique<api::ApiGateway>(std::move(config), api::RequestReader(std::move(model), limits), *event_ids_,
                                                 numerics_, engine_->cluster().client(), *metrics_, log_,
                                                 &doors_->server());
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
    event_ids_ = std::make_unique<access::EventIdCodec>(key, names_.front());
    return {};
  }

  void open_doors() {
    metrics_handler_ = std::make_unique<api::MetricsHandler>(*gateway_);
    doors_->open(*gateway_, *metrics_handler_);
    notify_service_manager("READY=1");
    naming_ = std::jthread([this](const std::stop_token& stop) { name_numerics(stop); });
  }

  // Beside serving: every weight is read once more, and only those who go on with a stream wait for it.
  void name_numerics(const std::stop_token& stop) {
    lower_thread_priority(19);
    Status failed;
    try {
      const auto id = engine_->numerics_id(stop);
      if (id) {
        numerics_.set(*id);
        return log_.write(observability::LogLevel::kInfo, "streams can be resumed from here on", {{"numerics", *id}});
      }
      failed = id.error();
    } catch (const std::bad_alloc&) {
      failed = no_memory();
    }
    if (stop.stop_requested()) return;
    numerics_.set_unknowable(failed.message());
    log_.write(observability::LogLevel::kWarning, "streams cannot be resumed: the weights could not be read again",
               {{"reason", failed.message()}});
  }

  // The first signal: what runs finishes. The second: it does not.
  void drain(const sigset_t& signals) {
    notify_service_manager("STOPPING=1");
    gateway_->state().drain();
    doors_->drain();
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
    doors_->close_gently();
    engine_->cluster().shutdown();
    log_.write(observability::LogLevel::kInfo, "stopped");
  }

  const ServeFlags& flags_;
  observability::EventLog log_;
  std::shared_ptr<const access::ApiKeys> keys_;
  scheduler::SchedulerConfig scheduler_;
  std::uint32_t replicas_ = 1;
  std::vector<std::string> names_;
  std::unique_ptr<observability::ServingMetrics> metrics_;  // steps are told to it
  served::ServedText text_;
  std::unique_ptr<actors::Engine> engine_;
  std::unique_ptr<access::EventIdCodec> event_ids_;
  access::ServedNumerics numerics_;
  std::unique_ptr<api::ApiGateway> gateway_;
  std::unique_ptr<api::MetricsHandler> metrics_handler_;
  std::unique_ptr<ServerDoors> doors_;  // its threads call the handlers
  std::jthread naming_;                 // last: it ends before what it reads
};

Status serve(const ServeFlags& flags) {
  if (Status status = check(flags); !status.ok()) return status;
  raise_file_limit();
  const sigset_t signals = own_signals();
  auto options = engine_options(flags.model);
  if (!options) return options.error();
  // Beside the model's: connections and text, the log, the numerics' reader, the start's own.
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
  add_serve_flags(*command, *flags);
  command->callback([flags, exit_code] { *exit_code = report(serve(*flags)); });
}

}  // namespace herd::commands
