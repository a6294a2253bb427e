// sampling_bench [--threads N]: what a token costs that is sampled from logits of 128,256 ids, by kind of draw, for 1 row and
// for 32 at once on one rank: medians of up to 30, at least 5.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "kernels/local_collective.h"
#include "runtime/model/shard_plan.h"
#include "runtime/sampling/sampler.h"

namespace herd {
namespace {

constexpr std::int32_t kVocabulary = 128256;
constexpr std::size_t kRepeatsMin = 5, kRepeatsMax = 30;
constexpr double kEnoughUs = 1e6;

struct Kind {
  const char* name;
  float temperature;
  float top_p;
};
constexpr Kind kKinds[] = {{"greedy", 0.0F, 1.0F}, {"plain draw", 0.9F, 1.0F}, {"top-p 0.95", 0.9F, 0.95F}};

// As flat as a small model's (spread 2), and flatter: the more ids take part, the more there is to do.
constexpr float kSpreads[] = {2.0F, 1.0F};

model::ShardPlan plan_of_one_rank() {
  model::LlamaConfig config;
  config.hidden_size = 64;
  config.layers = 1;
  config.heads = 8;
  config.kv_heads = 8;
  config.head_dim = 64;
  config.intermediate_size = 512;
  config.vocab_size = kVocabulary;
  return *model::plan_shard(config, 1, 0);
}

std::vector<float> random_logits(int rows, float spread) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> logits(static_cast<std::size_t>(rows) * kVocabulary);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

double median_us(sampling::Sampler& sampler, DeviceBuffer& memory, const std::vector<float>& logits,
                 const std::vector<sampling::SampleRow>& rows) {
  std::vector<double> times;
  double total = 0;
  while (times.size() < kRepeatsMin || (times.size() < kRepeatsMax && total < kEnoughUs)) {
    std::memcpy(memory.data(), logits.data(), logits.size() * sizeof(float));  // sampling changes them
    const auto begin = std::chrono::steady_clock::now();
    const auto tokens = sampler.sample(
        {memory.data(), DType::kF32, static_cast<std::int64_t>(rows.size()), kVocabulary, kVocabulary}, rows);
    times.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
    total += times.back();
    if (tokens.size() != rows.size()) std::exit(1);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

int run(int threads) {
  set_kernel_float_mode();
  auto device = make_cpu_device({.threads = threads});
  if (!device) {
    std::fprintf(stderr, "%s\n", device.error().message().c_str());
    return 2;
  }
  std::printf("%s, %d ids\n", (*device)->description().c_str(), kVocabulary);
  auto group = make_local_group(1);
  sampling::Sampler sampler(plan_of_one_rank(), kVocabulary, **device, *group.front(), false);
  for (const float spread : kSpreads) {
    for (const int count : {1, 32}) {
      const std::vector<float> logits = random_logits(count, spread);
      auto memory = (*device)->allocate(logits.size() * sizeof(float), "logits");
      if (!memory) return 4;
      for (const Kind& kind : kKinds) {
        step::SamplingParams params;
        params.temperature = kind.temperature;
        params.top_p = kind.top_p;
        std::vector<sampling::SampleRow> rows;
        for (int row = 0; row < count; row++)
          rows.push_back({SequenceId{static_cast<std::uint64_t>(row) + 1}, static_cast<std::uint32_t>(row), &params, nullptr, nullptr});
        std::printf("%s, %d row%s, spread %g: %.1f us\n", kind.name, count, count == 1 ? "" : "s", static_cast<double>(spread),
                    median_us(sampler, **memory, logits, rows));
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace herd

int main(int argc, char** argv) {
  int threads = 0;
  if (argc == 3 && std::strcmp(argv[1], "--threads") == 0) {
    threads = std::atoi(argv[2]);
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: sampling_bench [--threads N]\n");
    return 2;
  }
  return herd::run(threads);
}
