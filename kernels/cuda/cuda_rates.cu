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

namespace herd::cuda {
namespace {

constexpr int kRepeats = 9;                                   // the median counts
constexpr float kLongEnoughMs = 50.0F;
constexpr std::size_t kReadBytesMin = std::size_t{16} << 20;
constexpr std::size_t kReadBytesMax = std::size_t{4} << 30;   // the largest L2 is some 128 MiB
constexpr std::int64_t kProductMin = 256, kProductMax = 8192;
constexpr int kThreads = 256;
constexpr int kLoadsAhead = 8;  // 16-byte loads of a thread under way

// Adds all words up; a sum of zero words is not stored, so that nothing but reading takes time.
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
  if (sum != 0) *sink = sum;
}

// Values in (-1, 1): products of zeros draw less power, and would look faster. SplitMix64 of the index.
__global__ void __launch_bounds__(kThreads) random_kernel(float* to, std::int64_t count) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    std::uint64_t z = static_cast<std::uint64_t>(i + 1) * 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    to[i] = static_cast<float>(static_cast<std::int64_t>((z ^ (z >> 31)) >> 40) - (1 << 23)) * 0x1p-23F;
  }
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

  // Milliseconds on the GPU; the median of kRepeats after one that warms up. 0 when the stream has failed.
  float median_ms(const std::function<void()>& work) {
    float times[kRepeats] = {};
    work();
    for (float& time : times) time = once_ms(work);
    std::sort(times, times + kRepeats);
    return stream_.ok() ? times[kRepeats / 2] : 0.0F;
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
  while (bytes * 2 <= limit && stream->ok() && stopwatch.once_ms(read) < kLongEnoughMs) bytes *= 2;
  const float time = stopwatch.median_ms(read);
  return time > 0 ? static_cast<double>(bytes) / (time * 1e6) : 0.0;
}

struct Product {
  std::unique_ptr<DeviceBuffer> source, x, w, out;  // source: f32, packed to w and, as n rows, to x
};

Expected<Product> allocate_product(const std::shared_ptr<Stream>& stream, std::int64_t n) {
  Product product;
  const auto bf16_bytes = static_cast<std::size_t>(n * n) * 2;
  const std::pair<std::unique_ptr<DeviceBuffer>*, std::size_t> buffers[] = {
      {&product.source, bf16_bytes * 2}, {&product.x, bf16_bytes}, {&product.w, bf16_bytes}, {&product.out, bf16_bytes}};
  for (const auto& [buffer, bytes] : buffers) {
    auto memory = allocate_device(stream, bytes, "a product to measure");
    if (!memory) return fail(memory.error());
    *buffer = std::move(*memory);
  }
  return product;
}

// TFLOP/s of the n^3 product by herd's kernels, or by the yardstick. `time` takes the milliseconds of one.
Expected<double> product_tflop_per_s(const std::shared_ptr<Stream>& stream, Stopwatch& stopwatch, std::int64_t n,
                                     CublasMatmul* yardstick, float& time) {
  auto product = allocate_product(stream, n);
  if (!product) return fail(product.error());
  auto* source = static_cast<float*>(product->source->data());
  launch(*stream, "random", random_kernel, dim3(static_cast<unsigned>(stream->multiprocessors() * 8)), kThreads, 0,
         source, n * n);
  PackedMatrix w = {.data = product->w->data(), .dtype = DType::kBF16, .outputs = n, .k = n, .leaf_count = 1};
  w.leaf_chunk[1] = static_cast<std::int32_t>(n / kChunkK);
  const TensorView x = {product->x->data(), DType::kBF16, n, n, n};
  const TensorView out = {product->out->data(), DType::kBF16, n, n, n};
  // x is whatever finite bf16 numbers: the packed order of a matrix serves.
  PackedMatrix x_packed = w;
  x_packed.data = x.data;
  pack_rows(*stream, x_packed, 0, n, source);
  if (yardstick != nullptr) {
    yardstick->pack_rows(w, 0, n, source);
  } else {
    pack_rows(*stream, w, 0, n, source);
  }
  const auto multiply = [&] {
    if (yardstick != nullptr) {
      yardstick->matmul(x, w, nullptr, out);
    } else {
      matmul(*stream, x, w, nullptr, out);
    }
  };
  const bool probe = time < 0;
  time = probe ? stopwatch.once_ms(multiply) : stopwatch.median_ms(multiply);
  return time > 0 ? 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / (time * 1e9) : 0.0;
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
  std::int64_t n = kProductMin;
  for (; n < kProductMax; n *= 2) {
    float time = -1;
    const auto probe = product_tflop_per_s(stream, stopwatch, n, nullptr, time);
    if (!probe) return fail(probe.error());
    if (!stream->ok() || time >= kLongEnoughMs) break;
  }
  float time = 0;
  const auto ordered = product_tflop_per_s(stream, stopwatch, n, nullptr, time);
  if (!ordered) return fail(ordered.error());
  rates.ordered_tflop_per_s = *ordered;
  if (auto yardstick = CublasMatmul::make(stream)) {  // where it is installed
    const auto vendor = product_tflop_per_s(stream, stopwatch, n, yardstick->get(), time);
    if (!vendor) return fail(vendor.error());
    rates.bf16_tflop_per_s = *vendor;
  }
  if (!stream->ok()) return fail(stream->status());
  return rates;
}

}  // namespace herd::cuda
