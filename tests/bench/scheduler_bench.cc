// scheduler_bench: what one scheduling step costs beside the step itself, and how fast blocks are handed out.
// Prints a table. Times are CPU time of the one thread, so that a busy machine does not count.

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "runtime/kv/block_manager.h"
#include "runtime/scheduler/scheduler.h"

namespace {

using namespace herd;

double thread_microseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}
double microseconds_since(double start) { return thread_microseconds() - start; }

double percentile(std::vector<double>& values, double share) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

// `running` decodes at all times: a finished sequence is replaced, so plans also admit, prefill, release and publish.
// `choices` submissions after each other have one prompt. `waiting` sequences more than can run.
void bench_steps(std::uint32_t running, std::uint32_t choices, std::uint32_t waiting) {
  scheduler::SchedulerConfig config;
  config.max_num_seqs = running;
  config.max_num_batched_tokens = running + 512;
  config.max_model_len = 4096;
  config.queue_requests_max = running + waiting;
  config.queue_tokens_max = 1ULL << 30;
  config.num_blocks = running * 48;
  scheduler::Scheduler scheduler(config, Epoch{1});
  std::uint64_t next_id = 1;
  const auto submit = [&] {
    step::Submission submission;
    submission.sequence = SequenceId{next_id};
    submission.prompt_tokens = 256;
    const std::uint64_t prompt = next_id / choices;
    for (std::uint32_t i = 0; i < 256; ++i) submission.tokens.push_back(static_cast<TokenId>(prompt * 7 + i));
    submission.max_tokens = 128 + static_cast<std::uint32_t>(next_id * 37 % 256);
    submission.eos_ids = {1, 2, 3};
    ++next_id;
    if (!scheduler.on_submit(submission, {}).ok()) std::abort();
  };
  for (std::uint32_t i = 0; i < running + waiting; ++i) submit();
  std::vector<double> plan_us, done_us, both_us;
  for (int step = 0; step < 12000; ++step) {
    double start = thread_microseconds();
    const auto plan = scheduler.plan_step({});
    const double planned = microseconds_since(start);
    step::StepResult result;
    result.epoch = plan->epoch;
    result.step = plan->step;
    for (const auto& slice : plan->slices) {
      if (slice.sample) result.sampled.push_back({slice.sequence, slice.output_index, 1000, 0, {}, 0, true});
    }
    start = thread_microseconds();
    const auto deltas = scheduler.on_step_done(result, {});
    const double done = microseconds_since(start);
    for (const auto& delta : deltas) {
      if (delta.finish != step::FinishReason::kNone) submit();
    }
    if (step < 2000) continue;
    plan_us.push_back(planned);
    done_us.push_back(done);
    both_us.push_back(planned + done);
  }
  std::printf("%-9u %7u %7u %8.1f %8.1f   %8.1f %8.1f   %8.1f %8.1f\n", running, choices, waiting,
              percentile(plan_us, 0.5), percentile(plan_us, 0.99), percentile(done_us, 0.5), percentile(done_us, 0.99),
              percentile(both_us, 0.5), percentile(both_us, 0.99));
}

void print_rate(const char* name, double operations, double microseconds) {
  std::printf("%-44s %10.1f M/s\n", name, operations / microseconds);
}

void bench_blocks() {
  constexpr std::uint32_t kBlocks = 1 << 16;
  constexpr int kRounds = 200;
  kv::BlockManager manager({16, kBlocks, true, 64});
  std::vector<kv::BlockTable> tables(256);
  double start = thread_microseconds();
  std::uint64_t blocks = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (kv::BlockTable& table : tables) {
      for (std::uint64_t tokens = 1; tokens <= 16 * 128; tokens += 16) {
        if (!manager.grow(table, tokens)) std::abort();
      }
    }
    for (kv::BlockTable& table : tables) {
      blocks += table.blocks.size();
      manager.free(table);
    }
  }
  print_rate("blocks taken and freed", 2.0 * static_cast<double>(blocks), microseconds_since(start));

  std::vector<TokenId> tokens(16 * 1024 + 1);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(i * 31 % 128000);
  kv::BlockTable first;
  if (!manager.admit(first, tokens, 0, true, 0)) std::abort();
  start = thread_microseconds();
  manager.on_computed(first, tokens, 0);
  print_rate("blocks hashed and published", 1024, microseconds_since(start));
  start = thread_microseconds();
  for (int round = 0; round < kRounds; ++round) {
    kv::BlockTable table;
    if (manager.admit(table, tokens, 0, true, 0)->cached_blocks != 1024) std::abort();
    manager.free(table);
  }
  print_rate("blocks hashed, found, verified, freed", 1024.0 * kRounds, microseconds_since(start));
  kv::BlockTable again;
  start = thread_microseconds();
  for (int round = 0; round < kRounds; ++round) {
    if (manager.admit(again, tokens, 0, true, 0)->cached_blocks != 1024) std::abort();
    manager.free(again);
  }
  print_rate("the same, hashes known (resumed sequence)", 1024.0 * kRounds, microseconds_since(start));
}

}  // namespace

int main() {
  std::printf("Scheduler step, microseconds, prompts of 256 tokens, 128 to 383 tokens emitted\n");
  std::printf("%-9s %7s %7s %8s %8s   %8s %8s   %8s %8s\n", "sequences", "choices", "waiting", "plan p50", "p99",
              "done p50", "p99", "both p50", "p99");
  for (const std::uint32_t running : {64U, 512U}) {
    bench_steps(running, 1, 0);
    bench_steps(running, 1, 512);
    bench_steps(running, 8, 512);
    bench_steps(running, 1024, 512);
  }
  std::printf("\nBlock manager\n");
  bench_blocks();
  return 0;
}
