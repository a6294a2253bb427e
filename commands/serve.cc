// herd serve: the OpenAI-compatible endpoint in one process: engine, gateway, HTTP server, metrics. Starts the parts in
// order, then waits for what its guard says: SIGTERM or SIGINT drains, a second one stops, SIGHUP reads the key file again; and
// when no replica can come back it ends, so that whoever started it may start it again.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <system_error>
#include <thread>

#include <CLI/CLI.hpp>

#include "commands/machine_bounds.h"
#include "commands/random_bytes.h"
#include "commands/serve.h"
#include "commands/serve_flags.h"
#include "commands/server_doors.h"
#include "commands/started_model.h"
#include "commands/stop_guard.h"
#include "commands/supervision.h"
#include "commands/systemd_service.h"
#include "commands/version.h"
#include "commands/wall_clock.h"
#include "endpoint/api/api_gateway.h"
#include "endpoint/api/metrics_handler.h"
#include "endpoint/served/served_model.h"
#include "kernels/process_limits.h"
#include "runtime/steady_clock.h"

namespace herd::commands {
namespace {

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
    const auto reads = measure_reads(pool, {.buffer_bytes = std::size_t{256} << 20, .repeats = 2});
    if (reads) gb_per_s = reads->best().gb_per_s;
  }
  return gb_per_s * 1e9;
}

Instant after(Instant now, double seconds) { return {now.ns + static_cast<std::int64_t>(std::min(seconds, 1e9) * 1e9)}; }

constexpr std::chrono::milliseconds kLogFlush{200};

class Server {
 public:
  // All outlive it.
  Server(const ServeFlags& flags, const EngineHooks& hooks, observability::EventLog& log, StopGuard& guard)
      : flags_(flags),
        hooks_(hooks),
        log_(log),
        guard_(guard),
        supervision_(log, static_cast<std::uint32_t>(flags.model.data_parallel), [&guard] { guard.wake(); }) {}

  Status start() {
    if (Status status = load_keys(); !status.ok()) return status;
    auto doors = ServerDoors::take(flags_, keys_ != nullptr);
    if (!doors) return doors.error();
    doors_ = std::move(*doors);
    // On a thread of its own: loading and measuring leave the kernels' float mode behind, which threads started later
    // would inherit. And whoever wants the process to stop does not wait until the model is loaded.
    Status started;
    std::atomic<bool> through = false;
    std::thread starter([&] {
      try {
        started = start_engine();
      } catch (const std::bad_alloc&) {
        started = no_memory();
      } catch (const std::system_error& error) {  // somebody else took the threads that were counted
        started = no_thread(error);
      }
      through = true;
      guard_.wake();
    });
    bool reload = false;
    while (!through) {  // a replica that is given up wakes the guard too
      const auto event = guard_.wait_until(after(steady_now(), 1e6));
      reload |= event == StopGuard::Event::kReload;
      end_if_told();
    }
    starter.join();
    if (!started.ok()) return started;
    if (Status status = make_gateway(); !status.ok()) return status;
    if (reload) reload_keys();
    open_doors();
    return {};
  }

  // Until it is told to stop, or no replica is left that could come back; the exit status.
  Status run() {
    const double interval_s = flags_.no_stats_line ? 1e9 : flags_.stats_interval;
    Instant next_line = after(steady_now(), interval_s);
    // What was given up while the doors opened woke the guard once, for the start.
    while (!supervision_.none_left()) {
      const StopGuard::Event event = guard_.wait_until(next_line);
      if (event == StopGuard::Event::kStop) return drain();
      if (event == StopGuard::Event::kReload) reload_keys();
      if (event != StopGuard::Event::kNothing) continue;
      next_line = after(next_line, interval_s);
      if (!gateway_->state().idle()) log_.write(observability::LogLevel::kInfo, gateway_->state().stats_line());
    }
    return give_up(*supervision_.none_left());
  }

 private:
  // While it starts nobody has been let in, so there is nothing to finish.
  void end_if_told() {
    if (!guard_.told()) return;
    log_.write(observability::LogLevel::kInfo, "stopped while the model was being loaded");
    log_.flush(kLogFlush);
    std::_Exit(0);
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
    hooks_.set(*options);
    options->gateway_has_own_thread = true;
    options->commit_memory = true;
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
    options->on_note = [this](ReplicaId replica, const membership::Note& note) {
      metrics_->on_note(replica.value, note);
      supervision_.on_note(replica, note);
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
        .ranks = static_cast<std::uint32_t>(flags_.model.tensor_parallel),
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
    Expected<std::string> id;
    try {
      id = engine_->numerics_id(stop);
    } catch (const std::bad_alloc&) {
      id = fail(no_memory());
    }
    if (stop.stop_requested()) return;
    if (id) {
      numerics_.set(*id);
      return log_.write(observability::LogLevel::kInfo, "streams can be resumed from here on", {{"numerics", *id}});
    }
    numerics_.set_unknowable(id.error().message());
    log_.write(observability::LogLevel::kWarning, "streams cannot be resumed: the weights could not be read again",
               {{"reason", id.error().message()}});
  }

  // The first signal: what runs finishes. The second: it does not.
  Status drain() {
    notify_service_manager("STOPPING=1");
    gateway_->state().drain();
    doors_->drain();
    log_.write(observability::LogLevel::kInfo, "draining; a second signal stops at once");
    while (!gateway_->await_drained(std::chrono::milliseconds(50))) {
      if (guard_.drains()) continue;
      log_.write(observability::LogLevel::kWarning, "the time to drain is over; open requests end with an error");
      break;
    }
    end(0);
    log_.write(observability::LogLevel::kInfo, "stopped");
    return {};
  }

  // Nothing can be served any more, and nothing here changes that: whoever watches this process starts it again.
  Status give_up(const std::string& why) {
    log_.write(observability::LogLevel::kError, "no replica is left and none can come back: the server ends",
               {{"reason", why}});
    guard_.on_fault();
    notify_service_manager("STOPPING=1");
    gateway_->state().drain();
    doors_->drain();
    end(1);
    return {StatusCode::kInternal, "no replica is left and none can come back: " + why};
  }

  // What is open ends with an error; what does not end is left to the guard. `exit_code`: the process's when all else ends.
  void end(int exit_code) {
    gateway_->stop();
    doors_->close_gently(after(guard_.last_resort(), -0.7 * StopPlan::kEnding_s));
    // Some of the time is left to say what does not end.
    const double patience_s = std::clamp(seconds_between(steady_now(), guard_.last_resort()) - 0.1, 0.1, 600.0);
    if (!engine_->cluster().shutdown(std::chrono::milliseconds(static_cast<std::int64_t>(patience_s * 1e3)))) {
      log_.write(observability::LogLevel::kError,
                 "a thread that computes does not come back and cannot be ended: the process ends over it");
      log_.flush(kLogFlush);
      std::_Exit(1);
    }
    guard_.ended(exit_code);
  }

  const ServeFlags& flags_;
  const EngineHooks& hooks_;
  observability::EventLog& log_;
  StopGuard& guard_;
  Supervision supervision_;
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

Status serve(const ServeFlags& flags, const EngineHooks& hooks) {
  if (Status status = check(flags); !status.ok()) return status;
  raise_file_limit();
  using observability::LogLevel;
  observability::EventLog log(
      flags.log_format == "json" ? observability::LogFormat::kJson : observability::LogFormat::kText,
      flags.model.quiet ? LogLevel::kWarning : LogLevel::kInfo);
  auto guard = StopGuard::start(flags.shutdown_timeout, [&log] {
    log.write(LogLevel::kError, "something hangs and the time to stop is over: the process ends over it");
    log.flush(kLogFlush);
  });
  if (!guard) return guard.error();
  auto options = engine_options(flags.model);
  if (!options) return options.error();
  // Beside the model's: connections and text, the numerics' reader, the start's own.
  const int own = flags.http.threads + flags.text_threads + (flags.metrics_port ? 1 : 0) + 3;
  if (Status status = probe_threads(actors::threads_needed(*options) + own); !status.ok()) return status;
  Server server(flags, hooks, log, **guard);
  if (Status status = server.start(); !status.ok()) return status;
  return server.run();
}

}  // namespace

void EngineHooks::set(actors::EngineOptions& options) const {
  if (wrap_rank) options.wrap_rank = wrap_rank;
  if (wrap_group) options.wrap_group = wrap_group;
  if (restart_budget) options.restart_budget = *restart_budget;
  if (watch) options.watch = *watch;
}

void add_serve(CLI::App& app, int* exit_code, const EngineHooks& hooks) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "The OpenAI-compatible endpoint");
  add_serve_flags(*command, *flags);
  command->callback([flags, hooks, exit_code] { *exit_code = report(serve(*flags, hooks)); });
}

}  // namespace herd::commands
