// What each event means in numbers. prometheus-cpp's metrics lock themselves; the rest here has its own locks.
#include "observability/serving_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "cluster/routing/replica_signals.h"
#include "observability/metric_families.h"

namespace herd::observability {
namespace {

// Each step counts for this much of the recent bandwidth: a mean over about 50 steps.
constexpr double kStepWeight = 0.02;

// A clock that went back, or a number that is none, counts as 0: it must not poison a sum for ever.
double sane(double value) { return value >= 0 && std::isfinite(value) ? value : 0; }

// A prometheus counter of a value that another part counts. A smaller value than before means that the part was
// started again: all of it is new.
class KeptCounter {
 public:
  explicit KeptCounter(prometheus::Counter* counter) : counter_(counter) {}
  void set(std::uint64_t value) {
    counter_->Increment(static_cast<double>(value >= last_ ? value - last_ : value));
    last_ = value;
  }

 private:
  prometheus::Counter* counter_;
  std::uint64_t last_ = 0;
};

// The same of seconds.
class KeptSeconds {
 public:
  explicit KeptSeconds(prometheus::Counter* counter) : counter_(counter) {}
  void set(double value) {
    value = sane(value);
    counter_->Increment(value >= last_ ? value - last_ : value);
    last_ = value;
  }

 private:
  prometheus::Counter* counter_;
  double last_ = 0;
};

struct KeptReplicaCounters {
  explicit KeptReplicaCounters(const ReplicaMetrics& m)
      : prompt_tokens(m.prompt_tokens),
        prompt_tokens_cached(m.prompt_tokens_cached),
        generation_tokens(m.generation_tokens),
        preemptions(m.preemptions),
        prefix_queries(m.prefix_queries),
        prefix_hits(m.prefix_hits),
        evicted_blocks(m.evicted_blocks),
        saved_seconds(m.saved_seconds),
        blocks_in(m.blocks_in),
        blocks_out(m.blocks_out),
        bytes_in(m.bytes_in),
        bytes_out(m.bytes_out),
        blocks_recomputed(m.blocks_recomputed),
        blocks_damaged(m.blocks_damaged),
        moves_whole(m.moves_whole),
        moves_cut_short(m.moves_cut_short),
        leases_expired(m.leases_expired),
        discarded_tokens(m.discarded_tokens) {}

  void set(const scheduler::SchedulerStats& stats) {
    prompt_tokens.set(stats.prefill_rows + stats.blocks.hit_tokens);
    prompt_tokens_cached.set(stats.blocks.hit_tokens);
    generation_tokens.set(stats.tokens_emitted);
    preemptions.set(stats.preemptions);
    prefix_queries.set(stats.blocks.query_tokens);
    prefix_hits.set(stats.blocks.hit_tokens);
    evicted_blocks.set(stats.blocks.evicted_blocks);
    discarded_tokens.set(stats.tokens_discarded);
  }

  // A move that is under way is neither whole nor cut short.
  void set(const replica::MoveStats& moves) {
    blocks_in.set(moves.blocks_in);
    blocks_out.set(moves.blocks_out);
    bytes_in.set(moves.bytes_in);
    bytes_out.set(moves.bytes_out);
    blocks_recomputed.set(moves.blocks_recomputed);
    blocks_damaged.set(moves.blocks_damaged);
    moves_whole.set(moves.fetches_whole);
    moves_cut_short.set(moves.fetches_failed);
    leases_expired.set(moves.leases_expired);
  }

  KeptCounter prompt_tokens;
  KeptCounter prompt_tokens_cached;
  KeptCounter generation_tokens;
  KeptCounter preemptions;
  KeptCounter prefix_queries;
  KeptCounter prefix_hits;
  KeptCounter evicted_blocks;
  KeptSeconds saved_seconds;
  KeptCounter blocks_in;
  KeptCounter blocks_out;
  KeptCounter bytes_in;
  KeptCounter bytes_out;
  KeptCounter blocks_recomputed;
  KeptCounter blocks_damaged;
  KeptCounter moves_whole;
  KeptCounter moves_cut_short;
  KeptCounter leases_expired;
  KeptCounter discarded_tokens;
};

// Recent bytes over recent seconds, so that long steps weigh more.
struct Bandwidth {
  std::mutex mutex;
  double bytes = 0;
  double seconds = 0;
};

std::string_view known_method(std::string_view method) {
  for (const std::string_view known : {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", ""}) {
    if (method == known) return known;
  }
  return "other";
}

std::string_view status_class(int status) {
  constexpr std::string_view kClasses[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
  return status >= 100 && status < 600 ? kClasses[status / 100 - 1] : "other";
}

}  // namespace

struct ServingMetrics::Impl {
  explicit Impl(const ServingMetricsConfig& c)
      : config(c),
        families(c),
        bandwidth(families.replicas.size()),
        ranks_lost(families.replicas.size()),
        streams_cut(families.endpoint.streams_cut),
        replayed(families.endpoint.replayed),
        stale_deltas(families.endpoint.stale_deltas),
        ejections(families.endpoint.ejections),
        tokens_delivered(families.endpoint.tokens_delivered),
        routed_tokens(families.endpoint.routed_tokens),
        routed_tokens_held(families.endpoint.routed_tokens_held),
        news_missed(families.endpoint.news_missed),
        log_lines_dropped(families.endpoint.log_lines_dropped),
        spans_exported(families.endpoint.spans_exported),
        spans_dropped(families.endpoint.spans_dropped),
        spans_failed(families.endpoint.spans_failed),
        restarts(families.replicas.size(), membership::RestartLog(c.restart_budget)),
        restart_budget(c.restart_budget) {
    for (const ReplicaMetrics& metrics : families.replicas) {
      kept.emplace_back(metrics);
      metrics.supervision.budget_left->Set(c.restart_budget.restarts);
    }
  }

  // An engine that does not exist counts as the last one: an event is not lost over its label.
  [[nodiscard]] const ReplicaMetrics& replica(std::uint32_t engine) const {
    return families.replicas[std::min<std::size_t>(engine, families.replicas.size() - 1)];
  }

  [[nodiscard]] std::string label(std::size_t engine) const { return std::to_string(config.first_engine + engine); }

  void set_replica(std::size_t index, const Snapshot::Replica& from, std::uint64_t waiting_at_gateway);
  void set_restarts(std::size_t index, const std::optional<membership::RestartLog>& log);  // nullopt: nothing is spent

  const ServingMetricsConfig config;
  MetricFamilies families;
  std::deque<Bandwidth> bandwidth;  // by replica
  std::vector<std::atomic<std::uint64_t>> ranks_lost;  // by replica: a bit for each rank lost since it served last

  std::mutex take_mutex;  // taken before kept_mutex
  std::mutex kept_mutex;
  std::vector<KeptReplicaCounters> kept;  // by replica
  KeptCounter streams_cut;
  KeptCounter replayed;
  KeptCounter stale_deltas;
  KeptCounter ejections;
  KeptCounter tokens_delivered;
  KeptCounter routed_tokens;
  KeptCounter routed_tokens_held;
  KeptCounter news_missed;
  KeptCounter log_lines_dropped;
  KeptCounter spans_exported;
  KeptCounter spans_dropped;
  KeptCounter spans_failed;

  std::mutex restarts_mutex;  // of the below
  std::vector<membership::RestartLog> restarts;  // by replica
  membership::RestartBudget restart_budget;
};

ServingMetrics::ServingMetrics(const ServingMetricsConfig& config) : impl_(std::make_unique<Impl>(config)) {}
ServingMetrics::~ServingMetrics() = default;

void ServingMetrics::on_first_token(double ttft_s, std::uint32_t engine) {
  impl_->replica(engine).first_token->Observe(sane(ttft_s));
}

void ServingMetrics::on_token_gap(double itl_s, std::uint32_t engine) {
  impl_->replica(engine).token_gap->Observe(sane(itl_s));
}

void ServingMetrics::on_request_end(const RequestRecord& record) {
  const std::size_t engine = std::min<std::size_t>(record.engine, impl_->families.replicas.size() - 1);
  const ReplicaMetrics& m = impl_->families.replicas[engine];
  impl_->families.request_success->at({impl_->label(engine), record.finished_reason}).Increment();
  if (record.resumed) impl_->families.endpoint.streams_resumed->Increment();
  m.e2e->Observe(sane(record.e2e_s));
  if (record.queue_s >= 0) m.queue_time->Observe(sane(record.queue_s));
  if (record.prefill_s >= 0) m.prefill_time->Observe(sane(record.prefill_s));
  if (record.decode_s >= 0) {
    m.decode_time->Observe(sane(record.decode_s));
    m.inference_time->Observe(sane(record.decode_s + std::max(record.prefill_s, 0.0)));
    if (record.longest_choice_tokens > 1) {
      m.time_per_output_token->Observe(sane(record.decode_s / (record.longest_choice_tokens - 1)));
    }
  }
  m.request_prompt_tokens->Observe(record.prompt_tokens);
  m.request_computed_tokens->Observe(record.prompt_tokens - std::min(record.cached_tokens, record.prompt_tokens));
  m.request_generation_tokens->Observe(record.generation_tokens);
  m.request_longest_choice->Observe(record.longest_choice_tokens);
  m.request_n->Observe(record.n);
  if (record.max_tokens > 0) m.request_max_tokens->Observe(record.max_tokens);
}

void ServingMetrics::on_refused(const char* reason) { impl_->families.rejections->at({reason}).Increment(); }

std::vector<std::pair<std::string, std::uint64_t>> ServingMetrics::refused() const {
  std::vector<std::pair<std::string, std::uint64_t>> refused;
  impl_->families.rejections->visit([&refused](const std::vector<std::string>& values, const prometheus::Counter& counter) {
    refused.emplace_back(values.front(), static_cast<std::uint64_t>(counter.Value()));
  });
  return refused;
}

void ServingMetrics::on_step(std::uint32_t replica, const step::StepStats& stats, double step_s) {
  const ReplicaMetrics& m = impl_->replica(replica);
  if (stats.rows == 0) return;  // released sequences, computed nothing
  m.iteration_tokens->Observe(stats.rows);
  m.step_time->Observe(sane(step_s));
  const double bytes =
      static_cast<double>(impl_->config.weight_bytes_per_step) +
      static_cast<double>(impl_->config.kv_bytes_per_token) * static_cast<double>(stats.context_tokens);
  m.step_bytes->Observe(bytes);
  const double seconds = sane(step_s);
  if (m.bandwidth_ratio == nullptr || seconds <= 0) return;
  m.bandwidth_ratio_histogram->Observe(bytes / seconds / impl_->config.read_bytes_per_s);
  Bandwidth& recent = impl_->bandwidth[std::min<std::size_t>(replica, impl_->bandwidth.size() - 1)];
  const std::lock_guard lock(recent.mutex);
  recent.bytes += kStepWeight * (bytes - recent.bytes);
  recent.seconds += kStepWeight * (seconds - recent.seconds);
  m.bandwidth_ratio->Set(recent.bytes / recent.seconds / impl_->config.read_bytes_per_s);
}

void ServingMetrics::on_note(std::uint32_t replica, const membership::Note& note) {
  using membership::NoteKind;
  const std::size_t engine = std::min<std::size_t>(replica, impl_->families.replicas.size() - 1);
  const SupervisionMetrics& m = impl_->families.replicas[engine].supervision;
  std::atomic<std::uint64_t>& lost = impl_->ranks_lost[engine];
  switch (note.kind) {
    case NoteKind::kRankLost:
      lost |= std::uint64_t{1} << (note.rank.value_or(0) % 64);
      return;
    case NoteKind::kServing:
      m.restarts->Increment(std::popcount(lost.exchange(0)));
      m.generations->Increment();
      return m.pause->Observe(sane(note.pause_s));
    case NoteKind::kRankSuspected: return m.suspicions->Increment();
    case NoteKind::kTokensDiffer:
      return impl_->families.token_mismatches->at({impl_->label(engine), note.rank ? std::to_string(*note.rank) : "unknown"})
          .Increment();
    case NoteKind::kGivenUp: return m.given_up->Set(1);
    case NoteKind::kTaken:
      m.given_up->Set(0);
      return impl_->set_restarts(engine, std::nullopt);
    case NoteKind::kRestartSpent: return impl_->set_restarts(engine, note.restarts);
    case NoteKind::kGenerationLost: return m.deadline_misses->Increment(note.overdue ? 1 : 0);
    case NoteKind::kRankLeaves:
    case NoteKind::kRankHangs:  // it was suspected before
    case NoteKind::kForming: return;  // one of the above follows
  }
}

void ServingMetrics::Impl::set_restarts(std::size_t index, const std::optional<membership::RestartLog>& log) {
  const std::lock_guard lock(restarts_mutex);
  restarts[index] = log.value_or(membership::RestartLog(restart_budget));
}

void ServingMetrics::set_restart_budget(const membership::RestartBudget& budget) {
  const std::lock_guard lock(impl_->restarts_mutex);
  impl_->restart_budget = budget;
  for (membership::RestartLog& log : impl_->restarts) log.set_budget(budget);
}

void ServingMetrics::on_time(Instant now) {
  const std::lock_guard lock(impl_->restarts_mutex);
  for (std::size_t i = 0; i < impl_->restarts.size(); ++i)
    impl_->families.replicas[i].supervision.budget_left->Set(impl_->restarts[i].left(now));
}

void ServingMetrics::on_http_response(const char* route, int status, double seconds, std::string_view method) {
  method = known_method(method);
  impl_->families.http_requests->at({route, method, status_class(status)}).Increment();
  impl_->families.http_request_time->at({route, method}).Observe(sane(seconds));
}

void ServingMetrics::Impl::set_replica(std::size_t index, const Snapshot::Replica& from,
                                       std::uint64_t waiting_at_gateway) {
  const ReplicaMetrics& m = families.replicas[index];
  const scheduler::SchedulerStats& stats = from.scheduler;
  // Those at a replica are its leader's to say.
  const auto waiting = static_cast<double>((config.part == MetricPart::kGateway ? 0 : stats.num_waiting) + waiting_at_gateway);
  m.running->Set(stats.num_running);
  m.waiting->Set(waiting);
  m.waiting_capacity->Set(waiting);
  m.waiting_deferred->Set(0);
  const kv::BlockStats& blocks = stats.blocks;
  const double held = blocks.num_blocks > 0 ? static_cast<double>(blocks.num_held) / blocks.num_blocks : 0;
  m.kv_usage->Set(held);
  m.kv_free->Set(blocks.num_free);
  m.kv_idle->Set(blocks.num_idle);
  m.kv_held->Set(blocks.num_held);
  m.waiting_tokens->Set(static_cast<double>(stats.queue_tokens));
  const routing::ReplicaLoad load{.running = stats.num_running,
                                  .waiting = stats.num_waiting,
                                  .waiting_tokens = stats.queue_tokens,
                                  .decode_step_s = sane(from.decode_step_s),
                                  .prompt_token_s = sane(from.prompt_token_s)};
  const routing::ReplicaSignals signals = routing::signals_of(load, config.places, held);
  m.capacity->Set(from.serving ? signals.capacity_tokens_per_s : 0);
  m.saturation->Set(from.serving ? signals.saturation : 1);
  // A replica that could not be asked hands in nothing at all: not the same as one that was started again.
  if (!from.serving && stats == scheduler::SchedulerStats{}) return;
  kept[index].set(stats);
  kept[index].saved_seconds.set(from.saved_s);
  kept[index].set(from.moves);
  m.moves_open->Set(from.moves.open);
}

void ServingMetrics::set(const Snapshot& snapshot) {
  const std::lock_guard lock(impl_->kept_mutex);
  const std::size_t count = impl_->families.replicas.size();
  const Snapshot::Replica absent;
  for (std::size_t i = 0; i < count; ++i) {
    // Those at the gateway are nobody's yet; an even share keeps the sum over engines true.
    const std::uint64_t share = snapshot.gateway_waiting / count + (i < snapshot.gateway_waiting % count ? 1 : 0);
    impl_->set_replica(i, i < snapshot.replicas.size() ? snapshot.replicas[i] : absent, share);
  }
  const auto serving = std::count_if(snapshot.replicas.begin(), snapshot.replicas.end(),
                                     [](const Snapshot::Replica& replica) { return replica.serving; });
  const EndpointMetrics& endpoint = impl_->families.endpoint;
  endpoint.replicas_serving->Set(static_cast<double>(serving));
  endpoint.connections_open->Set(static_cast<double>(snapshot.connections_open));
  endpoint.admission_rate->Set(sane(snapshot.capacity_tokens_per_s));
  endpoint.gateway_waiting->Set(static_cast<double>(snapshot.gateway_waiting));
  endpoint.gateway_waiting_tokens->Set(static_cast<double>(snapshot.gateway_waiting_tokens));
  endpoint.first_token_predicted->Set(snapshot.first_token_s.value_or(std::numeric_limits<double>::quiet_NaN()));
  impl_->streams_cut.set(snapshot.streams_cut);
  impl_->replayed.set(snapshot.replayed);
  impl_->stale_deltas.set(snapshot.stale_deltas);
  impl_->ejections.set(snapshot.ejections);
  impl_->tokens_delivered.set(snapshot.tokens_delivered);
  impl_->routed_tokens.set(snapshot.routing.prompt_tokens);
  impl_->routed_tokens_held.set(snapshot.routing.held_tokens);
  impl_->news_missed.set(snapshot.routing.news_missed);
  impl_->log_lines_dropped.set(snapshot.log_lines_dropped);
  impl_->spans_exported.set(snapshot.spans.exported);
  impl_->spans_dropped.set(snapshot.spans.dropped);
  impl_->spans_failed.set(snapshot.spans.failed);
  endpoint.directory_blocks->Set(static_cast<double>(snapshot.directory_blocks));
  endpoint.directory_bytes->Set(static_cast<double>(snapshot.directory_bytes));
}

void ServingMetrics::set_from(const std::function<Snapshot()>& take) {
  const std::lock_guard lock(impl_->take_mutex);
  set(take());
}

std::string ServingMetrics::render() const { return prometheus::TextSerializer().Serialize(impl_->families.collect()); }

}  // namespace herd::observability
