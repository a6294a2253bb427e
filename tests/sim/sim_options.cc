#include "tests/sim/sim_options.h"

#include <algorithm>
#include <random>
#include <string>

namespace herd::sim {
namespace {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}
  std::uint32_t between(std::uint64_t low, std::uint64_t high) {
    return static_cast<std::uint32_t>(low + random_() % (high - low + 1));
  }
  bool one_in(std::uint64_t n) { return random_() % n == 0; }
  // 1 to high in one of n seeds, else 0.
  std::uint32_t some(std::uint64_t n, std::uint64_t high) { return one_in(n) ? between(1, high) : 0; }

 private:
  std::mt19937_64 random_;
};

void draw_load(SimOptions& options, Dice& dice) {
  options.prompt_tokens_max = dice.between(1, 150);
  options.emitted_tokens_max = dice.between(1, 80);
  const bool large = dice.one_in(2);
  options.requests = dice.between(1, large ? 150 : 30);
  options.choices_max = dice.one_in(3) ? dice.between(2, 4) : 1;
  options.arrivals_us = dice.between(1, large ? 600'000 : 60'000);
  options.tenants = dice.between(1, 4);
  options.quotas = dice.one_in(5);
  options.flood = dice.one_in(6);
  if (options.flood) {
    options.prompt_tokens_max = dice.between(1, 3);
    options.emitted_tokens_max = dice.between(1, 3);
    options.requests = dice.between(60, 120);
    options.choices_max = 1;
    options.tenants = dice.between(2, 3);
  }
  if (dice.one_in(2)) options.short_deadline_percent = dice.between(5, 60);
  options.short_deadline_us_max = dice.between(500, 100'000);

  admission::AdmissionConfig& admission = options.admission;
  admission.running_sequences_max = dice.one_in(2) ? 72 : dice.between(1, 8);
  if (dice.one_in(3) && !options.flood) {
    admission.queue_requests_max = dice.between(1, 8);
    admission.queue_tokens_max = dice.between(1, 600);
  }
  admission.priorities = dice.one_in(5);
  options.retry_min_s = dice.between(1, 20) * 1e-3;
  options.retry_max_s = options.retry_min_s + dice.between(0, 200) * 1e-3;
}

void draw_replica(SimOptions& options, Dice& dice) {
  options.ranks = dice.between(1, 3);
  scheduler::SchedulerConfig& scheduler = options.scheduler;
  scheduler.max_num_seqs = dice.between(1, 16);
  scheduler.max_num_batched_tokens = scheduler.max_num_seqs + dice.between(0, 100);
  scheduler.max_prefill_seqs = dice.between(1, 8);
  scheduler.prefill_chunk_max = dice.one_in(2) ? 0 : dice.between(1, 40);
  scheduler.max_model_len = options.prompt_tokens_max + options.emitted_tokens_max;
  scheduler.num_blocks = scheduler.max_model_len / 16 + 2 + dice.between(0, 30);  // biased to too few
  scheduler.prefix_caching = !dice.one_in(4);
  scheduler.shared_prefix_min = 16;  // prompts are short here
  scheduler.steps_ahead = dice.between(1, 2);
  options.preempt_every_steps = dice.one_in(4) ? dice.between(2, 9) : 0;
  scheduler.queue_requests_max = dice.one_in(3) ? dice.between(1, 6) : 1024;
  scheduler.queue_tokens_max = std::max<std::uint64_t>(
      dice.one_in(6) ? dice.between(1, 400) : scheduler.queue_tokens_max, scheduler.max_model_len);
}

void draw_faults(SimOptions& options, Dice& dice) {
  options.node_kills = dice.some(3, 4);
  options.machine_losses = dice.some(4, 3);
  options.long_absences = dice.one_in(2);
  options.leader_kills = dice.some(3, 6);
  options.rank_kills = dice.some(3, 6);
  options.rank_deaths = dice.some(6, 4);
  options.leader_deaths = dice.some(6, 4);
  options.failed_steps = dice.some(6, 4);
  if (options.ranks > 1) options.wrong_hashes = dice.some(4, 4);
  if (options.ranks > 1) options.damaged_weights = dice.some(5, 3);
  options.hangs = dice.some(5, 4);
  options.late_steps = dice.some(5, 4);
  if (options.ranks > 1) options.deaths_in_collective = dice.some(4, 4);
  if (options.ranks > 1) options.skipped_collectives = dice.some(4, 4);
  options.pauses = dice.some(4, 6);
  options.node_sleeps = dice.some(4, 4);
  options.failed_starts = dice.some(6, 4);
  options.failed_joins = dice.some(6, 4);
  options.stale_results = dice.some(3, 40);
  options.poison_requests = dice.some(4, 4);
  if (dice.one_in(10)) options.not_finite_per_million = 2'000;
  options.cuts = dice.some(3, 12);
  options.resets = dice.some(4, 6);
  options.partitions = dice.some(5, 4);
  options.flaps = dice.some(6, 3);
  if (options.ranks_are_processes) options.leader_sleeps = dice.some(4, 4);
  options.gateway_sleeps = dice.some(5, 4);
  options.gateway_crashes = dice.some(4, 6);
  options.gateway_stops = dice.some(8, 4);
  options.coordinator_silences = dice.some(4, 4);
  options.coordinator_restarts = dice.some(5, 4);
  options.clock_jumps = dice.one_in(4);
  if (options.ranks_are_processes) options.drains = dice.some(3, 4);
  if (options.ranks_are_processes) options.node_stops = dice.some(4, 4);
  options.rank_stops = dice.some(4, 4);
  options.rolling_restarts = dice.some(3, 2);
  options.given_up = dice.one_in(16);
  options.leaves_percent = dice.some(3, 40);
  options.taken_up_percent = dice.one_in(4) ? 0 : 70;
  options.slow_percent = dice.some(5, 30);
  options.stops_percent = dice.some(3, 40);
  options.duplicates_percent = dice.some(4, 30);
  options.resumed_percent = dice.some(4, 30);
  options.bad_percent = dice.some(8, 20);
  options.repeats_percent = dice.some(4, 30);
}

// `off`: so many times faster than steps are.
scheduler::DeviceRates rates_of(const SimOptions& options, std::uint32_t off) {
  const double rows_per_s = 1e6 / static_cast<double>(options.step_us_max) * off;
  return {.flops_per_s = 3e5 * rows_per_s, .bytes_per_s = 1e12, .step_overhead_s = 1e-6};
}

// At first off by orders of magnitude, as rates are that were measured beside other work.
void draw_prediction(SimOptions& options, Dice& dice) {
  if (dice.one_in(4)) return;
  options.rates = rates_of(options, dice.between(1, 1000));
  if (!dice.one_in(3)) options.scheduler.max_step_ms = dice.between(0, 4);
}

// Nodes with room for all replicas, most of them with more.
void draw_nodes(SimOptions& options, Dice& dice) {
  options.ranks_are_processes = !dice.one_in(3);
  options.nodes = options.replicas;
  if (!options.ranks_are_processes) return;
  options.nodes = dice.between(1, 4);
  options.any_node = dice.one_in(6);
  options.replicas_per_node = (options.replicas + options.nodes - 1) / options.nodes + dice.between(0, 2);
}

// Prompts have to be long enough that somebody asks for their blocks. What replicas say of three ranks has no codec.
void draw_moves(SimOptions& options, Dice& dice) {
  options.moves = options.replicas > 1 && !dice.one_in(4) && !(options.wire && options.ranks == 3);
  if (!options.moves) return;
  if (dice.one_in(6)) options.other_layout = dice.between(0, options.replicas - 1);
  options.block_bytes = dice.between(64, 4000);
  options.block_us_max = dice.one_in(2) ? options.message_us_max : dice.between(500, 20'000);
  if (!dice.one_in(3)) options.spoiled_percent = dice.some(2, 6);
  options.broken_percent = dice.some(3, 4);
  options.muted_percent = dice.some(3, 80);
  if (options.flood || dice.one_in(4)) return;
  options.alike = true;
  // Where a word takes no time, computing is slower than copying for longer.
  if (dice.one_in(2)) options.message_us_max = options.block_us_max = std::min<std::int64_t>(options.message_us_max, dice.between(1, 40));
  if (!options.rates) options.rates = rates_of(options, 1);
  const std::uint32_t more = dice.between(80, 250);
  options.prompt_tokens_max += more;
  scheduler::SchedulerConfig& scheduler = options.scheduler;
  scheduler.prefix_caching = true;
  scheduler.max_model_len += more;
  scheduler.num_blocks += more / 16 * dice.between(1, 3);
  scheduler.queue_tokens_max = std::max<std::uint64_t>(scheduler.queue_tokens_max, scheduler.max_model_len);
}

// One scale for all that waits for a peer, from that of steps to that of the product.
void draw_patience(SimOptions& options, Dice& dice) {
  options.silence_us = dice.one_in(4) ? 2'000'000 : dice.between(2'000, 100'000);
  // Whoever is told of a closed connection is connected again before a coordinator has waited long enough.
  options.silence_us = std::max(options.silence_us, 8 * (options.detect_us_max + options.message_us_max));
  options.redial_us_max = 1 + options.silence_us / dice.between(4, 20);
  options.gather_us = options.silence_us * 3 / 2;
  options.away_us = options.silence_us * 5;
}

}  // namespace

replica::MoveConfig move_config(const SimOptions& options, ReplicaId replica) {
  const std::string layout = replica.value == options.other_layout ? "last slot first" : "first slot first";
  return {.enabled = options.moves, .kind = {numerics_of(options, replica), layout, options.ranks}, .block_bytes = options.block_bytes};
}

routing::NumericsId numerics_of(const SimOptions& options, ReplicaId replica) {
  return "toy-" + std::to_string(replica.value % options.numerics_ids);
}

SimOptions draw_options(std::uint64_t seed) {
  Dice dice(seed);
  SimOptions options;
  options.seed = seed;
  options.gateways = dice.one_in(3) ? 1 : dice.one_in(2) ? 2 : 3;
  options.replicas = dice.between(1, 4);
  draw_nodes(options, dice);
  options.numerics_ids = dice.one_in(4) ? 2 : 1;
  options.wire = dice.one_in(8);
  draw_load(options, dice);
  draw_replica(options, dice);

  options.message_us_max = dice.between(1, 500);
  options.delta_us_max = dice.one_in(2) ? options.message_us_max : dice.between(500, 20'000);
  options.step_us_max = dice.between(50, 2'000);
  options.detect_us_max = dice.between(1, 20'000);
  options.restart_us_max = dice.between(1, 30'000);
  options.faults_us = options.arrivals_us + dice.between(1, 200'000);
  draw_patience(options, dice);
  options.budget = {.restarts = dice.one_in(3) ? dice.between(1, 4) : 1000,
                    .window_s = dice.between(1, 200) * 1e-3,
                    .backoff_s = dice.between(0, 4) * 1e-3,
                    .backoff_max_s = 1e-2};
  if (dice.one_in(6)) {  // a slow model: rates and waits are of seconds
    options.step_us_max *= 100;
    options.arrivals_us *= 100;
    options.faults_us *= 100;
    options.short_deadline_us_max *= 50;
    options.retry_min_s *= 20;  // or a full replica is asked thousands of times
    options.retry_max_s *= 20;
    options.preempt_every_steps = 0;  // or little else is done
  }
  // Far above an honest step, so that only a rank that hangs is late.
  options.step_seconds_max = 8e-6 * static_cast<double>(options.step_us_max + 2 * options.message_us_max);

  if (!dice.one_in(12)) draw_faults(options, dice);
  draw_prediction(options, dice);
  draw_moves(options, dice);
  options.lost_news_percent = dice.some(5, 10);
  return options;
}

std::optional<scheduler::StepCost> step_cost(const SimOptions& options) {
  if (!options.rates) return std::nullopt;
  model::LlamaConfig config;
  config.hidden_size = 64;
  config.layers = 2;
  config.heads = 8;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.intermediate_size = 256;
  config.vocab_size = 160;
  return scheduler::StepCost(config, {}, 1, *options.rates);
}

}  // namespace herd::sim
