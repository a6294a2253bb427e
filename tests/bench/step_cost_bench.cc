// step_cost_bench MODEL [--layers N] [--threads N] [--long]: steps of many shapes, measured, beside what StepCost
// (runtime/scheduler/step_cost.h) predicts of them: from the rates that a rank measures at its start, and after it has followed
// steps of all these shapes. Weights are random: MODEL is a folder with a config.json, or a checkpoint whose shape is taken.
// --long: longer contexts too.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kernels/local_collective.h"
#include "runtime/checkpoint/open_model.h"
#include "runtime/kv/kv_storage.h"
#include "runtime/model/llama.h"
#include "runtime/scheduler/step_cost.h"
#include "runtime/shard/measure_rates.h"
#include "runtime/shard/step_batch.h"
#include "runtime/shard/step_runner.h"

namespace {

using namespace herd;
using std::chrono::steady_clock;

constexpr int kPositions = 8192;
constexpr std::int64_t kRowsMax = 544;
constexpr int kStepsMin = 2, kStepsMax = 9;
constexpr double kSecondsMax = 0.3;  // for one shape, from kStepsMin steps on
constexpr int kRoundsFollowed = 40;

template <class T>
T value_of(Expected<T> expected) {
  if (expected) return std::move(*expected);
  std::fprintf(stderr, "step_cost_bench: %s\n", expected.error().message().c_str());
  std::exit(1);
}

// So many sequences decode behind `context` tokens each, beside a chunk of `rows` rows behind `position` tokens.
struct Mix {
  std::uint32_t decodes = 0, context = 0, rows = 0, position = 0;
};

std::vector<Mix> mixes(bool with_long) {
  std::vector<Mix> all;
  for (const std::uint32_t decodes : {0U, 1U, 8U, 32U}) {
    for (const std::uint32_t context : {64U, 1024U}) {
      if (decodes == 0 && context > 64) continue;
      for (const std::uint32_t rows : {0U, 16U, 32U, 64U, 128U, 512U}) {
        for (const std::uint32_t position : {0U, 1500U, 6000U}) {
          const bool beyond = position == 6000 && (!with_long || rows > 64);
          if (rows == 512 && (decodes % 32 != 0 || context > 64)) continue;  // seconds each, and much the same
          if (beyond || rows + decodes == 0 || (rows == 0 && position > 0)) continue;
          all.push_back({decodes, context, rows, position});
        }
      }
    }
  }
  return all;
}

class PlanMaker {
 public:
  PlanMaker(const model::LlamaConfig& config, std::uint32_t block_size) : vocab_(config.vocab_size), block_size_(block_size) {}

  step::StepPlan plan_of(const Mix& mix) {
    step::StepPlan plan;
    plan.step = StepId{1};
    blocks_ = 0;
    for (std::uint32_t i = 0; i < mix.decodes; ++i) add(plan, mix.context, 1, true);
    if (mix.rows > 0) add(plan, mix.position, mix.rows, false);
    return plan;
  }
  [[nodiscard]] std::uint32_t blocks() const { return blocks_; }  // of the last plan

 private:
  void add(step::StepPlan& plan, std::uint32_t position, std::uint32_t rows, bool sample) {
    step::SequenceStart start;
    start.sequence = SequenceId{plan.slices.size() + 1};
    start.prompt_tokens = position + rows;
    for (std::uint32_t i = 0; i < start.prompt_tokens; ++i) {
      start.tokens.push_back(static_cast<TokenId>((i * 7919 + plan.slices.size()) % static_cast<std::uint32_t>(vocab_)));
      if (i % block_size_ == 0) start.prefix_blocks.push_back(BlockId{blocks_++});
    }
    plan.slices.push_back({start.sequence, position, rows, {}, sample, 0});
    plan.started.push_back(std::move(start));
  }

  std::int32_t vocab_;
  std::uint32_t block_size_, blocks_ = 0;
};

// One rank with the whole model.
class BenchRank {
 public:
  BenchRank(const model::ModelFiles& files, int threads, const std::vector<Mix>& mixes) {
    config.model = value_of(model::open_model(files)).config();
    config.plan = value_of(model::plan_shard(config.model, 1, 0));
    config.rows_max = kRowsMax;
    for (const Mix& mix : mixes) {
      PlanMaker maker = plans();
      (void)maker.plan_of(mix);
      config.blocks = std::max<std::int64_t>(config.blocks, maker.blocks());
    }
    device = value_of(make_cpu_device({CpuIsa::kAuto, threads}));
    model::LoadReport report;
    const auto source = model::random_source(config.model, 1);
    weights = value_of(model::load_weights(config.model, *source, {config.plan}, *device, {config.encoding, {}}, report)).front();
    rope = std::make_shared<model::RopeTable>(config.model.rope, config.model.head_dim, kPositions);
    const KvLayout layout{config.encoding.activations(), config.block_size, config.plan.kv_heads.size(), config.model.head_dim};
    kv = value_of(kv::KvStorage::make(*device, layout, config.model.layers, config.blocks));
    // Pages that nobody has written are all one page, which stays in a cache.
    for (int layer = 0; layer < config.model.layers; ++layer)
      std::memset(kv->layer(layer).data, 0x3c, static_cast<std::size_t>(layout.bytes_per_block() * config.blocks));
    const model::LlamaParts parts{config.model, config.plan, config.encoding, weights, rope, kRowsMax, config.logit_rows_max};
    llama = value_of(model::Llama::make(parts, *device, *group));
    runner = value_of(shard::make_step_runner({config, kPositions, *device, *group, *llama, *kv}));
  }

  [[nodiscard]] PlanMaker plans() const { return {config.model, static_cast<std::uint32_t>(config.block_size)}; }

  // The fastest of a few: what else the machine does only adds.
  double step_seconds(const step::StepPlan& plan) {
    shard::SequenceTable sequences({config.model.vocab_size, config.block_size, config.blocks, kRowsMax, kPositions});
    shard::StepBatch batch;
    if (const Status status = sequences.apply(plan, batch); !status.ok()) (void)value_of<int>(fail(status));
    double fastest = 0.0, sum = 0.0;
    for (int steps = 0; steps < kStepsMin || (steps < kStepsMax && sum < kSecondsMax); ++steps) {
      step::StepResult result;
      const auto begin = steady_clock::now();
      (void)value_of(runner->start(batch, result));
      const double seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
      fastest = steps == 0 ? seconds : std::min(fastest, seconds);
      sum += seconds;
    }
    return fastest;
  }

  shard::ShardConfig config;
  std::unique_ptr<Device> device;
  std::shared_ptr<Collective> group = std::move(make_local_group(1).front());
  std::shared_ptr<const model::LlamaWeights> weights;
  std::shared_ptr<const model::RopeTable> rope;
  std::unique_ptr<kv::KvStorage> kv;
  std::unique_ptr<model::Llama> llama;
  std::unique_ptr<shard::StepRunner> runner;
};

struct Measured {
  Mix mix;
  scheduler::StepShape shape;
  double seconds = 0.0, predicted_s = 0.0;
};

void print(const scheduler::DeviceRates& rates, const char* when) {
  std::printf("rates %s: %.0f GFLOP/s, %.1f GB/s, attention %.0f GFLOP/s, %.1f GB/s, overhead %.3f ms\n", when,
              rates.flops_per_s / 1e9, rates.bytes_per_s / 1e9, rates.attention_flops_per_s / 1e9,
              rates.attention_bytes_per_s / 1e9, rates.step_overhead_s * 1e3);
}

void run(const model::ModelFiles& files, int threads, bool with_long) {
  const std::vector<Mix> all = mixes(with_long);
  BenchRank rank(files, threads, all);
  const auto begin = steady_clock::now();
  const auto rates = value_of(shard::measure_rates(*rank.device, *rank.weights, rank.config));
  std::printf("%s; rates were measured in %.0f ms\n", rank.device->description().c_str(),
              std::chrono::duration<double>(steady_clock::now() - begin).count() * 1e3);
  print(rates, "measured at start");
  scheduler::StepCost cost(rank.config.model, rank.config.encoding, 1, rates);
  std::vector<Measured> steps;
  PlanMaker plans = rank.plans();
  for (const Mix& mix : all) {
    const step::StepPlan plan = plans.plan_of(mix);
    const scheduler::StepShape shape = scheduler::shape_of(plan);
    steps.push_back({mix, shape, rank.step_seconds(plan), cost.step_seconds(shape)});
  }
  for (int round = 0; round < kRoundsFollowed; ++round)
    for (const Measured& step : steps) cost.on_step(step.shape, step.seconds);
  print(cost.rates(), "after following");
  std::printf("%7s %7s %5s %8s %10s %18s %18s\n", "decodes", "context", "rows", "position", "step, ms", "predicted, share",
              "followed, share");
  for (const Measured& step : steps) {
    const double followed_s = cost.step_seconds(step.shape);
    std::printf("%7u %7u %5u %8u %10.2f %11.2f %6.2f %11.2f %6.2f\n", step.mix.decodes, step.mix.context, step.mix.rows,
                step.mix.position, step.seconds * 1e3, step.predicted_s * 1e3, step.predicted_s / step.seconds, followed_s * 1e3,
                followed_s / step.seconds);
  }
}

}  // namespace

int main(int argc, char** argv) {
  model::ModelFiles files;
  files.random_weights = true;
  int threads = 0;
  bool with_long = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--layers" && i + 1 < argc) {
      files.layers = std::atoi(argv[++i]);
    } else if (argument == "--threads" && i + 1 < argc) {
      threads = std::atoi(argv[++i]);
    } else if (argument == "--long") {
      with_long = true;
    } else {
      files.path = argument;
    }
  }
  if (files.path.empty()) {
    std::fprintf(stderr, "usage: step_cost_bench MODEL [--layers N] [--threads N] [--long]\n");
    return 2;
  }
  run(files, threads, with_long);
  return 0;
}
