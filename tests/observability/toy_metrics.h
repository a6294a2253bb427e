#pragma once
// A toy endpoint's metrics, and what a scraper reads of them.

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "observability/serving_metrics.h"
#include "tests/observability/exposition_parser.h"

namespace herd::observability {

inline ServingMetricsConfig toy(std::uint32_t replicas = 1) {
  ServingMetricsConfig config;
  config.model_name = "toy";
  config.replicas = replicas;
  config.max_model_len = 256;
  config.block_size = 16;
  config.num_blocks = 100;
  config.weight_bytes_per_step = 1'000'000;
  config.kv_bytes_per_token = 1000;
  config.read_bytes_per_s = 1e9;
  return config;
}

inline SampleLabels engine(int index, SampleLabels more = {}) {
  more.insert({{"model_name", "toy"}, {"engine", std::to_string(index)}});
  return more;
}

// What a scraper reads; fails the test when it could not.
inline Exposition scraped(const ServingMetrics& metrics) {
  Exposition exposition = parse_exposition(metrics.render());
  EXPECT_EQ(exposition.error, "");
  return exposition;
}

inline ServingMetrics::Snapshot one_replica(std::uint64_t emitted) {
  ServingMetrics::Snapshot snapshot;
  snapshot.replicas.resize(1);
  snapshot.replicas[0].serving = true;
  snapshot.replicas[0].scheduler.tokens_emitted = emitted;
  return snapshot;
}

}  // namespace herd::observability
