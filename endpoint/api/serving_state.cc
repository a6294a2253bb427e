#include "endpoint/api/serving_state.h"

#include "endpoint/openai/openai_response.h"
#include "runtime/steady_clock.h"

namespace herd::api {
namespace {

constexpr const char* kNoneLeft = "no replica is left and none will come back";

std::string none_serves(const actors::ClusterStatus& status) {
  return "no replica serves at this moment; " + std::to_string(status.returning_replicas()) + " will again";
}

observability::StatsSample sample_of(const actors::ClusterStatus& status) {
  observability::StatsSample sample;
  sample.at_s = static_cast<double>(steady_now().ns) * 1e-9;
  std::uint64_t held = 0;
  std::uint64_t blocks = 0;
  for (const actors::ReplicaStatus& replica : status.replicas) {
    const scheduler::SchedulerStats& stats = replica.scheduler;
    sample.prompt_tokens += stats.prefill_rows;
    sample.generation_tokens += stats.tokens_emitted;
    sample.running += stats.num_running;
    sample.waiting += stats.num_waiting;
    sample.prefix_queries += stats.blocks.query_tokens;
    sample.prefix_hits += stats.blocks.hit_tokens;
    held += stats.blocks.num_held;
    blocks += stats.blocks.num_blocks;
  }
  sample.kv_usage = blocks > 0 ? static_cast<double>(held) / static_cast<double>(blocks) : 0.0;
  sample.waiting += status.admission.waiting;
  return sample;
}

}  // namespace

ServingState::ServingState(const actors::ClusterClient& client, const http::HttpServer* server,
                           observability::ServingMetrics& metrics, double stalled_s, const observability::EventLog* log,
                           const trace::SpanSink* spans)
    : client_(client), server_(server), metrics_(metrics), log_(log), spans_(spans), stalled_s_(stalled_s),
      last_line_(sample_of(*client.status())) {}

Health ServingState::health() const {
  if (draining_) return {503, "draining", "the server is shutting down"};
  const auto status = client_.status();
  if (status->serving_replicas() > 0) return {};
  if (status->returning_replicas() == 0) return {503, "unavailable", kNoneLeft};
  return {200, "recovering", none_serves(*status)};
}

std::optional<std::string> ServingState::not_ready(Instant now) const {
  if (draining_) return "the server is shutting down";
  const auto status = client_.status();
  if (status->serving_replicas() == 0) return status->returning_replicas() == 0 ? kNoneLeft : none_serves(*status);
  if (!status->silent_since) return std::nullopt;
  const double silent_s = seconds_between(*status->silent_since, now);
  if (silent_s < stalled_s_) return std::nullopt;
  return "there is work, but no step of it was finished for " + std::to_string(static_cast<std::int64_t>(silent_s)) +
         " s (--ready-stall)";
}

observability::StatsSample ServingState::sample() const { return sample_of(*client_.status()); }

std::string ServingState::load_body() const {
  const observability::StatsSample now = sample();
  return openai::load_body(now.running, now.waiting, now.kv_usage);
}

observability::ServingMetrics::Snapshot ServingState::snapshot() const {
  const auto status = client_.status();
  observability::ServingMetrics::Snapshot snapshot;
  for (const actors::ReplicaStatus& replica : status->replicas)
    snapshot.replicas.push_back({replica.serving, replica.scheduler, replica.saved_s, replica.moves, replica.decode_step_s,
                                 replica.prompt_token_s});
  snapshot.gateway_waiting = status->admission.waiting;
  snapshot.gateway_waiting_tokens = status->admission.waiting_tokens;
  snapshot.replayed = status->ledger.replayed;
  snapshot.stale_deltas = status->ledger.stale_deltas;
  snapshot.ejections = status->replica_ejections;
  snapshot.routing = status->routing;
  snapshot.directory_blocks = status->directory_blocks;
  snapshot.directory_bytes = status->directory_bytes;
  snapshot.tokens_delivered = status->ledger.tokens_delivered;
  snapshot.capacity_tokens_per_s = status->admission.tokens_per_s;
  snapshot.first_token_s = status->first_token_s;
  if (log_ != nullptr) snapshot.log_lines_dropped = log_->dropped();
  if (spans_ != nullptr) snapshot.spans = spans_->counts();
  if (server_ != nullptr) {
    const http::HttpServerStats http = server_->stats();
    snapshot.connections_open = http.connections_open;
    snapshot.streams_cut = http.streams_cut;
  }
  return snapshot;
}

std::string ServingState::render_metrics() {
  metrics_.on_time(steady_now());
  metrics_.set_from([this] { return snapshot(); });
  return metrics_.render();
}

std::string ServingState::stats_line() {
  const observability::StatsSample now = sample_of(*client_.status());
  const std::scoped_lock lock(mutex_);
  std::string line = observability::stats_line(last_line_, now);
  last_line_ = now;
  return line;
}

bool ServingState::idle() const {
  const observability::StatsSample now = sample_of(*client_.status());
  const std::scoped_lock lock(mutex_);
  return now.generation_tokens == last_line_.generation_tokens && now.prompt_tokens == last_line_.prompt_tokens &&
         now.running == 0 && now.waiting == 0;
}

}  // namespace herd::api
