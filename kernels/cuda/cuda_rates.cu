// Sizes grow until the work takes long enough to be measured, up to a maximum that every GPU in question reaches.
#include "kernels/cuda/cuda_rates.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "kernels/cuda/cublas_matmul.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul.h"
#include "kernels/splitmix64.h"

namespace herd::cuda {
namespace {

constexpr int kRepeats = 9;                                   // the best counts
constexpr float kSpinMs = 500.0F;                             // until an idle GPU's clocks have risen
constexpr float kLongEnoughMs = 50.0F;
constexpr std::size_t kReadBytesMin = std::size_t{16} << 20;
constexpr std::size_t kReadBytesMax = std::size_t{4} << 30;   // the largest L2 is some 128 MiB
constexpr std::int64_t kProductMin = 256, kProductMax = 8192;
constexpr int kThreads = 256;
constexpr int kLoadsAhead = 8;  // 16-byte loads of a thread under way
constexpr std::uint32_t kStoredSum = 0x9e3779b9U;

// Adds all words up; hardly any sum is the one that is stored, so that nothing but reading takes time.
__global__ void __launch_bounds__(kThreads) read_kernel(const uint4* from, std::int64_t count, std::uint32_t* sink) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  std::uint32_t sum = 0;
  std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; at + (kLoadsAhead - 1) * step < count; at += kLoadsAhead * step) {
    uint4 values[kLoadsAhead];
#pragma unroll
    for (int i = 0; i < kLoadsAhead; i++) values[i] = load16_streaming(from + at + i * step);
#pragma unroll
    for (int i = 0; i < kLoadsAhead; i++) sum += values[i].x + values[i].y + values[i].z + values[i].w;
  }
  for (; at < count; at += step) {
    const uint4 value = load16_streaming(from + at);
    sum += value.x + value.y + value.z + value.w;
  }
  if (sum == kStoredSum) *sink = sum;
}

// Values in (-1, 1): zeros, read or multiplied, draw less power, and would look faster. SplitMix64 of the index.
__global__ void __launch_bounds__(kThreads) random_kernel(float* to, std::int64_t count) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const std::uint64_t drawn = splitmix64_finish(static_cast<std::uint64_t>(i + 1) * kSplitMix64Step);
    to[i] = static_cast<float>(static_cast<std::int64_t>(drawn >> 40) - (1 << 23)) * 0x1p-23F;
  }
}

void fill_random(Stream& stream, float* to, std::int64_t count) {
  launch(stream, "random", random_kernel, dim3(static_cast<unsigned>(stream.multiprocessors() * 8)), kThreads, 0, to,
         count);
}

class Stopwatch {
 public:
  explicit Stopwatch(Stream& stream) : stream_(stream) {
    for (cudaEvent_t& event : events_) stream_.check(cudaEventCreateWithFlags(&event, 0), "cudaEventCreateWithFlags");
  }
  ~Stopwatch() {
    for (cudaEvent_t event : events_) {
      if (event != nullptr) stream_.check(cudaEventDestroy(event), "cudaEventDestroy");
    }
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  // Milliseconds on the GPU; the best of kRepeats after one that warms up: a bound is what it can do. 0 when the stream
  // has failed.
  float best_ms(const std::function<void()>& work) {
    float times[kRepeats] = {};
    work();
    for (float& time : times) time = once_ms(work);
    return stream_.ok() ? *std::min_element(times, times + kRepeats) : 0.0F;
  }

  float once_ms(const std::function<void()>& work) {
    float time = 0;
    if (!stream_.check(cudaEventRecord(events_[0], stream_.handle()), "cudaEventRecord")) return 0;
    work();
    const bool ended = stream_.check(cudaEventRecord(events_[1], stream_.handle()), "cudaEventRecord") &&
                       stream_.check(cudaEventSynchronize(events_[1]), "cudaEventSynchronize") &&
                       stream_.check(cudaEventElapsedTime(&time, events_[0], events_[1]), "cudaEventElapsedTime");
    return ended ? time : 0;
  }

 private:
  Stream& stream_;
  cudaEvent_t events_[2] = {};
};

Expected<double> read_gb_per_s(const std::shared_ptr<Stream>& stream, Stopwatch& stopwatch) {
  const std::size_t limit = std::min(kReadBytesMax, free_device_bytes(*stream) / 2);
  auto memory = allocate_device(stream, std::max(limit, kReadBytesMin), "the buffer to measure reading with");
  if (!memory) return fail(memory.error());
  auto sink = allocate_device(stream, sizeof(std::uint32_t), "a sum");
  if (!sink) return fail(sink.error());
  std::size_t bytes = kReadBytesMin;
  const auto read = [&] {
    launch(*stream, "read", read_kernel, dim3(static_cast<unsigned>(stream->multiprocessors() * 16)), kThreads, 0,
           static_cast<const uint4*>((*memory)->data()), static_cast<std::int64_t>(bytes / sizeof(uint4)),
           static_cast<std::uint32_t*>((*sink)->data()));
  };
  (void)stopwatch.once_ms(read);  // loads the kernel
  while (bytes * 2 <= limit && stream->ok() && stopwatch.once_ms(read) < kLongEnoughMs) bytes *= 2;
  if (bytes * 2 > limit) {  // less is long enough on the emulator, which has no clock that rises
    fill_random(*stream, static_cast<float*>((*memory)->data()), static_cast<std::int64_t>(bytes / sizeof(float)));
    for (float spun = 0; stream->ok() && spun < kSpinMs;) spun += stopwatch.once_ms(read);
  }
  const float time = stopwatch.best_ms(read);
  return time > 0 ? static_cast<double>(bytes) / (time * 1e6) : 0.0;
}

// The n^3 product of random bf16, by herd's kernels or by the yardstick (not null).
class Product {
 public:
  static Expected<Product> make(const std::shared_ptr<Stream>& stream, std::int64_t n, CublasMatmul* yardstick) {
    Product product(*stream, n, yardstick);
    auto source = allocate_device(stream, static_cast<std::size_t>(n * n) * sizeof(float), "a product to measure");
    if (!source) return fail(source.error());
    for (auto* buffer : {&product.x_, &product.w_, &product.out_}) {
      auto memory = allocate_device(stream, static_cast<std::size_t>(n * n) * 2, "a product to measure");
      if (!memory) return fail(memory.error());
      *buffer = std::move(*memory);
    }
    product.fill(static_cast<float*>((*source)->data()));
    return product;  // freeing the source waits for that
  }

  void multiply() {
    const TensorView x = {x_->data(), DType::kBF16, n_, n_, n_};
    const TensorView out = {out_->data(), DType::kBF16, n_, n_, n_};
    if (yardstick_ != nullptr) return yardstick_->matmul(x, matrix(*w_), nullptr, out);
    matmul(stream_, x, matrix(*w_), nullptr, out);
  }
  [[nodiscard]] double flops() const {
    return 2.0 * static_cast<double>(n_) * static_cast<double>(n_) * static_cast<double>(n_);
  }

 private:
  Product(Stream& stream, std::int64_t n, CublasMatmul* yardstick) : stream_(stream), n_(n), yardstick_(yardstick) {}

  [[nodiscard]] PackedMatrix matrix(const DeviceBuffer& memory) const {
    PackedMatrix w = {.data = memory.data(), .format = WeightFormat::kBF16, .outputs = n_, .k = n_, .leaf_count = 1};
    w.leaf_chunk[1] = static_cast<std::int32_t>(n_ / kChunkK);
    return w;
  }

  void fill(float* source) {
    fill_random(stream_, source, n_ * n_);
    pack_rows(stream_, matrix(*x_), 0, n_, source);  // in a matrix's order: any order is random
    if (yardstick_ != nullptr) return yardstick_->pack_rows(matrix(*w_), 0, n_, source);
    pack_rows(stream_, matrix(*w_), 0, n_, source);
  }

  Stream& stream_;
  const std::int64_t n_;
  CublasMatmul* const yardstick_;
  std::unique_ptr<DeviceBuffer> x_, w_, out_;
};

Expected<double> tflop_per_s(const std::shared_ptr<Stream>& stream, Stopwatch& stopwatch, CublasMatmul* yardstick,
                             std::int64_t n) {
  auto product = Product::make(stream, n, yardstick);
  if (!product) return fail(product.error());
  const float time = stopwatch.best_ms([&] { product->multiply(); });
  return time > 0 ? product->flops() / (static_cast<double>(time) * 1e9) : 0.0;
}

// kProductMax, or, where that takes too long, the smallest power of two that takes long enough.
Expected<std::int64_t> product_size(const std::shared_ptr<Stream>& stream, Stopwatch& stopwatch) {
  for (std::int64_t n = kProductMin; n < kProductMax; n *= 2) {
    auto product = Product::make(stream, n, nullptr);
    if (!product) return fail(product.error());
    const auto multiply = [&] { product->multiply(); };
    if (n == kProductMin) (void)stopwatch.once_ms(multiply);  // loads the kernel
    if (stopwatch.once_ms(multiply) >= kLongEnoughMs || !stream->ok()) return n;
  }
  return kProductMax;
}

}  // namespace

Expected<GpuRates> measure_rates(int gpu) {
  auto made = Stream::make(gpu, 0);
  if (!made) return fail(made.error());
  const std::shared_ptr<Stream> stream = std::move(*made);
  stream->use();
  Stopwatch stopwatch(*stream);
  GpuRates rates;
  const auto read = read_gb_per_s(stream, stopwatch);
  if (!read) return fail(read.error());
  rates.read_gb_per_s = *read;
  const auto n = product_size(stream, stopwatch);
  if (!n) return fail(n.error());
  const auto ordered = tflop_per_s(stream, stopwatch, nullptr, *n);
  if (!ordered) return fail(ordered.error());
  rates.ordered_tflop_per_s = *ordered;
  if (auto yardstick = CublasMatmul::make(stream)) {  // where it is installed
    const auto vendor = tflop_per_s(stream, stopwatch, yardstick->get(), *n);
    if (!vendor) return fail(vendor.error());
    rates.bf16_tflop_per_s = *vendor;
  }
  if (!stream->ok()) return fail(stream->status());
  return rates;
}

}  // namespace herd::cuda
