// Promise P2, measured: token ids and a hash of every fp32 logits row are equal on every axis that must not matter.
//
//   repeatability [--full] [--model NAME=PATH]... [--random NAME=PATH]... [--expected FILE] [--write FILE]
//                 [--devices gpu] [--encoding NAME] [--rows N] [--new-tokens N] [--axes NAME,NAME...] [--draws NAME]
//
// Baseline: each request alone, one thread, block size 16, no prefix cache. Every axis then runs the same requests its
// own way and must give the same digest. The last row plants a kernel whose order of addition depends on the number
// of rows: it must be found (on CPUs). --expected compares with digests made on other machines (tests/golden): a class
// of arithmetic has its own, but a GPU's float32 is the CPU's. --rows: of a step, 512 unless told. --axes: beside the baseline
// only those whose names begin so; --draws: only one way of sampling.

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "actors/client/delta_queue.h"
#include "actors/engine.h"
#include "tests/actors/wire_roundtrip.h"
#include "tests/runtime/preemption_probe.h"

namespace herd {
namespace {

using actors::Engine;
using actors::EngineOptions;

struct Model {
  std::string name;
  std::string path;
  bool random = false;
};

struct Settings {
  bool full = false;
  bool gpu = false;
  std::string encoding;       // empty: the model's own
  std::uint32_t rows = 512;   // of a step
  int new_tokens = 0;         // 0: 16 with `full`, else 8
  std::vector<std::string> axes;  // beginnings of names; empty: all
  std::string draws;              // empty: all
};

struct Axis {
  std::string name;
  int batch = 1;                                // requests open at once
  std::function<void(EngineOptions&)> change = [](EngineOptions&) {};
  int rounds = 1;                               // > 1: later rounds hit the prefix cache
  bool must_preempt = false;
  bool must_differ = false;                     // the planted kernel
  std::size_t requests_max = 100;               // the reference kernels run whole models slowly: few tokens
  std::size_t total = 0;                        // > 0: so many requests, the list over and over
  bool through_wire = false;                    // messages pass through their codecs
};

// A kernel that adds rows of large batches in another order: what a split-K or a batch-shaped tile does.
class BatchDependentOps final : public Ops {
 public:
  explicit BatchDependentOps(Ops& real) : real_(real) {}
  const char* name() const override { return "batch-dependent"; }
  void pack_rows(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const float* source) override {
    real_.pack_rows(w, row, rows, source);
  }
  void pack_blocks(const PackedMatrix& w, std::int64_t row, std::int64_t rows, const std::byte* source) override {
    real_.pack_blocks(w, row, rows, source);
  }
  bool takes_blocks() const override { return real_.takes_blocks(); }
  void embed(const PackedMatrix& t, const std::int32_t* ids, const TensorView& out) override { real_.embed(t, ids, out); }
  void rms_norm(const TensorView& x, const float* w, float eps, const TensorView& out) override {
    real_.rms_norm(x, w, eps, out);
  }
  void matmul(const TensorView& x, const PackedMatrix& w, const float* bias, const TensorView& out) override {
    if (x.rows < 4 || w.leaf_count == 1) return real_.matmul(x, w, bias, out);
    PackedMatrix merged = w;  // one leaf instead of rule 3's tree
    merged.leaf_count = 1;
    merged.leaf_chunk[1] = w.leaf_chunk[w.leaf_count];
    real_.matmul(x, merged, bias, out);
  }
  void add_partials(const TensorView& r, const PartialSums& p) override { real_.add_partials(r, p); }
  void rope(const TensorView& x, std::int32_t heads, std::int32_t dim, const std::int32_t* positions,
            const float* table) override {
    real_.rope(x, heads, dim, positions, table);
  }
  void write_kv(const TensorView& k, const TensorView& v, const std::int64_t* slots, const KvView& kv) override {
    real_.write_kv(k, v, slots, kv);
  }
  void attention(const TensorView& q, const KvView& kv, const AttentionBatch& b, const TensorView& out) override {
    real_.attention(q, kv, b, out);
  }
  void silu_mul(const TensorView& g, std::int64_t up, const TensorView& out) override { real_.silu_mul(g, up, out); }
  void gather_rows(const TensorView& x, const std::int32_t* rows, const TensorView& out) override {
    real_.gather_rows(x, rows, out);
  }
  void leaf_max_sum(const TensorView& l, std::int64_t begin, std::int64_t end, MaxSum* out) override {
    real_.leaf_max_sum(l, begin, end, out);
  }
  void draw(const float* l, std::int64_t cols, std::int32_t base, float t, float floor, const DrawKey& key,
            Candidate* out) override {
    real_.draw(l, cols, base, t, floor, key, out);
  }
  void top_k(const float* l, std::int64_t cols, std::int32_t base, std::int32_t k, Candidate* out) override {
    real_.top_k(l, cols, base, k, out);
  }
  void logit_range(const TensorView& l, LogitRange* out) override { real_.logit_range(l, out); }
  void weigh(const float* l, std::int64_t cols, const NucleusScale& scale, NucleusBin* bins) override {
    real_.weigh(l, cols, scale, bins);
  }
  void select(const float* l, std::int64_t cols, const NucleusScale& scale, std::int32_t first, std::int32_t last,
              std::int32_t* columns, float* values) override {
    real_.select(l, cols, scale, first, last, columns, values);
  }

 private:
  Ops& real_;
};

class BatchDependentDevice final : public Device {
 public:
  explicit BatchDependentDevice(std::unique_ptr<Device> real) : real_(std::move(real)), ops_(real_->ops()) {}
  std::string description() const override { return "planted fault over " + real_->description(); }
  Ops& ops() override { return ops_; }
  Expected<std::unique_ptr<DeviceBuffer>> allocate(std::size_t bytes, const char* what) override {
    return real_->allocate(bytes, what);
  }
  std::size_t free_bytes() const override { return real_->free_bytes(); }
  Status wait() override { return real_->wait(); }

 private:
  std::unique_ptr<Device> real_;
  BatchDependentOps ops_;
};

// How every request of a run is sampled.
struct Draws {
  const char* name;
  float temperature;
  float top_p;
};
constexpr Draws kDraws[] = {{"greedy", 0.0F, 1.0F}, {"T=1.5", 1.5F, 1.0F}, {"T=1.5 top-p", 1.5F, 0.9F}};

struct Request {
  std::vector<TokenId> prompt;
  step::SamplingParams params;
};

// Prompts of many lengths, most sharing a prefix of 40 tokens; deterministic.
std::vector<Request> make_requests(int vocab, const Draws& draws, bool long_one) {
  std::vector<int> lengths{1, 3, 17, 31, 50, 64, 90};
  if (long_one) lengths.push_back(600);  // across an attention partition
  std::vector<Request> requests;
  std::uint64_t state = 12345;
  auto next = [&] { return state = state * 6364136223846793005ULL + 1442695040888963407ULL; };
  std::vector<TokenId> prefix;
  for (int i = 0; i < 40; ++i) prefix.push_back(static_cast<TokenId>((next() >> 33) % static_cast<unsigned>(vocab)));
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    Request request;
    for (int t = 0; t < lengths[i]; ++t)
      request.prompt.push_back(t < 40 && i >= 3 ? prefix[static_cast<std::size_t>(t)]
                                                : static_cast<TokenId>((next() >> 33) % static_cast<unsigned>(vocab)));
    request.params.temperature = draws.temperature;
    request.params.top_p = draws.top_p;
    request.params.seed = 1000 + i;
    request.params.ignore_eos = true;
    requests.push_back(std::move(request));
  }
  return requests;
}

struct Outcome {
  std::vector<std::string> digests;  // by request: tokens and row hashes
  std::uint32_t cached_tokens = 0;
  std::uint64_t preemptions = 0;
};

std::string digest(const std::vector<step::SampledToken>& tokens) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  auto add = [&](std::uint64_t value) {
    for (int byte = 0; byte < 8; ++byte) hash = (hash ^ ((value >> (8 * byte)) & 0xff)) * 0x100000001b3ULL;
  };
  for (const auto& token : tokens) {
    add(static_cast<std::uint64_t>(token.token));
    add(token.logits_hash);
  }
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

// Runs the requests, `batch` open at a time; a batch larger than the list repeats it.
Expected<Outcome> run(const Model& model, const Axis& axis, const Draws& draws, const Settings& settings) {
  const int new_tokens = settings.new_tokens > 0 ? settings.new_tokens : settings.full ? 16 : 8;
  EngineOptions options;
  options.model.path = model.path;
  options.model.random_weights = model.random;
  options.threads = 1;
  options.hash_logits = true;
  options.max_model_len = 1024;
  options.scheduler.max_num_seqs = static_cast<std::uint32_t>(std::max(axis.batch, 1));
  options.scheduler.max_num_batched_tokens = std::max(settings.rows, options.scheduler.max_num_seqs);
  options.scheduler.prefix_caching = false;
  options.encoding = settings.encoding;
  options.gpu.use = settings.gpu;
  axis.change(options);
  if (axis.through_wire)
    options.wrap_rank = [](std::unique_ptr<shard::RankExecutor> rank, ReplicaId, std::uint32_t) { return actors::through_wire(std::move(rank)); };
  auto engine = Engine::start(std::move(options));
  if (!engine) return fail(engine.error());
  actors::ClusterClient& client = (*engine)->cluster().client();
  actors::WireClient wire(client);
  auto requests = make_requests((*engine)->config().vocab_size, draws, settings.full);
  if (requests.size() > axis.requests_max) requests.resize(axis.requests_max);

  Outcome outcome;
  std::uint64_t next_id = 1;
  for (int round = 0; round < axis.rounds; ++round) {
    const std::size_t total =
        axis.total > 0           ? axis.total
        : axis.requests_max < 100 ? requests.size()
                                  : std::max(requests.size(), static_cast<std::size_t>(axis.batch));
    std::vector<std::vector<step::SampledToken>> tokens(total);
    for (std::size_t begin = 0; begin < total; begin += static_cast<std::size_t>(axis.batch)) {
      const std::size_t end = std::min(total, begin + static_cast<std::size_t>(axis.batch));
      actors::DeltaQueue queue(axis.through_wire ? wire : client, std::size_t{1} << 20);
      const std::uint64_t first_id = next_id;
      for (std::size_t i = begin; i < end; ++i) {
        const Request& request = requests[i % requests.size()];
        step::Submission submission;
        submission.tokens = request.prompt;
        submission.prompt_tokens = static_cast<std::uint32_t>(request.prompt.size());
        submission.max_tokens = static_cast<std::uint32_t>(new_tokens);
        submission.sampling = request.params;
        queue.submit(RequestId{next_id++}, std::move(submission));
      }
      for (std::size_t open = end - begin; open > 0;) {
        const auto heard = queue.next(std::chrono::milliseconds(1000));
        if (!heard) continue;
        if (const gateway::RequestEnd* ended = heard->end()) {
          if (ended->kind != gateway::RequestEnd::Kind::kFinished) return fail(ended->why);
          --open;
          continue;
        }
        const step::TokenDelta& delta = *heard->delta();
        if (delta.has_token) tokens[begin + heard->request.value - first_id].push_back(delta.token);
        if (delta.finish != step::FinishReason::kNone) outcome.cached_tokens += delta.cached_tokens;
      }
    }
    for (std::size_t i = 0; i < total; ++i) {
      const std::string text = digest(tokens[i]);
      if (round == 0 && i < requests.size()) outcome.digests.push_back(text);
      else if (text != outcome.digests[i % requests.size()]) outcome.digests[i % requests.size()] += "!" + text;
    }
  }
  for (const auto& replica : client.status()->replicas) outcome.preemptions += replica.scheduler.preemptions;
  return outcome;
}

// Chunks beside streams: as short as they get, and as long as the step.
void push_step_times(std::vector<Axis>& list) {
  for (const std::uint32_t ms : {1U, 600'000U})
    list.push_back({"steps of " + std::to_string(ms) + " ms", 7, [ms](EngineOptions& o) {
                      // Some decode while others are prompts.
                      o.scheduler.max_num_batched_tokens = std::min(o.scheduler.max_num_batched_tokens, 64U);
                      o.scheduler.max_step_ms = ms;
                    }});
}

// What must not matter on a GPU; whether there is a second one shows when the rank asks for it.
std::vector<Axis> gpu_axes(bool full) {
  std::vector<Axis> list{{"alone"}};
  for (const int batch : full ? std::vector<int>{2, 7, 32, 256} : std::vector<int>{7})
    list.push_back({"batch " + std::to_string(batch), batch});
  for (const std::uint32_t chunk : full ? std::vector<std::uint32_t>{1, 16, 512} : std::vector<std::uint32_t>{1, 16})
    list.push_back({"chunk " + std::to_string(chunk), 2, [chunk](EngineOptions& o) {
                      o.scheduler.prefill_chunk_max = chunk;
                    }});
  if (full)
    list.push_back({"chunk 2048", 2, [](EngineOptions& o) { o.scheduler.max_num_batched_tokens = 2048; }});
  push_step_times(list);
  list.push_back({"prefix hit", 1, [](EngineOptions& o) { o.scheduler.prefix_caching = true; }, 2});
  list.push_back({"preemption", 7, [](EngineOptions& o) { o.scheduler_probe = scheduler::preempting_every(3); }, 1, true});
  list.push_back({"-tp 2", 2, [](EngineOptions& o) { o.tensor_parallel = 2; }});
  list.push_back({"-dp 2", 7, [](EngineOptions& o) { o.data_parallel = 2; }});
  list.push_back({"block size 64", 2, [](EngineOptions& o) { o.block_size = 64; }});
  list.push_back({"one step ahead off", 7, [](EngineOptions& o) { o.scheduler.steps_ahead = 1; }});
  list.push_back({"no graphs", 7, [](EngineOptions& o) { o.gpu.graphs = false; }});
  list.push_back({"all at once", full ? 256 : 8, [](EngineOptions& o) {
                    o.block_size = 32;
                    o.scheduler.prefix_caching = true;
                    o.scheduler.prefill_chunk_max = 48;
                    o.scheduler_probe = scheduler::preempting_every(5);
                  }, 2, true, false, 100, full ? std::size_t{1000} : 0});
  return list;
}

std::vector<Axis> axes(bool full) {
  std::vector<Axis> list{{"alone"}};
  for (const int batch : full ? std::vector<int>{2, 7, 32} : std::vector<int>{7})
    list.push_back({"batch " + std::to_string(batch), batch});
  for (const std::uint32_t chunk : full ? std::vector<std::uint32_t>{1, 16, 64, 512} : std::vector<std::uint32_t>{1, 16})
    list.push_back({"chunk " + std::to_string(chunk), 2, [chunk](EngineOptions& o) {
                      o.scheduler.prefill_chunk_max = chunk;
                    }});
  push_step_times(list);
  list.push_back({"prefix hit", 1, [](EngineOptions& o) { o.scheduler.prefix_caching = true; }, 2});
  list.push_back({"preemption", 7, [](EngineOptions& o) { o.scheduler_probe = scheduler::preempting_every(3); }, 1, true});
  for (const int tp : {2, 4, 8})
    list.push_back({"-tp " + std::to_string(tp), 2, [tp](EngineOptions& o) { o.tensor_parallel = tp; }});
  list.push_back({"-dp 2", 7, [](EngineOptions& o) { o.data_parallel = 2; }});
  list.push_back({"threads 2", 2, [](EngineOptions& o) { o.threads = 2; }});
  for (const int size : {32, 64})
    list.push_back({"block size " + std::to_string(size), 2, [size](EngineOptions& o) { o.block_size = size; }});
  list.push_back({.name = "codec round trip", .batch = 7, .through_wire = true});
  list.push_back({"one step ahead off", 7, [](EngineOptions& o) { o.scheduler.steps_ahead = 1; }});
  list.push_back({"isa reference", 5, [](EngineOptions& o) { o.isa = CpuIsa::kReference; }, 1, false, false, full ? 5U : 3U});
  list.push_back({"isa avx2", 7, [](EngineOptions& o) { o.isa = CpuIsa::kAvx2; }});
  list.push_back({"isa avx512", 7, [](EngineOptions& o) { o.isa = CpuIsa::kAvx512; }});
  list.push_back({"isa avx512-vnni", 7, [](EngineOptions& o) { o.isa = CpuIsa::kAvx512Vnni; }});
  list.push_back({"isa avx512-bf16", 7, [](EngineOptions& o) { o.isa = CpuIsa::kAvx512Bf16; }});
  list.push_back({"all at once", 32, [](EngineOptions& o) {
                    o.tensor_parallel = 2;
                    o.data_parallel = 2;
                    o.block_size = 32;
                    o.scheduler.prefix_caching = true;
                    o.scheduler.prefill_chunk_max = 48;
                    o.scheduler_probe = scheduler::preempting_every(5);
                  }, 2, true, false, 100, 0, true});
  list.push_back({"planted: order depends on the batch", 7, [](EngineOptions& o) {
                    o.make_device = [](const CpuDeviceConfig& config) -> Expected<std::unique_ptr<Device>> {
                      auto real = make_cpu_device(config);
                      if (!real) return fail(real.error());
                      return std::make_unique<BatchDependentDevice>(std::move(*real));
                    };
                  }, 1, false, true});
  return list;
}

std::vector<Axis> all_axes(const Settings& settings) { return settings.gpu ? gpu_axes(settings.full) : axes(settings.full); }

// The baseline, and what was asked for.
std::vector<Axis> axes_of(const Settings& settings) {
  std::vector<Axis> list = all_axes(settings);
  if (settings.axes.empty()) return list;
  std::erase_if(list, [&](const Axis& axis) {
    return axis.name != "alone" && std::ranges::none_of(settings.axes, [&](const std::string& begin) { return axis.name.starts_with(begin); });
  });
  return list;
}

// What was asked for and is none; empty: there is no such.
std::string unknown_axis(const Settings& settings) {
  const std::vector<Axis> list = all_axes(settings);
  for (const std::string& begin : settings.axes)
    if (std::ranges::none_of(list, [&](const Axis& axis) { return axis.name.starts_with(begin); })) return begin;
  return "";
}

struct Tally {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
};

// At commas.
std::vector<std::string> parted(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

std::string joined(const std::vector<std::string>& digests) {
  std::string all;
  for (const std::string& text : digests) all += (all.empty() ? "" : " ") + text;
  return all;
}

void test_model(const Model& model, const Draws& draws, const Settings& settings,
                std::map<std::string, std::string>& digests, Tally& tally) {
  const std::string label = model.name + " " + draws.name;
  std::vector<std::string> baseline;
  for (const Axis& axis : axes_of(settings)) {
    const auto outcome = run(model, axis, draws, settings);
    if (!outcome) {
      const StatusCode code = outcome.error().code();
      const bool not_here = code == StatusCode::kUsage || (settings.gpu && code == StatusCode::kMissing);
      if (baseline.empty() || !not_here) {
        std::printf("FAILED   %-18s %-36s %s\n", label.c_str(), axis.name.c_str(), outcome.error().message().c_str());
        ++tally.failed;
        if (baseline.empty()) return;
      } else {
        std::printf("SKIPPED: %-18s %-36s %s\n", label.c_str(), axis.name.c_str(), outcome.error().message().c_str());
        ++tally.skipped;
      }
      continue;
    }
    if (baseline.empty()) {
      baseline = outcome->digests;
      digests[label] = joined(baseline);
    }
    std::string wrong;
    const std::vector<std::string> same_requests(
        baseline.begin(), baseline.begin() + static_cast<std::ptrdiff_t>(outcome->digests.size()));
    if ((outcome->digests == same_requests) == axis.must_differ)
      wrong = axis.must_differ ? "the planted fault was not found" : "other bits than alone";
    if (axis.must_preempt && outcome->preemptions == 0) wrong = "nothing was preempted";
    if (axis.rounds > 1 && outcome->cached_tokens == 0) wrong = "the prefix cache was never hit";
    std::printf("%s   %-18s %-36s %s\n", wrong.empty() ? "PASSED" : "FAILED", label.c_str(), axis.name.c_str(),
                wrong.c_str());
    std::fflush(stdout);
    ++(wrong.empty() ? tally.passed : tally.failed);
  }
}

// Lines "label: digests"; rows of models that were not run are left alone.
void compare(const std::string& path, const std::map<std::string, std::string>& digests, Tally& tally) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    const std::size_t colon = line.find(": ");
    if (line.empty() || line[0] == '#' || colon == std::string::npos) continue;
    const auto found = digests.find(line.substr(0, colon));
    if (found == digests.end()) continue;
    // A shorter run (CI) makes fewer tokens, so its digests are kept under a name of their own.
    const bool equal = found->second == line.substr(colon + 2);
    std::printf("%s   %-18s %-36s\n", equal ? "PASSED" : "FAILED", found->first.c_str(), "digests of the other machines");
    ++(equal ? tally.passed : tally.failed);
  }
}

}  // namespace
}  // namespace herd

int main(int argc, char** argv) {
  herd::Settings settings;
  std::string expected, write;
  std::vector<herd::Model> models;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&]() -> std::string { return i + 1 < argc ? argv[++i] : ""; };
    if (argument == "--full") settings.full = true;
    else if (argument == "--devices") settings.gpu = value() == "gpu";
    else if (argument == "--encoding") settings.encoding = value();
    else if (argument == "--rows") settings.rows = static_cast<std::uint32_t>(std::stoul(value()));
    else if (argument == "--new-tokens") settings.new_tokens = std::stoi(value());
    else if (argument == "--axes") settings.axes = herd::parted(value());
    else if (argument == "--draws") settings.draws = value();
    else if (argument == "--expected") expected = value();
    else if (argument == "--write") write = value();
    else if (argument == "--model" || argument == "--random") {
      const std::string pair = value();
      const std::size_t equals = pair.find('=');
      models.push_back({pair.substr(0, equals), pair.substr(equals + 1), argument == "--random"});
    } else {
      std::fprintf(stderr, "unknown argument %s\n", argument.c_str());
      return 2;
    }
  }
  if (const std::string unknown = herd::unknown_axis(settings); !unknown.empty()) {
    std::fprintf(stderr, "no axis begins with %s\n", unknown.c_str());
    return 2;
  }
  std::map<std::string, std::string> digests;
  herd::Tally tally;
  for (const herd::Model& model : models) {
    for (const herd::Draws& draws : herd::kDraws) {
      if (!settings.draws.empty() && settings.draws != draws.name) continue;
      std::map<std::string, std::string> mine;
      herd::test_model(model, draws, settings, mine, tally);
      for (auto& [label, text] : mine) digests[(settings.full ? "full " : "ci ") + label] = text;
    }
  }
  if (!write.empty()) {
    std::ofstream out(write);
    out << "# Digests of tokens and logits rows, by request (tests/actors/repeatability.cc). Every CPU class must give these.\n";
    for (const auto& [label, text] : digests) out << label << ": " << text << "\n";
  }
  if (!expected.empty()) herd::compare(expected, digests, tally);
  std::printf("%d passed, %d failed, %d skipped\n", tally.passed, tally.failed, tally.skipped);
  return tally.failed == 0 && tally.passed > 0 ? 0 : 1;
}
