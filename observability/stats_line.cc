// One decimal, always a point: independent of the locale.
#include "observability/stats_line.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace herd::observability {
namespace {

std::string one_decimal(double value) {
  if (!std::isfinite(value)) value = 0;
  char text[64];
  const double bounded = std::clamp(value, 0.0, 1e15);
  const auto end = std::to_chars(text, text + sizeof text, bounded, std::chars_format::fixed, 1).ptr;
  return {text, end};
}

// A counter that fell was started again: what it shows now is what was added.
double rise(std::uint64_t before, std::uint64_t now) { return static_cast<double>(now >= before ? now - before : now); }

}  // namespace

std::string stats_line(const StatsSample& before, const StatsSample& now) {
  const double seconds = now.at_s - before.at_s;
  const auto rate = [&](std::uint64_t from, std::uint64_t to) { return seconds > 0 ? rise(from, to) / seconds : 0.0; };
  const double queries = rise(before.prefix_queries, now.prefix_queries);
  const double hits = rise(before.prefix_hits, now.prefix_hits);
  return "Avg prompt throughput: " + one_decimal(rate(before.prompt_tokens, now.prompt_tokens)) +
         " tokens/s, Avg generation throughput: " + one_decimal(rate(before.generation_tokens, now.generation_tokens)) +
         " tokens/s, Running: " + std::to_string(now.running) + " reqs, Waiting: " + std::to_string(now.waiting) +
         " reqs, KV cache usage: " + one_decimal(100 * now.kv_usage) +
         "%, Prefix cache hit rate: " + one_decimal(queries > 0 ? 100 * hits / queries : 0) + "%";
}

}  // namespace herd::observability
