// Prints a page of metrics as an endpoint with one replica would after `ROUNDS` requests: metrics_dump MODEL ROUNDS, for
// tests/e2e/prometheus_test.py --page, which tries its Prometheus half without a server. metrics_dump --families: every family of every
// role, for tests/observability/alerts_test.py.
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "observability/role_metrics.h"
#include "observability/serving_metrics.h"

namespace herd::observability {
namespace {

void serve(ServingMetrics& metrics, int round) {
  metrics.on_first_token(0.02);
  for (int token = 0; token < 15; ++token) metrics.on_token_gap(0.002);
  for (int step = 0; step < 16; ++step) {
    metrics.on_step(
        0, {.rows = step == 0 ? 24U : 1U, .sequences = 1, .context_tokens = 24U + static_cast<unsigned>(step)}, 0.002);
  }
  metrics.on_http_response("/v1/completions", 200, 0.05, "POST");
  metrics.on_request_end({.finished_reason = round % 2 == 0 ? "stop" : "length",
                          .max_tokens = 16,
                          .prompt_tokens = 24,
                          .generation_tokens = 16,
                          .cached_tokens = 8,
                          .longest_choice_tokens = 16,
                          .queue_s = 0.001,
                          .prefill_s = 0.019,
                          .decode_s = 0.03,
                          .e2e_s = 0.05});
}

int dump(const char* model, int rounds) {
  ServingMetrics metrics({.model_name = model,
                          .max_model_len = 2048,
                          .block_size = 16,
                          .num_blocks = 1024,
                          .places = 8,
                          .weight_bytes_per_step = 10'000'000,
                          .kv_bytes_per_token = 4096,
                          .read_bytes_per_s = 2e10});
  for (int round = 0; round < rounds; ++round) serve(metrics, round);
  const auto served = static_cast<std::uint64_t>(rounds);
  ServingMetrics::Snapshot snapshot;
  snapshot.replicas.resize(1);
  snapshot.replicas[0].serving = true;
  scheduler::SchedulerStats& stats = snapshot.replicas[0].scheduler;
  stats.prefill_rows = 16 * served;
  stats.tokens_emitted = 16 * served;
  stats.blocks.num_blocks = 1024;
  stats.blocks.num_free = 1024;
  stats.blocks.query_tokens = 24 * served;
  stats.blocks.hit_tokens = 8 * served;
  snapshot.replicas[0].saved_s = 0.01 * rounds;
  snapshot.replicas[0].decode_step_s = 0.002;
  snapshot.replicas[0].prompt_token_s = 0.001;
  snapshot.routing = {.prompt_tokens = 24 * served, .held_tokens = 8 * served};
  snapshot.directory_blocks = 1;
  snapshot.first_token_s = 0.514;
  metrics.set(snapshot);
  std::cout << metrics.render();
  return std::cout.good() ? 0 : 1;
}

int dump_families() {
  MetricsPage page;
  add_process(page, {}, {.certificate_expires = 1});
  add_cluster(page, {}, 1);
  add_ranks(page, {}, {});
  ServingMetrics metrics({.model_name = "any", .max_model_len = 2048, .read_bytes_per_s = 1});
  metrics.on_http_response("/v1/completions", 200, 0.05, "POST");
  std::cout << metrics.render() << page.text();
  return std::cout.good() ? 0 : 1;
}

}  // namespace
}  // namespace herd::observability

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--families") return herd::observability::dump_families();
  if (argc != 3) {
    std::cerr << "usage: metrics_dump MODEL ROUNDS | metrics_dump --families\n";
    return 2;
  }
  return herd::observability::dump(argv[1], std::atoi(argv[2]));
}
