// Bounds as vLLM has them: vllm/v1/metrics/loggers.py.
#include "observability/metric_buckets.h"

namespace herd::observability {

Buckets first_token_buckets() {
  return {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
          1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
}

// Below 0.01 ours: a small model makes a token in a millisecond.
Buckets token_gap_buckets() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
          0.4,   0.5,    0.75,  1,    2.5,   5,    7.5,   10,  20,   40,  80};
}

// Below 0.3 ours: waiting in an empty queue and prefilling a short prompt take less.
Buckets request_time_buckets() {
  return {0.005, 0.02, 0.1, 0.3, 0.5, 0.8, 1,   1.5, 2,   2.5, 5,    10,
          15,    20,   30,  40,  50,  60,  120, 240, 480, 960, 1920, 7680};
}

Buckets iteration_buckets() { return {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384}; }

Buckets choices_buckets() { return {1, 2, 5, 10, 20}; }

Buckets step_time_buckets() {
  return {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
}

// From a toy's weights to those of a large model read once: 1 MB to 1 TB.
Buckets step_bytes_buckets() {
  return {1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8, 2e8, 5e8, 1e9, 2e9, 5e9, 1e10, 2e10, 5e10, 1e11, 2e11, 5e11, 1e12};
}

// A group that forms again takes a tenth of a second, ranks that load a large model minutes.
Buckets pause_buckets() { return {0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300}; }

Buckets share_buckets() { return {0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25}; }

// Streams last as long as their answers.
Buckets http_time_buckets() {
  return {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
}

Buckets token_count_buckets(std::int64_t max) {
  Buckets buckets{1};
  for (std::int64_t decade = 1; decade <= 1'000'000'000'000; decade *= 10) {
    for (const std::int64_t mantissa : {1, 2, 5}) {
      const std::int64_t value = mantissa * decade;
      if (value > max) return buckets;
      if (value > 1) buckets.push_back(static_cast<double>(value));
    }
  }
  return buckets;
}

}  // namespace herd::observability
