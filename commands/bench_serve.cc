#include "commands/bench_serve.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include <unistd.h>
#include <CLI/CLI.hpp>

#include "commands/command_line.h"
#include "commands/standard_output.h"
#include "commands/load/data_set_json.h"
#include "commands/load/endpoint_probe.h"
#include "commands/load/load_report_json.h"
#include "kernels/process_limits.h"
#include "observability/progress_bar.h"
#include "runtime/tokenizer/tokenizer_json.h"

namespace herd::commands {
namespace {

constexpr std::size_t kNumPromptsMax = 1'000'000;

struct ServeFlags {
  std::string backend = "openai";
  std::string base_url;
  std::string host = "127.0.0.1";
  int port = 8000;
  std::string endpoint;
  std::string model;
  std::vector<std::string> headers;
  std::string api_key_file;
  bool insecure = false;
  double connect_timeout_s = 10.0;
  double request_timeout_s = 6.0 * 3600.0;
  int ready_check_timeout_s = 0;

  std::string dataset = "random";
  std::string dataset_path;
  std::string tokenizer;
  std::size_t num_prompts = 1000;
  std::uint64_t seed = 0;
  std::optional<std::uint32_t> input_len;
  std::optional<std::uint32_t> output_len;
  load::RandomPrompts random;
  std::uint32_t custom_output_len = 256;
  std::uint32_t sharegpt_output_len = 0;
  bool no_oversample = false;
  bool disable_shuffle = false;
  std::size_t num_warmups = 0;

  load::ArrivalOptions arrivals;
  std::string ramp_up;
  std::size_t max_concurrency = 0;
  load::BodyOptions body;

  std::string percentile_metrics = "ttft,tpot,itl,e2el";
  std::string metric_percentiles = "99";
  std::vector<std::string> goodput;
  bool save_result = false;
  bool save_detailed = false;
  bool append_result = false;
  std::string result_dir;
  std::string result_filename;
  std::string label;
  std::vector<std::string> metadata;
  bool quiet = false;
};

std::atomic<bool> interrupted{false};

void on_interrupt(int) { interrupted.store(true); }

// The first Ctrl-C ends the run and reports, the second one ends the process.
void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void note(const ServeFlags& flags, const std::string& text) {
  if (!flags.quiet) std::fprintf(stderr, "herd: %s\n", text.c_str());
}

Expected<std::pair<std::string, std::string>> key_value(const char* flag, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || text.find_first_of("\r\n") != std::string::npos)
    return fail(usage_error(std::string(flag) + " takes KEY=VALUE, not \"" + text + "\""));
  return std::pair{text.substr(0, equals), text.substr(equals + 1)};
}

// The key of --api-key-file, else of the environment; empty: none.
Expected<std::string> api_key(const ServeFlags& flags) {
  std::string key;
  if (flags.api_key_file.empty()) {
    if (const char* value = std::getenv("OPENAI_API_KEY")) key = value;
  } else {
    std::ifstream file(flags.api_key_file);
    if (!std::getline(file, key)) return fail(missing(flags.api_key_file + ": no key can be read from it"));
  }
  while (!key.empty() && (key.back() == '\r' || key.back() == ' ')) key.pop_back();
  for (const char c : key)
    if (c <= ' ' || c == 0x7f) return fail(usage_error("the API key holds white space or control characters"));
  return key;
}

Expected<load::ClientOptions> client_options(const ServeFlags& flags) {
  load::ClientOptions options;
  auto target = load::parse_base_url(flags.base_url.empty() ? "http://" + flags.host + ":" + std::to_string(flags.port)
                                                            : flags.base_url);
  if (!target) return fail(target.error());
  options.target = std::move(*target);
  options.chat = flags.body.chat;
  options.endpoint = !flags.endpoint.empty() ? flags.endpoint
                     : options.chat          ? "/v1/chat/completions"
                                             : "/v1/completions";
  if (!options.endpoint.starts_with('/')) return fail(usage_error("--endpoint must begin with '/'"));
  options.insecure = flags.insecure;
  options.connect_timeout_s = flags.connect_timeout_s;
  options.request_timeout_s = flags.request_timeout_s;
  options.max_concurrency = flags.max_concurrency;
  options.keep_text = flags.save_detailed;
  auto key = api_key(flags);
  if (!key) return fail(key.error());
  if (!key->empty()) options.headers.emplace_back("Authorization", "Bearer " + *key);
  for (const std::string& header : flags.headers) {
    auto pair = key_value("--header", header);
    if (!pair) return fail(pair.error());
    options.headers.push_back(std::move(*pair));
  }
  return options;
}

Expected<std::vector<load::PlannedRequest>> random_prompts(const ServeFlags& flags, const load::ClientOptions& options,
                                                           const std::string& model) {
  if (!flags.dataset_path.empty()) return fail(usage_error("--dataset-name random reads no --dataset-path"));
  load::RandomPrompts prompts = flags.random;
  prompts.seed = flags.seed;
  if (flags.input_len) prompts.input_len = *flags.input_len;
  if (flags.output_len) prompts.output_len = *flags.output_len;
  if (options.chat) prompts.vocab_size = 0;  // a message is text
  if (!options.chat && prompts.vocab_size == 0) prompts.alphabet = load::server_alphabet(options, model);
  if (prompts.alphabet.size() < 2) prompts.alphabet.clear();
  const bool ids = !prompts.alphabet.empty() || prompts.vocab_size > 0;
  note(flags,
       ids ? "random prompts of token ids" : "random prompts of words, about a token each; the server counts them");
  return load::random_requests(flags.num_prompts, prompts);
}

Expected<std::vector<load::PlannedRequest>> file_prompts(const ServeFlags& flags) {
  if (flags.dataset_path.empty()) return fail(usage_error("--dataset-name " + flags.dataset + " needs --dataset-path"));
  const bool sharegpt = flags.dataset == "sharegpt";
  load::DataSetOptions options;
  options.path = flags.dataset_path;
  options.output_len = flags.output_len.value_or(sharegpt ? flags.sharegpt_output_len : flags.custom_output_len);
  if (!sharegpt && options.output_len == 0) return fail(usage_error("--custom-output-len must be at least 1"));
  if (!flags.tokenizer.empty()) {
    std::filesystem::path path = flags.tokenizer;
    if (std::filesystem::is_directory(path)) path /= "tokenizer.json";
    auto tokenizer = tokenizer::load_tokenizer_json(path);
    if (!tokenizer) return fail(tokenizer.error());
    options.count_tokens = [counter = std::move(*tokenizer)](const std::string& text) {
      return static_cast<std::uint32_t>(counter.encode(text, {.add_bos = true}).size());
    };
  } else if (sharegpt) {
    note(flags, "lengths are estimated as bytes / 4; --tokenizer PATH counts them");
  }
  auto samples = sharegpt ? load::read_sharegpt(options) : load::read_custom(options);
  if (!samples) return fail(samples.error());
  if (!flags.disable_shuffle) load::shuffle(*samples, flags.seed);
  return load::fill_up(std::move(*samples), flags.num_prompts, !flags.no_oversample, flags.seed);
}

// A bar on a terminal; a line every ten seconds elsewhere.
class Watcher {
 public:
  explicit Watcher(const ServeFlags& flags)
      : quiet_(flags.quiet), terminal_(isatty(STDERR_FILENO) == 1), bar_("requests") {}

  void show(const load::Progress& progress) {
    if (quiet_) return;
    if (terminal_) return bar_.update(progress.completed + progress.refused + progress.failed, progress.requests);
    if (progress.elapsed_s < next_line_s_) return;
    next_line_s_ = progress.elapsed_s + 10.0;
    std::fprintf(stderr, "herd: %.0f s: %zu of %zu requests done, %zu running, %zu refused, %zu failed\n",
                 progress.elapsed_s, progress.completed, progress.requests, progress.running, progress.refused,
                 progress.failed);
  }

 private:
  bool quiet_;
  bool terminal_;
  observability::ProgressBar bar_;
  double next_line_s_ = 10.0;
};

Expected<load::LoadRun> run(const ServeFlags& flags, const load::ClientOptions& options,
                            const std::vector<load::PlannedRequest>& plan, const load::BodyWriter& bodies) {
  const auto stop = [] { return interrupted.load(); };
  if (flags.num_warmups > 0) {
    note(flags, "warming up with " + std::to_string(flags.num_warmups) + " requests");
    std::vector<load::PlannedRequest> warmups(flags.num_warmups, plan.front());
    for (load::PlannedRequest& request : warmups) request.arrival_s = 0.0;
    if (auto warm = load::run_load(options, warmups, bodies, {{}, stop}); !warm) return warm;
  }
  Watcher watcher(flags);
  return load::run_load(options, plan, bodies, {[&](const load::Progress& progress) { watcher.show(progress); }, stop});
}

std::string date_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts = {};
  localtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts);
  return text;
}

Status save(const ServeFlags& flags, const load::ResultFacts& facts, const load::LoadReport& report,
            const load::LoadRun& run) {
  if (!flags.save_result && !flags.append_result) return {};
  std::filesystem::path path = flags.result_filename.empty() ? load::result_filename(facts) : flags.result_filename;
  std::error_code error;
  if (!flags.result_dir.empty()) {
    std::filesystem::create_directories(flags.result_dir, error);
    path = std::filesystem::path(flags.result_dir) / path;
  }
  const bool continues =
      flags.append_result && std::filesystem::exists(path, error) && std::filesystem::file_size(path, error) > 0;
  std::ofstream file(path, flags.append_result ? std::ios::app : std::ios::trunc);
  file << (continues ? "\n" : "") << load::result_json(report, facts, flags.save_detailed ? &run.records : nullptr);
  file.close();
  return file ? Status{} : missing(path.string() + ": cannot be written");
}

// What only needs the flags is checked before anything is sent.
struct Settings {
  load::ReportOptions report;
  load::ResultFacts facts;
};

Expected<Settings> settings(const ServeFlags& flags) {
  Settings set;
  auto percents = load::parse_percentiles(flags.metric_percentiles);
  if (!percents) return fail(percents.error());
  set.report.percentiles = std::move(*percents);
  auto goodput = load::parse_goodput(flags.goodput);
  if (!goodput) return fail(goodput.error());
  set.report.goodput = *goodput;
  auto metrics = load::MetricChoice::parse(flags.percentile_metrics);
  if (!metrics) return fail(metrics.error());
  set.facts.metrics = std::move(*metrics);
  set.facts.goodput = set.report.goodput.any();
  set.facts.backend = flags.backend;
  set.facts.label = flags.label;
  set.facts.request_rate = flags.arrivals.request_rate;
  set.facts.burstiness = flags.arrivals.burstiness;
  set.facts.max_concurrency = flags.max_concurrency;
  for (const std::string& item : flags.metadata) {
    auto pair = key_value("--metadata", item);
    if (!pair) return fail(pair.error());
    set.facts.metadata.push_back(std::move(*pair));
  }
  if (flags.num_prompts < 1 || flags.num_prompts > kNumPromptsMax)
    return fail(usage_error("--num-prompts must be from 1 to " + std::to_string(kNumPromptsMax)));
  if (!(flags.connect_timeout_s > 0.0) || !(flags.request_timeout_s > 0.0) || flags.request_timeout_s > 1e7 ||
      flags.connect_timeout_s > 1e7)
    return fail(usage_error("--connect-timeout and --request-timeout must be above 0 s"));
  return set;
}

Expected<load::LoadReport> measure(const ServeFlags& flags, Settings& set) {
  auto options = client_options(flags);
  if (!options) return fail(options.error());
  auto times = load::arrival_times(flags.num_prompts, flags.arrivals);
  if (!times) return fail(times.error());
  if (auto checked = load::BodyWriter::make(flags.body); !checked) return fail(checked.error());
  auto model = load::find_model(*options, flags.model, flags.ready_check_timeout_s, [] { return interrupted.load(); });
  if (!model) return fail(model.error());
  set.facts.model = *model;
  load::BodyOptions body = flags.body;
  body.model = *model;
  body.ignore_eos = body.ignore_eos || flags.dataset == "random";  // as vLLM: lengths are what was asked for
  auto bodies = load::BodyWriter::make(body);
  if (!bodies) return fail(bodies.error());
  auto plan = flags.dataset == "random" ? random_prompts(flags, *options, *model) : file_prompts(flags);
  if (!plan) return fail(plan.error());
  if (plan->size() < times->size()) times = load::arrival_times(plan->size(), flags.arrivals);
  for (std::size_t i = 0; i < plan->size(); ++i) (*plan)[i].arrival_s = (*times)[i];
  set.facts.num_prompts = plan->size();
  auto done = run(flags, *options, *plan, *bodies);
  if (!done) return fail(done.error());
  load::LoadReport report = load::make_report(done->records, done->duration_s, set.report);
  set.facts.date = date_now();
  if (Status status = save(flags, set.facts, report, *done); !status.ok()) return fail(status);
  return report;
}

int bench_serve(const ServeFlags& flags) {
  auto set = settings(flags);
  if (!set) return report(set.error());
  raise_file_limit();
  catch_interrupts();
  auto result = measure(flags, *set);
  if (!result) return report(result.error());
  if (result->unfinished > 0) std::fprintf(stderr, "herd: the run was ended after %.1f s\n", result->duration_s);
  for (const std::string& error : result->first_errors) std::fprintf(stderr, "herd: failed: %s\n", error.c_str());
  load::TableOptions table{set->facts.metrics, flags.arrivals.request_rate, flags.max_concurrency, set->facts.goodput};
  print_bytes(load::report_table(*result, table));
  if (!flags.quiet) print_bytes(load::report_plots(*result));
  return result->failed + result->unfinished > 0 ? 1 : 0;
}

void add_target_flags(CLI::App& app, ServeFlags& flags) {
  const std::string group = "Endpoint";
  app.add_option("--backend", flags.backend,
                 "openai (/v1/completions; also vllm) or openai-chat (/v1/chat/completions)")
      ->check(CLI::IsMember({"openai", "vllm", "openai-chat"}))
      ->group(group);
  app.add_option("--base-url", flags.base_url, "http://HOST:PORT or https://… (default: --host and --port)")
      ->group(group);
  app.add_option("--host", flags.host, "Host (default 127.0.0.1)")->group(group);
  app.add_option("--port", flags.port, "Port (default 8000)")->check(CLI::Range(1, 65535))->group(group);
  app.add_option("--endpoint", flags.endpoint, "Path (default: the backend's)")->group(group);
  app.add_option("--model", flags.model, "Model name in requests (default: the first of /v1/models)")->group(group);
  app.add_option("--header", flags.headers, "KEY=VALUE …: headers of every request")->group(group);
  app.add_option("--api-key-file", flags.api_key_file, "First line: the bearer token (default: OPENAI_API_KEY)")
      ->group(group);
  app.add_flag("--insecure", flags.insecure, "https: accept any certificate")->group(group);
  app.add_option("--connect-timeout", flags.connect_timeout_s, "Seconds to connect (default 10)")->group(group);
  app.add_option("--request-timeout", flags.request_timeout_s, "Seconds a request may take (default 21600)")
      ->group(group);
  app.add_option("--ready-check-timeout-sec", flags.ready_check_timeout_s, "Wait so long for the server")
      ->check(CLI::Range(0, 86400))
      ->group(group);
}

void add_prompt_flags(CLI::App& app, ServeFlags& flags) {
  const std::string group = "Prompts";
  app.add_option("--dataset-name", flags.dataset,
                 "random (default), custom (JSON lines: prompt, output_tokens) or sharegpt")
      ->check(CLI::IsMember({"random", "custom", "sharegpt"}))
      ->group(group);
  app.add_option("--dataset-path", flags.dataset_path, "File of custom or sharegpt")->group(group);
  app.add_option("--num-prompts", flags.num_prompts, "Requests (default 1000)")->group(group);
  app.add_option("--seed", flags.seed, "Same seed, same plan (default 0)")->group(group);
  app.add_option("--input-len", flags.input_len, "The data set's input length")->group(group);
  app.add_option("--output-len", flags.output_len, "The data set's output length")->group(group);
  app.add_option("--random-input-len", flags.random.input_len, "Tokens (default 1024)")->group(group);
  app.add_option("--random-output-len", flags.random.output_len, "Tokens (default 128)")->group(group);
  app.add_option("--random-range-ratio", flags.random.range_ratio, "Lengths vary by this share, [0, 1)")->group(group);
  app.add_option("--random-prefix-len", flags.random.prefix_len, "Tokens that all prompts share")->group(group);
  app.add_option("--random-vocab-size", flags.random.vocab_size,
                 "Ids below this (default: of plain words, by /tokenize)")
      ->check(CLI::Range(0, 1 << 30))
      ->group(group);
  app.add_option("--custom-output-len", flags.custom_output_len, "Where a record names none (default 256)")
      ->group(group);
  app.add_option("--sharegpt-output-len", flags.sharegpt_output_len, "Default: the recorded reply's length")
      ->group(group);
  app.add_option("--tokenizer", flags.tokenizer, "tokenizer.json or its folder: counts the tokens of a data set")
      ->group(group);
  app.add_flag("--no-oversample", flags.no_oversample, "A small data set makes fewer requests")->group(group);
  app.add_flag("--disable-shuffle", flags.disable_shuffle, "Keep the file's order")->group(group);
  app.add_option("--num-warmups", flags.num_warmups, "Requests sent before the run")
      ->check(CLI::Range(0, 100000))
      ->group(group);
}

void add_traffic_flags(CLI::App& app, ServeFlags& flags) {
  const std::string group = "Traffic";
  app.add_option("--request-rate", flags.arrivals.request_rate, "Requests a second (default inf: all at once)")
      ->group(group);
  app.add_option("--burstiness", flags.arrivals.burstiness, "1 (default) Poisson, below burstier, above evener")
      ->group(group);
  app.add_option("--max-concurrency", flags.max_concurrency, "Requests under way at most")
      ->check(CLI::PositiveNumber)
      ->group(group);
  app.add_option("--ramp-up-strategy", flags.ramp_up, "linear or exponential, instead of --request-rate")
      ->check(CLI::IsMember({"linear", "exponential"}))
      ->group(group);
  app.add_option("--ramp-up-start-rps", flags.arrivals.ramp_up_start_rps, "First rate")->group(group);
  app.add_option("--ramp-up-end-rps", flags.arrivals.ramp_up_end_rps, "Last rate")->group(group);

  const std::string sampling = "Sampling";
  app.add_flag("--ignore-eos", flags.body.ignore_eos, "Generate to the length (random: always)")->group(sampling);
  app.add_option("--temperature", flags.body.temperature, "Default: the server's")->group(sampling);
  app.add_option("--top-p", flags.body.top_p)->group(sampling);
  app.add_option("--top-k", flags.body.top_k)->group(sampling);
  app.add_option("--min-p", flags.body.min_p)->group(sampling);
  app.add_option("--frequency-penalty", flags.body.frequency_penalty)->group(sampling);
  app.add_option("--presence-penalty", flags.body.presence_penalty)->group(sampling);
  app.add_option("--repetition-penalty", flags.body.repetition_penalty)->group(sampling);
  app.add_option("--extra-body", flags.body.extra_body, "JSON object merged into every body")->group(sampling);
}

void add_result_flags(CLI::App& app, ServeFlags& flags) {
  const std::string group = "Result";
  app.add_option("--percentile-metrics", flags.percentile_metrics, "Default ttft,tpot,itl,e2el")->group(group);
  app.add_option("--metric-percentiles", flags.metric_percentiles, "Default 99; 25,50,99.9")->group(group);
  app.add_option("--goodput", flags.goodput, "ttft:MS tpot:MS e2el:MS …: requests that keep all limits")->group(group);
  app.add_flag("--save-result", flags.save_result, "Write a JSON file with vLLM's key names")->group(group);
  app.add_flag("--save-detailed", flags.save_detailed, "… with every request's figures and text")->group(group);
  app.add_flag("--append-result", flags.append_result, "Append to the file")->group(group);
  app.add_option("--result-dir", flags.result_dir, "Folder of the file (default: here)")->group(group);
  app.add_option("--result-filename", flags.result_filename, "Default: LABEL-RATEqps-MODEL-DATE.json")->group(group);
  app.add_option("--label", flags.label, "Default: the backend")->group(group);
  app.add_option("--metadata", flags.metadata, "KEY=VALUE …: kept in the file")->group(group);
  app.add_flag("--quiet,--disable-tqdm", flags.quiet, "No progress, no plots")->group(group);
}

}  // namespace

void add_bench_serve(CLI::App& bench, int* exit_code) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* serve = bench.add_subcommand("serve", "Load against an OpenAI-compatible endpoint");
  add_target_flags(*serve, *flags);
  add_prompt_flags(*serve, *flags);
  add_traffic_flags(*serve, *flags);
  add_result_flags(*serve, *flags);
  serve->callback([flags, exit_code] {
    flags->body.chat = flags->backend == "openai-chat";
    if (flags->ramp_up == "linear") flags->arrivals.ramp_up = load::RampUp::kLinear;
    if (flags->ramp_up == "exponential") flags->arrivals.ramp_up = load::RampUp::kExponential;
    flags->arrivals.seed = flags->seed;
    *exit_code = bench_serve(*flags);
  });
}

}  // namespace herd::commands
