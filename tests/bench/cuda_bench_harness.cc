#include "tests/bench/cuda_bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "kernels/dtype.h"
#include "kernels/step_recorder.h"

namespace herd::bench {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Random bf16 in (-1/8, 1/8): real data, since multiplying zeros takes less power and so less time.
std::vector<std::uint16_t> random_bf16(std::size_t count) {
  std::vector<std::uint16_t> values(count);
  std::uint64_t state = 0x9e3779b97f4a7c15ULL;
  for (std::uint16_t& value : values) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    value = to_bf16((static_cast<float>(state >> 40) * 0x1p-23F - 1.0F) * 0.125F).bits;
  }
  return values;
}

TensorView tensor(Pool& pool, DType dtype, std::int64_t rows, std::int64_t cols) {
  TensorView view{nullptr, dtype, rows, cols, round_up(cols, kPanelOutputs)};
  view.data = pool.take(rows * view.row_stride * static_cast<std::int64_t>(dtype_bytes(dtype)));
  return view;
}

std::string json_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

void print_head() {
  std::printf("%-9s %-50s %10s %10s %8s %8s %8s %10s\n", "", "", "median us", "best us", "GB/s", "TFLOP/s", "of bound",
              "of cuBLAS");
}

const Harness* harness_at_work = nullptr;  // what stop() finds rows in

}  // namespace

void stop(const Status& status) {
  std::fprintf(stderr, "cuda_bench: %s\n", status.message().c_str());
  if (const Harness* harness = std::exchange(harness_at_work, nullptr)) (void)harness->write_json(false);
  std::exit(status.code() == StatusCode::kMissing ? 4 : 1);
}

void stop_unless(const Status& status) {
  if (!status.ok()) stop(status);
}

Expected<std::unique_ptr<Pool>> Pool::make(Device& device, std::size_t bytes, const char* what) {
  auto memory = device.allocate(bytes, what);
  if (!memory) return fail(memory.error());
  static const std::vector<std::uint16_t> values = random_bf16(16 * kMiB / 2 + 4099);
  // Begins elsewhere in the random values for every piece: the pool does not repeat with a power of two.
  constexpr std::size_t kPiece = 16 * kMiB;
  std::size_t shift = 0;
  for (std::size_t at = 0; at < bytes; at += kPiece) {
    shift = (shift + 257) % 4096;
    auto* const to = static_cast<std::byte*>((*memory)->data()) + at;
    device.upload(to, values.data() + shift, std::min(kPiece, bytes - at));
  }
  if (Status status = device.wait(); !status.ok()) return fail(std::move(status));
  return std::unique_ptr<Pool>(new Pool(std::move(*memory)));
}

void* Pool::take(std::int64_t bytes) {
  const std::int64_t size = round_up(bytes, 256);
  if (size > this->bytes()) stop(missing("a pool of " + std::to_string(this->bytes()) + " bytes is asked for " +
                                         std::to_string(size)));
  if (at_ + size > this->bytes()) at_ = 0;
  void* const taken = static_cast<std::byte*>(memory_->data()) + at_;
  at_ += size;
  return taken;
}

Expected<std::unique_ptr<Harness>> Harness::make(const Options& options) {
  auto backend = load_gpu_backend();
  if (!backend) return fail(backend.error());
  auto gpus = (*backend)->devices();
  if (!gpus) return fail(gpus.error());
  std::unique_ptr<Harness> harness(new Harness(options));
  harness->backend_ = *backend;
  for (const GpuInfo& info : *gpus)
    if (info.index == options.gpu) harness->info_ = info;
  if (!options.tiny) {
    auto rates = (*backend)->measure(options.gpu);
    if (!rates) return fail(rates.error());
    harness->rates_ = *rates;
  }
  GpuDeviceConfig config;
  config.gpu = options.gpu;
  auto device = (*backend)->make_device(config);
  if (!device) return fail(device.error());
  harness->device_ = std::move(*device);
  config.matmul = GpuMatmul::kCublasLt;
  if (auto vendor = (*backend)->make_device(config)) harness->vendor_ = std::move(*vendor);
  // 4 GiB of weights are some 70 L2 caches of 60 MB; on small GPUs two fifths of what is free.
  const std::size_t free_bytes = harness->device_->free_bytes();
  const std::size_t large = options.tiny ? 8 * kMiB : std::min(4096 * kMiB, free_bytes / 5 * 2);
  auto weights = Pool::make(*harness->device_, large, "benchmark's weights");
  auto kv = Pool::make(*harness->device_, options.tiny ? 8 * kMiB : large / 2, "benchmark's KV");
  auto inputs = Pool::make(*harness->device_, (options.tiny ? 8 : 768) * kMiB, "benchmark's inputs");
  auto outputs = Pool::make(*harness->device_, (options.tiny ? 8 : 768) * kMiB, "benchmark's outputs");
  for (auto* pool : {&weights, &kv, &inputs, &outputs})
    if (!*pool) return fail(pool->error());
  harness->weights_ = std::move(*weights);
  harness->kv_ = std::move(*kv);
  harness->inputs_ = std::move(*inputs);
  harness->outputs_ = std::move(*outputs);
  ScratchLimits limits;
  limits.rows = options.tiny ? 64 : 4096;
  limits.query_heads = options.tiny ? 4 : 32;
  limits.head_dim = 128;
  if (Status status = harness->device_->step_recorder()->reserve(limits); !status.ok()) return fail(std::move(status));
  if (harness->vendor_)
    if (Status status = harness->vendor_->step_recorder()->reserve(limits); !status.ok()) return fail(std::move(status));
  harness_at_work = harness.get();
  return harness;
}

Harness::~Harness() { harness_at_work = nullptr; }

TensorView Harness::input(DType dtype, std::int64_t rows, std::int64_t cols) {
  return tensor(*inputs_, dtype, rows, cols);
}

TensorView Harness::output(DType dtype, std::int64_t rows, std::int64_t cols) {
  return tensor(*outputs_, dtype, rows, cols);
}

void* Harness::copy_bytes(const void* from, std::size_t bytes) {
  auto memory = device_->allocate(bytes, "benchmark's tables");
  if (!memory) stop(memory.error());
  device_->upload((*memory)->data(), from, bytes);
  copies_.push_back(std::move(*memory));
  return copies_.back()->data();
}

Timing Harness::time(Device& device, int inner, const std::function<void(int)>& body) {
  const auto step = [&] {
    for (int i = 0; i < inner; i++) body(i);
  };
  stop_unless(device_->wait());  // what was uploaded through it
  StepRecorder& recorder = *device.step_recorder();
  recorder.run_step(0, step);    // unrecorded: code is loaded, attributes are set
  stop_unless(device.wait());
  const std::uint64_t key = ++key_;
  const auto repeat = [&](int times) {
    const double begin = now_s();
    for (int i = 0; i < times; i++) recorder.run_step(key, step);
    stop_unless(device.wait());
    return now_s() - begin;
  };
  repeat(1);
  repeat(1);  // a key met again is recorded, if not before
  const int times = options_.tiny ? 1 : std::clamp(static_cast<int>(0.004 / repeat(1)), 1, 1000);
  std::vector<double> samples;
  double total = 0;
  const std::size_t least = options_.tiny ? 1 : 5;
  while (samples.size() < least || (!options_.tiny && total < options_.seconds)) {
    samples.push_back(repeat(times));
    total += samples.back();
  }
  std::sort(samples.begin(), samples.end());
  const double bodies = static_cast<double>(times) * inner;
  return {samples[samples.size() / 2] / bodies, samples.front() / bodies};
}

int Harness::rotation(double bytes) const {
  return options_.tiny ? 2 : std::clamp(static_cast<int>(512.0 * static_cast<double>(kMiB) / bytes) + 1, 1, 64);
}

double Harness::bound_s(double bytes, double flops) const {
  if (rates_.read_gb_per_s <= 0) return 0;
  // Without cuBLASLt the machine's peak is not known: the better of what is.
  const double peak = std::max(rates_.bf16_tflop_per_s, rates_.ordered_tflop_per_s);
  return std::max(bytes / (rates_.read_gb_per_s * 1e9), peak > 0 ? flops / (peak * 1e12) : 0.0);
}

void Harness::remeasure() {
  if (rates_.read_gb_per_s <= 0) return;
  const auto again = backend_->measure(options_.gpu);
  if (!again) {  // the bounds of the begin stay
    std::printf("the bounds were not measured again: %s\n", again.error().message().c_str());
    return;
  }
  rates_.read_gb_per_s = std::max(rates_.read_gb_per_s, again->read_gb_per_s);
  rates_.bf16_tflop_per_s = std::max(rates_.bf16_tflop_per_s, again->bf16_tflop_per_s);
  rates_.ordered_tflop_per_s = std::max(rates_.ordered_tflop_per_s, again->ordered_tflop_per_s);
  for (Bar& bar : bars_)
    if (bar.row.time.median_s > 0) bar.value = bound_s(bar.row.bytes, bar.row.flops) / bar.row.time.median_s;
}

void Harness::add(Row row) {
  if (rows_.empty()) print_head();
  print_row(row);
  std::fflush(stdout);
  rows_.push_back(std::move(row));
}

void Harness::add(Bar bar) {
  bar.known = bar.known && rates_.read_gb_per_s > 0;
  bars_.push_back(std::move(bar));
}

void Harness::add_share(std::string what, const Row& row, double bar) {
  add(Bar{std::move(what), bound_s(row.bytes, row.flops) / row.time.median_s, bar, false, true, row});
}

void Harness::print_row(const Row& row) const {
  const double bound = bound_s(row.bytes, row.flops);
  std::printf("%-9s %-50s %10.2f %10.2f %8.0f %8.1f", row.part.c_str(), row.what.c_str(), row.time.median_s * 1e6,
              row.time.best_s * 1e6, row.bytes / row.time.median_s * 1e-9, row.flops / row.time.median_s * 1e-12);
  bound > 0 ? std::printf(" %6.1f %%", 100 * bound / row.time.median_s) : std::printf(" %8s", "-");
  row.vendor_s > 0 ? std::printf(" %8.1f %%", 100 * row.vendor_s / row.time.median_s) : std::printf(" %10s", "-");
  std::printf("\n");
}

void Harness::print() const {
  std::printf("\n%s; reads %.0f GB/s, bf16 products %.0f TFLOP/s by cuBLASLt, %.0f by herd (8192^3)\n",
              device_->description().c_str(), rates_.read_gb_per_s, rates_.bf16_tflop_per_s,
              rates_.ordered_tflop_per_s);
  print_head();
  for (const Row& row : rows_) print_row(row);
  std::printf("\n");
  for (const Bar& bar : bars_)
    std::printf("%-64s %7.3f  %s %.2f  %s\n", bar.what.c_str(), bar.value, bar.at_most ? "at most " : "at least",
                bar.bar, !bar.known ? "open" : bar.met() ? "pass" : "BELOW THE BAR");
}

Status Harness::write_json(bool complete) const {
  if (options_.json.empty()) return {};
  const std::string part = options_.json + ".part";  // a run that is ended while it writes leaves what was there
  std::ofstream file(part);
  file << "{\"complete\": " << (complete ? "true" : "false") << ", \"device\": " << json_text(device_->description())
       << ", \"name\": " << json_text(info_.name) << ", \"class\": " << json_text(device_->numerics_class())
       << ", \"read_gb_per_s\": " << rates_.read_gb_per_s << ", \"bf16_tflop_per_s\": " << rates_.bf16_tflop_per_s
       << ", \"ordered_tflop_per_s\": " << rates_.ordered_tflop_per_s << ",\n \"rows\": [";
  for (std::size_t i = 0; i < rows_.size(); i++) {
    const Row& row = rows_[i];
    file << (i == 0 ? "\n" : ",\n") << "  {\"part\": " << json_text(row.part) << ", \"what\": " << json_text(row.what)
         << ", \"median_s\": " << row.time.median_s << ", \"best_s\": " << row.time.best_s
         << ", \"bytes\": " << row.bytes << ", \"flops\": " << row.flops
         << ", \"bound_s\": " << bound_s(row.bytes, row.flops) << ", \"cublaslt_s\": " << row.vendor_s << "}";
  }
  file << "],\n \"bars\": [";
  for (std::size_t i = 0; i < bars_.size(); i++) {
    const Bar& bar = bars_[i];
    file << (i == 0 ? "\n" : ",\n") << "  {\"what\": " << json_text(bar.what) << ", \"value\": " << bar.value
         << ", \"bar\": " << bar.bar << ", \"at_most\": " << (bar.at_most ? "true" : "false") << ", \"verdict\": \""
         << (!bar.known ? "open" : bar.met() ? "pass" : "below") << "\"}";
  }
  file << "]}\n";
  file.close();
  const bool written = file && std::rename(part.c_str(), options_.json.c_str()) == 0;
  return written ? Status{} : missing(options_.json + ": cannot be written");
}

bool Harness::bars_met() const {
  return std::all_of(bars_.begin(), bars_.end(), [](const Bar& bar) { return !bar.known || bar.met(); });
}

}  // namespace herd::bench
