#include "tests/sim/sim_options.h"

#include <algorithm>
#include <random>

namespace herd::sim {

SimOptions draw_options(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto between = [&](std::uint64_t low, std::uint64_t high) {
    return static_cast<std::uint32_t>(low + random() % (high - low + 1));
  };
  const auto maybe = [&] { return random() % 2 == 0; };

  SimOptions options;
  options.seed = seed;
  options.replicas = between(1, 4);
  options.ranks = between(1, 3);
  options.wire = random() % 4 == 0;

  options.prompt_tokens_max = between(1, 150);
  options.emitted_tokens_max = between(1, 80);
  options.sequences = between(1, 40);
  options.arrivals_us = between(1, 60'000);
  options.open_sequences_max = maybe() ? 4096 : between(4, 20);

  scheduler::SchedulerConfig& scheduler = options.scheduler;
  scheduler.max_num_seqs = between(1, 16);
  scheduler.max_num_batched_tokens = scheduler.max_num_seqs + between(0, 100);
  scheduler.max_prefill_seqs = between(1, 8);
  scheduler.prefill_chunk_max = maybe() ? 0 : between(1, 40);
  scheduler.max_model_len = options.prompt_tokens_max + options.emitted_tokens_max;
  scheduler.num_blocks = scheduler.max_model_len / 16 + 2 + between(0, 30);  // biased to too few
  scheduler.prefix_caching = random() % 4 != 0;
  scheduler.shared_prefix_min = 16;  // prompts are short here
  scheduler.steps_ahead = between(1, 2);
  options.preempt_every_steps = random() % 4 == 0 ? between(2, 9) : 0;
  scheduler.queue_tokens_max = std::max<std::uint64_t>(scheduler.queue_tokens_max, scheduler.max_model_len);

  options.message_us_max = between(1, 500);
  options.delta_us_max = maybe() ? options.message_us_max : between(500, 20'000);
  options.step_us_max = between(50, 2'000);

  if (maybe()) options.kills = between(1, 4);
  if (maybe()) options.failed_steps = between(1, 3);
  if (options.ranks > 1 && random() % 4 == 0) options.wrong_hashes = between(1, 2);
  options.restart_us_max = between(1, 30'000);
  if (maybe()) options.aborts_percent = between(1, 40);
  if (random() % 4 == 0) options.slow_percent = between(1, 30);
  if (random() % 4 == 0) options.duplicates_percent = between(1, 30);
  if (random() % 8 == 0) options.poison_per_million = 2'000;
  return options;
}

}  // namespace herd::sim
