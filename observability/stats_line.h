#pragma once
// The line every 10 s, in the words vLLM's users grep for. Pure.

#include <cstdint>
#include <string>

namespace herd::observability {

struct StatsSample {
  double at_s = 0;                  // monotonic
  std::uint64_t prompt_tokens = 0;  // computed so far, cached ones not counted
  std::uint64_t generation_tokens = 0;
  std::uint64_t running = 0;
  std::uint64_t waiting = 0;
  double kv_usage = 0;               // [0, 1]
  std::uint64_t prefix_queries = 0;  // tokens
  std::uint64_t prefix_hits = 0;
};

// "Avg prompt throughput: X tokens/s, Avg generation throughput: Y tokens/s, Running: R reqs, Waiting: W reqs, KV cache
// usage: U%, Prefix cache hit rate: H%": rates between the samples, the hit rate too (0 without queries).
[[nodiscard]] std::string stats_line(const StatsSample& before, const StatsSample& now);

}  // namespace herd::observability
