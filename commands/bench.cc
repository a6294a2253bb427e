// herd bench machine, latency, throughput: figures beside the bound measured on the same machine in the same run (serve:
// bench_serve.cc).

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>

#include "actors/client/delta_queue.h"
#include "commands/bench_serve.h"
#include "commands/command_line.h"
#include "commands/machine_bounds.h"
#include "commands/standard_output.h"
#include "commands/started_model.h"
#include "commands/load/decode_window.h"

namespace herd::commands {
namespace {

using Clock = std::chrono::steady_clock;

struct BenchFlags {
  ModelFlags model;
  int input_len = 512;
  int output_len = 32;
  int num_prompts = 32;
  int num_iters = 3;
  std::string output_json;
};

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// A plot for a terminal: one line, a column a value, eight heights.
void plot(const char* what, const std::vector<double>& values) {
  if (values.size() < 2) return;
  static const char* const kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  print("%-22s ", what);
  const std::size_t columns = std::min<std::size_t>(values.size(), 64);
  for (std::size_t i = 0; i < columns; ++i) {
    const double value = values[i * values.size() / columns];
    const double share = *high > *low ? (value - *low) / (*high - *low) : 0.0;
    print("%s", kBars[std::min(7, static_cast<int>(share * 8))]);
  }
  print("  %.2f … %.2f ms\n", *low * 1e3, *high * 1e3);
}

void figure(const char* what, double value, const char* unit, double bound, const char* bound_name) {
  print("%-22s %12.2f %-10s %5.1f %% of %.2f (%s)\n", what, value, unit, 100.0 * value / bound, bound, bound_name);
}

Status write_json(const std::string& path, const boost::json::object& result) {
  if (path.empty()) return {};
  std::ofstream file(path);
  file << boost::json::serialize(result) << "\n";
  file.close();
  return file ? Status{} : missing(path + ": cannot be written");
}

Status bench_gpus(const BenchFlags& flags, const actors::EngineOptions& options) {
  auto gpus = measure_gpus(options.gpu, 0);
  if (!gpus) return gpus.error();
  boost::json::array list;
  for (const MeasuredGpu& gpu : *gpus) {
    print("gpu-%d %s, compute capability %d.%d, %d multiprocessors, %.2f GB\n", gpu.info.index,
                gpu.info.name.c_str(), gpu.info.major, gpu.info.minor, gpu.info.multiprocessors,
                static_cast<double>(gpu.info.total_bytes) / 1e9);
    print("%-22s %12.2f GB/s\n", "memory read", gpu.rates.read_gb_per_s);
    boost::json::value vendor;  // null: not measured
    if (gpu.rates.bf16_tflop_per_s > 0) {
      vendor = gpu.rates.bf16_tflop_per_s;
      print("%-22s %12.2f TFLOP/s (cuBLASLt)\n", "bf16 peak", gpu.rates.bf16_tflop_per_s);
      figure("ordered products", gpu.rates.ordered_tflop_per_s, "TFLOP/s", gpu.rates.bf16_tflop_per_s, "bf16 peak");
    } else {
      print("%-22s %12s (cuBLASLt is not installed)\n", "bf16 peak", "-");
      print("%-22s %12.2f TFLOP/s bf16\n", "ordered products", gpu.rates.ordered_tflop_per_s);
    }
    list.push_back(boost::json::object{
        {"index", gpu.info.index},
        {"name", gpu.info.name},
        {"compute_capability", std::to_string(gpu.info.major) + "." + std::to_string(gpu.info.minor)},
        {"multiprocessors", gpu.info.multiprocessors},
        {"total_bytes", gpu.info.total_bytes},
        {"read_gb_per_s", gpu.rates.read_gb_per_s},
        {"bf16_tflop_per_s", vendor},
        {"ordered_tflop_per_s", gpu.rates.ordered_tflop_per_s}});
  }
  return write_json(flags.output_json, {{"gpus", list}});
}

std::string page_words(const ReadRate& rate) {
  return rate.page_bytes >> 20 > 0 ? std::to_string(rate.page_bytes >> 20) + " MiB pages"
                                   : std::to_string(rate.page_bytes >> 10) + " KiB pages";
}

Status bench_machine(const BenchFlags& flags) {
  auto options = engine_options(flags.model);
  if (!options) return options.error();
  if (options->gpu.use) return bench_gpus(flags, *options);
  auto rates = measure_cpus(*options);
  if (!rates) return rates.error();
  print("%s, %d threads, %s\n", cpu_model().c_str(), rates->threads, rates->isa);
  const ReadRate& best = rates->reads.best();
  boost::json::object result{{"cpu", cpu_model()},
                             {"threads", rates->threads},
                             {"isa", rates->isa},
                             {"read_gb_per_s", best.gb_per_s},
                             {"bf16_dots", rates->bf16_dots}};
  print("%-22s %12.2f GB/s (%s, %d streams a thread)\n", "memory read", best.gb_per_s, page_words(best).c_str(), best.streams);
  boost::json::array reads;
  for (const ReadRate& rate : rates->reads.rates) {
    print("  %-20s %12.2f GB/s, %d streams a thread\n", page_words(rate).c_str(), rate.gb_per_s, rate.streams);
    reads.push_back(boost::json::object{
        {"page_bytes", rate.page_bytes}, {"streams", rate.streams}, {"gb_per_s", rate.gb_per_s}});
  }
  if (rates->reads.huge_share < 0.99)
    print("  of the memory asked for in pages of 2 MiB, %.0f %% was given so\n", rates->reads.huge_share * 100);
  result["reads"] = std::move(reads);
  result["huge_share"] = rates->reads.huge_share;
  for (const PeakName& name : kPeakNames) {
    const double rate = rates->peak(name.peak);
    result[name.key] = rate;
    if (rate > 0) {
      print("%-22s %12.2f %s%s\n", name.name, rate, name.unit, name.peak == rates->used_for_bf16() ? ", used for bf16" : "");
    } else {
      print("%-22s %12s (not on this CPU)\n", name.name, "-");
    }
  }
  return write_json(flags.output_json, result);
}

// Prompts of random ids, the same for the same numbers; no two share a prefix.
std::vector<TokenId> random_prompt(int length, int vocab, std::uint64_t which) {
  std::vector<TokenId> ids;
  std::uint64_t state = which * 0x9e3779b97f4a7c15ULL + 1;
  for (int i = 0; i < length; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    ids.push_back(static_cast<TokenId>((state >> 33) % static_cast<std::uint64_t>(vocab)));
  }
  return ids;
}

// What one run of several sequences showed.
struct Run {
  double prefill_s = 0.0;           // start → the last sequence's first token
  double total_s = 0.0;
  std::vector<double> ttft_s;
  std::vector<double> token_gap_s;            // gaps between a sequence's tokens, all sequences
  std::vector<std::vector<double>> arrivals;  // of each sequence, when its tokens came, from the start
  std::size_t tokens = 0;
};

Expected<Run> run(actors::Engine& engine, int sequences, int input_len, int output_len, std::uint64_t* next_id) {
  actors::DeltaQueue queue(engine.cluster().client(), std::size_t{1} << 20);
  const std::uint64_t first_id = *next_id;
  const Clock::time_point begin = Clock::now();
  for (int i = 0; i < sequences; ++i) {
    step::Submission submission;
    const std::uint64_t id = (*next_id)++;
    submission.tokens = random_prompt(input_len, engine.config().vocab_size, id);
    submission.prompt_tokens = static_cast<std::uint32_t>(input_len);
    submission.max_tokens = static_cast<std::uint32_t>(output_len);
    submission.sampling.ignore_eos = true;
    queue.submit(RequestId{id}, std::move(submission));
  }
  Run result;
  result.arrivals.resize(static_cast<std::size_t>(sequences));
  for (int open = sequences; open > 0;) {
    const auto heard = queue.next(std::chrono::milliseconds(1000));
    if (!heard) continue;
    const double now = seconds_since(begin);
    if (const step::TokenDelta* delta = heard->delta(); delta != nullptr && delta->has_token) {
      std::vector<double>& mine = result.arrivals[heard->request.value - first_id];
      if (mine.empty()) {
        result.ttft_s.push_back(now);
        result.prefill_s = now;
      } else {
        result.token_gap_s.push_back(now - mine.back());
      }
      mine.push_back(now);
      ++result.tokens;
    }
    if (heard->end() == nullptr) continue;
    if (heard->end()->kind != gateway::RequestEnd::Kind::kFinished) return fail(heard->end()->why);
    --open;
  }
  result.total_s = seconds_since(begin);
  return result;
}

Expected<actors::EngineOptions> bench_options(const BenchFlags& flags, int sequences) {
  auto options = engine_options(flags.model);
  if (!options) return fail(options.error());
  options->scheduler.prefix_caching = false;  // every prompt is computed
  if (flags.model.max_num_seqs == 0) options->scheduler.max_num_seqs = static_cast<std::uint32_t>(std::max(1, sequences));
  options->scheduler.max_num_batched_tokens =
      std::max(options->scheduler.max_num_batched_tokens, options->scheduler.max_num_seqs);
  if (options->max_model_len == 0) options->max_model_len = std::int64_t{flags.input_len} + flags.output_len;
  return options;
}

// Multiply-adds × 2 of one prompt row in the matrices; attention adds little at these lengths.
double flops_per_token(const model::LlamaConfig& config) {
  const double hidden = config.hidden_size;
  const double attention = 2.0 * config.query_size() + 2.0 * config.kv_size();
  return 2.0 * config.layers * hidden * (attention + 3.0 * config.intermediate_size);
}

struct Bounds {
  double decode_tokens_per_s = 0.0;
  double prefill_tokens_per_s = 0.0;
};

// Decode: every weight once a step, and the context's KV. Prefill: every multiply-add of the layers at the peak.
// Replicas on GPUs each read weights of their own.
Bounds bounds(const actors::Engine& engine, const MachineBounds& machine, int sequences, int replicas, double context) {
  const actors::EngineFacts& facts = engine.facts();
  const int reads = machine.gpu ? std::min(replicas, sequences) : 1;
  const double bytes = reads * static_cast<double>(facts.weight_bytes_per_token) +
                       sequences * context * static_cast<double>(facts.kv_bytes_per_token);
  const double read = machine.read_gb_per_s * 1e9 * (machine.gpu ? static_cast<double>(reads) / replicas : 1.0);
  const double flops = flops_per_token(engine.config()) +
                       2.0 * engine.config().hidden_size * engine.config().vocab_size;  // a decode row has logits
  return {std::min(sequences * read / bytes, machine.peak_gflop_per_s * 1e9 / flops),
          machine.peak_gflop_per_s * 1e9 / flops_per_token(engine.config())};
}

void print_machine(const MachineBounds& machine, const actors::Engine& engine) {
  if (machine.gpu) {
    print("%s (%s), on %s; read %.1f GB/s, %s %.2f TFLOP/s\n", machine.machine.c_str(),
                engine.facts().device.c_str(), cpu_model().c_str(), machine.read_gb_per_s, machine.peak_name.c_str(),
                machine.peak_gflop_per_s / 1e3);
  } else {
    print("%s, %s; read of the weights %.1f GB/s (%.1f … %.1f), %s %.1f GFLOP/s", machine.machine.c_str(),
                engine.facts().device.c_str(), machine.read_gb_per_s, machine.read_low, machine.read_high,
                machine.peak_name.c_str(), machine.peak_gflop_per_s);
    if (machine.best_name != machine.peak_name)
      print("; not used: %s, %.1f GFLOP/s", machine.best_name.c_str(), machine.best_gflop_per_s);
    print("\n");
  }
}

Status write_row(const BenchFlags& flags, const MachineBounds& machine, const actors::Engine& engine,
                 boost::json::object row) {
  boost::json::object all{{"cpu", cpu_model()}, {"device", engine.facts().device}};
  if (machine.gpu) all["gpus"] = machine.machine;
  for (auto& [key, value] : row) all[key] = value;
  all["read_gb_per_s"] = machine.read_gb_per_s;
  all["peak_name"] = machine.peak_name;
  all["peak_gflop_per_s"] = machine.peak_gflop_per_s;
  all[machine.peak_key] = machine.peak_gflop_per_s;
  if (machine.best_gflop_per_s > 0) {
    all["best_peak_name"] = machine.best_name;
    all["best_peak_gflop_per_s"] = machine.best_gflop_per_s;
  }
  return write_json(flags.output_json, all);
}

Status check(const BenchFlags& flags) {
  if (flags.num_prompts < 1 || flags.num_iters < 1 || flags.input_len < 1 || flags.output_len < 2)
    return usage_error("--num-prompts, --num-iters and --input-len must be at least 1, --output-len 2");
  return {};
}

Status bench_latency(const BenchFlags& flags) {
  if (Status status = check(flags); !status.ok()) return status;
  const int batch_size = std::max(1, flags.model.max_num_seqs);  // --batch-size
  auto options = bench_options(flags, batch_size);
  if (!options) return options.error();
  auto meter = BoundsMeter::open(*options);
  if (!meter) return meter.error();
  auto model = start_model(*options, text_options(flags.model));
  if (!model) return model.error();
  actors::Engine& engine = *model->engine;
  std::uint64_t next_id = 1;
  if (auto warm = run(engine, batch_size, std::min(flags.input_len, 64), 4, &next_id); !warm) return warm.error();
  std::vector<double> prefill, decode, whole, gaps;
  std::size_t steps = 0;
  if (Status status = meter->measure(engine); !status.ok()) return status;
  for (int i = 0; i < flags.num_iters; ++i) {
    auto result = run(engine, batch_size, flags.input_len, flags.output_len, &next_id);
    if (!result) return result.error();
    prefill.push_back(batch_size * flags.input_len / result->prefill_s);
    const auto together = load::decode_window(result->arrivals);
    if (!together)
      return usage_error("these " + std::to_string(batch_size) + " sequences never decode together: the first has " +
                         "finished before the last begins; raise --output-len or --max-num-batched-tokens");
    decode.push_back(together->tokens_per_s);
    steps = together->steps;
    whole.push_back(result->total_s);
    gaps = result->token_gap_s;
    if (Status status = meter->measure(engine); !status.ok()) return status;
  }
  const MachineBounds machine = meter->bounds();
  const Bounds bound =
      bounds(engine, machine, batch_size, options->data_parallel, flags.input_len + flags.output_len / 2.0);
  print_machine(machine, engine);
  print("batch %d, %d tokens in, %d out, %d runs (medians); decode: %zu steps, all sequences in them\n",
              batch_size, flags.input_len, flags.output_len, flags.num_iters, steps);
  figure("prefill", median(prefill), "tokens/s", bound.prefill_tokens_per_s, machine.peak_name.c_str());
  figure("decode", median(decode), "tokens/s", bound.decode_tokens_per_s,
         ("read bandwidth, " + machine.peak_name).c_str());
  plot("time per token", gaps);
  return write_row(flags, machine, engine,
                   {{"batch_size", batch_size},
                    {"input_len", flags.input_len},
                    {"output_len", flags.output_len},
                    {"prefill_tokens_per_s", median(prefill)},
                    {"prefill_bound_tokens_per_s", bound.prefill_tokens_per_s},
                    {"total_s", median(whole)},
                    {"decode_steps", steps},
                    {"decode_tokens_per_s", median(decode)},
                    {"decode_bound_tokens_per_s", bound.decode_tokens_per_s}});
}

Status bench_throughput(const BenchFlags& flags) {
  if (Status status = check(flags); !status.ok()) return status;
  auto options = bench_options(flags, std::min(flags.num_prompts, 64));
  if (!options) return options.error();
  auto meter = BoundsMeter::open(*options);
  if (!meter) return meter.error();
  auto model = start_model(*options, text_options(flags.model));
  if (!model) return model.error();
  actors::Engine& engine = *model->engine;
  std::uint64_t next_id = 1;
  if (auto warm = run(engine, 1, std::min(flags.input_len, 64), 4, &next_id); !warm) return warm.error();
  if (Status status = meter->measure(engine); !status.ok()) return status;
  auto result = run(engine, flags.num_prompts, flags.input_len, flags.output_len, &next_id);
  if (!result) return result.error();
  const double output = static_cast<double>(result->tokens) / result->total_s;
  const double total = output + flags.num_prompts * flags.input_len / result->total_s;
  if (Status status = meter->measure(engine); !status.ok()) return status;
  const MachineBounds machine = meter->bounds();
  const int together = std::min(flags.num_prompts, static_cast<int>(options->scheduler.max_num_seqs) *
                                                       options->data_parallel);
  const Bounds bound =
      bounds(engine, machine, together, options->data_parallel, flags.input_len + flags.output_len / 2.0);
  // The time no schedule can beat: all prompt rows at the peak, then all output rows at the decode bound.
  const double least = flags.num_prompts * flags.input_len / bound.prefill_tokens_per_s +
                       static_cast<double>(result->tokens) / bound.decode_tokens_per_s;
  print_machine(machine, engine);
  print("%d prompts of %d tokens, %d out each, all at once\n", flags.num_prompts, flags.input_len, flags.output_len);
  figure("output", output, "tokens/s", static_cast<double>(result->tokens) / least, "bound");
  print("%-22s %12.2f tokens/s\n", "prompt + output", total);
  print("%-22s %12.2f ms p50, %.2f ms max\n", "first token", median(result->ttft_s) * 1e3,
              *std::max_element(result->ttft_s.begin(), result->ttft_s.end()) * 1e3);
  std::vector<double> gaps = result->token_gap_s;
  std::sort(gaps.begin(), gaps.end());
  if (!gaps.empty())
    print("%-22s %12.2f ms p50, %.2f ms p99, %.2f ms max\n", "between tokens", gaps[gaps.size() / 2] * 1e3,
                gaps[gaps.size() * 99 / 100] * 1e3, gaps.back() * 1e3);
  plot("first tokens", result->ttft_s);
  return write_row(flags, machine, engine,
                   {{"num_prompts", flags.num_prompts},
                    {"input_len", flags.input_len},
                    {"output_len", flags.output_len},
                    {"output_tokens_per_s", output},
                    {"total_tokens_per_s", total},
                    {"bound_output_tokens_per_s", static_cast<double>(result->tokens) / least},
                    {"ttft_p50_s", median(result->ttft_s)}});
}

}  // namespace

void add_bench(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* bench = app.add_subcommand("bench", "Measure: each figure beside its bound");
  bench->require_subcommand(1);
  auto add = [&](const char* name, const char* what, Status (*action)(const BenchFlags&)) {
    CLI::App* command = bench->add_subcommand(name, what);
    add_model_flags(*command, flags->model);
    command->add_option("--output-json", flags->output_json, "Also write the result here");
    command->callback([flags, exit_code, action] { *exit_code = report(action(*flags)); });
    return command;
  };
  add("machine", "Read bandwidth and peak arithmetic of this machine, or of its GPUs (--devices gpu)", bench_machine);
  CLI::App* latency = add("latency", "Prefill and decode of one batch", bench_latency);
  latency->add_option("--num-iters", flags->num_iters, "Measured runs (median)");
  CLI::App* throughput = add("throughput", "Many prompts at once", bench_throughput);
  throughput->add_option("--num-prompts", flags->num_prompts, "Prompts");
  for (CLI::App* command : {latency, throughput}) {
    command->add_option("--input-len", flags->input_len, "Prompt tokens");
    command->add_option("--output-len", flags->output_len, "Output tokens");
  }
  add_bench_serve(*bench, exit_code);
}

}  // namespace herd::commands
