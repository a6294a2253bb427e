#include "commands/endpoint_server.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "commands/random_bytes.h"
#include "commands/systemd_service.h"
#include "commands/version.h"
#include "commands/wall_clock.h"
#include "endpoint/access/access_digest.h"
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

constexpr double kLastTraces_s = 2;  // what a collector that is slow gets at the end

constexpr double kNever_s = 1e9;  // 31 years
Instant after(Instant now, double seconds) { return seconds_after(now, std::min(seconds, kNever_s)); }

}  // namespace

Status EndpointServer::start() {
  if (Status status = load_keys(); !status.ok()) return status;
  auto doors = ServerDoors::take(flags_, keys_ != nullptr);
  if (!doors) return doors.error();
  doors_ = std::move(*doors);
  turns_.say("loading");
  if (Status status = start_traces(); !status.ok()) return status;
  bool reload = false;
  if (Status status = start_cluster(reload); !status.ok()) return status;
  if (Status status = make_gateway(); !status.ok()) return status;
  if (source_.on_signal) apply();  // what was taken meanwhile
  if (reload) read_again();
  open_doors();
  return {};
}

// On a thread of its own: loading and measuring leave the kernels' float mode behind, which threads started later would inherit. And
// whoever wants the process to stop does not wait until the model is loaded.
Status EndpointServer::start_cluster(bool& reload) {
  Status started;
  std::atomic<bool> through = false;
  std::jthread starter([&] {
    try {
      started = cluster_.start(doors_->url());
    } catch (const std::bad_alloc&) {
      started = no_memory();
    } catch (const std::system_error& error) {  // somebody else took the threads that were counted
      started = no_thread(error);
    }
    through = true;
    guard_.wake();
  });
  while (!through) {  // a replica that is given up wakes the guard too
    const auto event = guard_.wait_until(turns_.due());
    turns_.turn();
    reload |= event == StopGuard::Event::kReload;
    if (event == StopGuard::Event::kWoken) on_event(event);
    end_if_told();
  }
  starter.join();
  return started;
}

Status EndpointServer::run() {
  const auto interval_s = [this] { return flags_.no_stats_line ? kNever_s : flags_.stats_interval; };
  double waits_s = interval_s();
  Instant next_line = after(steady_now(), waits_s);
  // What was given up while the doors opened woke the guard once, for the start.
  while (!cluster_.none_left()) {
    const StopGuard::Event event = guard_.wait_until(std::min(next_line, turns_.due()));
    if (event == StopGuard::Event::kStop) return drain();
    on_event(event);
    turns_.turn();
    if (std::exchange(waits_s, interval_s()) != interval_s()) next_line = after(steady_now(), waits_s);
    if (event != StopGuard::Event::kNothing || steady_now() < next_line) continue;
    next_line = after(next_line, waits_s);
    if (!gateway_->state().idle()) log_.write(observability::LogLevel::kInfo, gateway_->state().stats_line());
  }
  return give_up(*cluster_.none_left());
}

void EndpointServer::on_event(StopGuard::Event event) {
  if (event == StopGuard::Event::kReload) reload();
  if (event == StopGuard::Event::kWoken && source_.on_woken) source_.on_woken();
}

void EndpointServer::reload() {
  notify_reloading();
  read_again();
  notify_service_manager("READY=1");
}

void EndpointServer::read_again() {
  if (source_.on_signal) return source_.on_signal();
  reload_keys();
  reload_certificate();
}

void EndpointServer::take(const ServeFlags& flags, std::shared_ptr<const access::ApiKeys> keys) {
  take_live(flags, flags_);
  if (keys) keys_ = std::move(keys);
  log_.set_level(log_level(flags_));
  guard_.set_drain(flags_.shutdown_timeout);
  if (gateway_) apply();
  if (doors_) reload_certificate();
}

void EndpointServer::apply() {
  gateway_->set(intake_settings(), flags_.stalled);
  gateway_->set_keys(keys_);
  cluster_.on_access(resume_digest_, keys_.get());
  cluster_.client().set_queue_bounds(flags_.queued_requests_max, flags_.queued_tokens_max);
  if (Status status = doors_->set_limits(flags_.http.limits); !status.ok())
    log_.write(observability::LogLevel::kError, "limits of connections not taken", {{"reason", status.message()}});
}

// While it starts nobody has been let in, so there is nothing to finish.
void EndpointServer::end_if_told() {
  if (!guard_.told()) return;
  log_.write(observability::LogLevel::kInfo, "stopped while the model was being loaded");
  log_.flush(kLogFlush);
  std::_Exit(0);
}

// Before anything computes, whose float mode threads would inherit.
Status EndpointServer::start_traces() {
  const auto variable = [](const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  auto settings = otlp::otlp_settings(
      flags_.otlp_traces_endpoint,
      {{"service.name", "herd"}, {"service.version", version()}, {"service.instance.id", doors_->url()}}, variable);
  if (!settings) return settings.error();
  if (!*settings) return {};
  sampler_ = (*settings)->sampler;
  log_.write(observability::LogLevel::kInfo, "requests are traced", {{"endpoint", (*settings)->target.url()}});
  auto started = otlp::SpanExporter::start(std::move(**settings), {}, log_);
  if (!started) return started.error();
  spans_ = std::move(*started);
  return {};
}

// A second signal shortens the time that is left.
void EndpointServer::end_traces() {
  if (!spans_) return;
  const Instant most = after(steady_now(), kLastTraces_s);
  const auto until = [&] { return std::min(most, after(guard_.last_resort(), -0.6 * StopPlan::kEnding_s)); };
  while (steady_now() < until() && !spans_->await_sent(std::min(until(), after(steady_now(), 0.05)))) {
  }
  spans_->close();
}

Status EndpointServer::load_keys() {
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

void EndpointServer::reload_keys() {
  if (flags_.api_key_file.empty()) return;
  auto keys = access::ApiKeys::load(flags_.api_key_file);
  if (!keys) {
    log_.write(observability::LogLevel::kError, "key file not taken, the old keys stay",
               {{"reason", keys.error().message()}});
    return;
  }
  gateway_->set_keys(*keys);
  cluster_.on_access(resume_digest_, keys->get());
  cluster_.events().add(observability::LogLevel::kInfo, "the API keys were read again");
  log_.write(observability::LogLevel::kInfo, "key file read again",
             {{"keys", static_cast<std::int64_t>((*keys)->keys().size())}});
}

void EndpointServer::reload_certificate() {
  if (flags_.http.tls_certificate.empty()) return;
  if (Status status = doors_->reload_certificate(); !status.ok())
    return log_.write(observability::LogLevel::kError, "certificate of the endpoint not taken, the old one stays",
                      {{"reason", status.message()}});
  log_.write(observability::LogLevel::kInfo, "certificate of the endpoint read again");
}

// What clients will not get, and why.
void EndpointServer::log_refusals() {
  using observability::LogLevel;
  if (!cluster_.text().tokenizer)
    log_.write(LogLevel::kWarning, "no text: prompts as token ids only", {{"reason", cluster_.text().no_text.message()}});
  if (!cluster_.text().chat)
    log_.write(LogLevel::kWarning, "no chat: /v1/chat/completions will refuse",
               {{"reason", cluster_.text().chat.error().message()}});
}

served::ServedModel EndpointServer::served_model() {
  log_refusals();
  served::ServedModel model = served::served_model(cluster_.text(), cluster_.names());
  model.max_model_len = cluster_.max_model_len();
  return model;
}

api::IntakeSettings EndpointServer::intake_settings() const {
  return {.request_timeout_s = flags_.request_timeout,
          .request_timeout_max_s = flags_.request_timeout_max,
          .keep_alive_s = flags_.keep_alive,
          .log_requests = flags_.log_requests};
}

Status EndpointServer::make_gateway() {
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
  config.intake = {.settings = intake_settings(),
                   .eos_ids = cluster_.text().eos_ids,
                   .unix_time = unix_time,
                   .random_bytes = random_bytes,
                   .tracing = {.sink = spans_.get(), .sampler = sampler_, .unix_ns = unix_time_ns}};
  config.stalled_s = flags_.stalled;
  config.allowed_origins = flags_.allowed_origins;
  config.text_threads = flags_.text_threads;
  config.version = version();
  if (flags_.ui) {
    config.pages.emplace().events = &cluster_.events();
    cluster_.describe(*config.pages);
  }
  gateway_ = std::make_unique<api::ApiGateway>(std::move(config), api::RequestReader(std::move(model), limits), *event_ids_,
                                               cluster_.numerics(), cluster_.client(), cluster_.metrics(), log_,
                                               &doors_->server());
  gateway_->set_keys(keys_);
  return {};
}

Status EndpointServer::make_event_ids() {
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
  // Another tokenizer, chat template or chat date makes another prompt of the same body: no stream goes on with it.
  event_ids_ = std::make_unique<access::EventIdCodec>(key, cluster_.names().front() + '\n' + cluster_.text().text_digest);
  resume_digest_ = access::resume_digest(key);
  return {};
}

void EndpointServer::open_doors() {
  metrics_handler_ = std::make_unique<api::MetricsHandler>(*gateway_);
  cluster_.events().add(observability::LogLevel::kInfo, "this server takes requests");
  doors_->open(*gateway_, *metrics_handler_, flags_.ui);
  turns_.set_through([this](std::function<void()> done) { doors_->turn(std::move(done)); });
  turns_.set_state([this] {
    const auto why = gateway_->state().not_ready(steady_now());
    return why ? "not ready: " + *why : "serves on " + doors_->url();
  });
  notify_service_manager("READY=1");
  cluster_.on_access(resume_digest_, keys_.get());
  cluster_.on_open(*gateway_);
}

// The first signal: what runs finishes. The second: it does not.
Status EndpointServer::drain() {
  if (source_.on_end) source_.on_end();
  notify_service_manager("STOPPING=1");
  turns_.set_state({});
  turns_.say("draining");
  gateway_->state().drain();
  cluster_.on_drain();
  doors_->drain();
  cluster_.events().add(observability::LogLevel::kInfo, "this server drains: it takes nothing new");
  log_.write(observability::LogLevel::kInfo, "draining; a second signal stops at once");
  while (!gateway_->await_drained(std::chrono::milliseconds(50))) {
    turns_.turn();
    if (guard_.drains()) continue;
    log_.write(observability::LogLevel::kWarning, "the time to drain is over; open requests end with an error");
    break;
  }
  end(0);
  log_.write(observability::LogLevel::kInfo, "stopped");
  return {};
}

// Nothing can be served any more, and nothing here changes that: whoever watches this process starts it again.
Status EndpointServer::give_up(const std::string& why) {
  log_.write(observability::LogLevel::kError, "no replica is left and none can come back: the server ends",
             {{"reason", why}});
  if (source_.on_end) source_.on_end();
  guard_.on_fault();
  notify_service_manager("STOPPING=1");
  gateway_->state().drain();
  cluster_.on_drain();
  doors_->drain();
  end(1);
  return {StatusCode::kInternal, "no replica is left and none can come back: " + why};
}

// What is open ends with an error; what does not end is left to the guard. `exit_code`: the process's when all else ends.
void EndpointServer::end(int exit_code) {
  gateway_->stop();
  cluster_.on_close();
  if (spans_) spans_->hurry();
  doors_->close_gently(after(guard_.last_resort(), -0.7 * StopPlan::kEnding_s));
  end_traces();
  // Some of the time is left to say what does not end.
  const double patience_s = std::clamp(seconds_between(steady_now(), guard_.last_resort()) - 0.1, 0.1, 600.0);
  if (!cluster_.shutdown(std::chrono::milliseconds(static_cast<std::int64_t>(patience_s * 1e3)))) {
    log_.write(observability::LogLevel::kError,
               "a thread that computes does not come back and cannot be ended: the process ends over it");
    log_.flush(kLogFlush);
    std::_Exit(1);
  }
  guard_.ended(exit_code);
}

}  // namespace herd::commands
