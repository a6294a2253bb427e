#include "kernels/cuda/cuda_memory.h"

#include <algorithm>
#include <string>
#include <utility>

#include "kernels/check.h"

namespace herd::cuda {
namespace {

std::string mebibytes(std::size_t bytes) {
  return std::to_string((bytes >> 20) + ((bytes & ((std::size_t{1} << 20) - 1)) != 0 ? 1 : 0)) + " MiB";
}

class CudaBuffer final : public DeviceBuffer {
 public:
  CudaBuffer(std::shared_ptr<Stream> stream, void* data, std::size_t bytes)
      : stream_(std::move(stream)), data_(data), bytes_(bytes) {}
  ~CudaBuffer() override {
    stream_->use();
    stream_->check(cudaFree(data_), "cudaFree");  // waits for the work of the GPU, so for all that uses it
  }
  CudaBuffer(const CudaBuffer&) = delete;
  CudaBuffer& operator=(const CudaBuffer&) = delete;
  void* data() const override { return data_; }
  std::size_t bytes() const override { return bytes_; }

 private:
  const std::shared_ptr<Stream> stream_;
  void* const data_;
  const std::size_t bytes_;
};

// Pinned host memory with the event after which the GPU is done with it.
class PinnedSide {
 public:
  explicit PinnedSide(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  ~PinnedSide() {
    stream_->use();
    if (event_ != nullptr) {
      if (used_) stream_->check(cudaEventSynchronize(event_), "cudaEventSynchronize");
      stream_->check(cudaEventDestroy(event_), "cudaEventDestroy");
    }
    if (data_ != nullptr) stream_->check(cudaFreeHost(data_), "cudaFreeHost");
  }
  PinnedSide(const PinnedSide&) = delete;
  PinnedSide& operator=(const PinnedSide&) = delete;

  Status open(std::size_t bytes, const char* what) {
    const cudaError_t result = cudaMallocHost(&data_, std::max<std::size_t>(bytes, 1));
    if (result == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      data_ = nullptr;
      return missing(std::string(what) + ": needs " + mebibytes(bytes) + " of pinned host memory for gpu " +
                     std::to_string(stream_->gpu()) + ", which there is not");
    }
    if (!stream_->check(result, "cudaMallocHost")) return stream_->status();
    if (!stream_->check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags"))
      return stream_->status();
    return {};
  }
  [[nodiscard]] void* data() const { return data_; }
  // All that was enqueued so far may use this side.
  void record() {
    if (!stream_->ok()) return;
    used_ = stream_->check(cudaEventRecord(event_, stream_->handle()), "cudaEventRecord");
    since_ = Stream::Clock::now();
  }
  void wait() {
    if (used_) stream_->wait(event_, since_);
    used_ = false;
  }

 private:
  const std::shared_ptr<Stream> stream_;
  void* data_ = nullptr;
  cudaEvent_t event_ = nullptr;
  Stream::Clock::time_point since_;
  bool used_ = false;
};

// Memory of the device and two sides of the host that take turns.
class TwoSides {
 public:
  explicit TwoSides(const std::shared_ptr<Stream>& stream)
      : stream_(stream), sides_{PinnedSide(stream), PinnedSide(stream)} {}

  Status open(std::size_t bytes, const char* what) {
    auto memory = allocate_device(stream_, bytes, what);
    if (!memory) return memory.error();
    memory_ = std::move(*memory);
    for (PinnedSide& side : sides_) {
      if (Status status = side.open(bytes, what); !status.ok()) return status;
    }
    return {};
  }

 protected:
  // Enqueues a copy of the first `bytes`; the other side is next.
  void copy(std::size_t bytes, cudaMemcpyKind kind) {
    HERD_CHECK(bytes <= memory_->bytes(), "the buffer holds what is copied");
    PinnedSide& side = sides_[turn_];
    turn_ = 1 - turn_;
    if (!stream_->ok() || bytes == 0) return;
    stream_->use();
    void* const device = memory_->data();
    const bool up = kind == cudaMemcpyHostToDevice;
    if (stream_->check(cudaMemcpyAsync(up ? device : side.data(), up ? side.data() : device, bytes, kind,
                                       stream_->handle()),
                       "cudaMemcpyAsync"))
      side.record();
  }

  const std::shared_ptr<Stream> stream_;
  std::unique_ptr<DeviceBuffer> memory_;
  PinnedSide sides_[2];
  int turn_ = 0;
};

class CudaStagedBuffer final : public StagedBuffer, public TwoSides {
 public:
  using TwoSides::TwoSides;
  void* host() override {
    sides_[turn_].wait();
    return sides_[turn_].data();
  }
  void* device() const override { return memory_->data(); }
  void upload(std::size_t bytes) override { copy(bytes, cudaMemcpyHostToDevice); }
};

class CudaReadbackBuffer final : public ReadbackBuffer, public TwoSides {
 public:
  using TwoSides::TwoSides;
  void* device() const override { return memory_->data(); }
  const void* read_back(std::size_t bytes) override {
    const void* host = sides_[turn_].data();
    copy(bytes, cudaMemcpyDeviceToHost);
    return host;
  }
};

template <class Buffer, class Interface>
Expected<std::unique_ptr<Interface>> allocate_two_sides(const std::shared_ptr<Stream>& stream, std::size_t bytes,
                                                        const char* what) {
  stream->use();
  auto buffer = std::make_unique<Buffer>(stream);
  if (Status status = buffer->open(bytes, what); !status.ok()) return fail(std::move(status));
  return buffer;
}

}  // namespace

Expected<std::unique_ptr<DeviceBuffer>> allocate_device(const std::shared_ptr<Stream>& stream, std::size_t bytes,
                                                        const char* what) {
  if (!stream->ok()) return fail(stream->status());
  stream->use();
  void* data = nullptr;
  const std::size_t given = std::max<std::size_t>(bytes, 1);
  const cudaError_t result = cudaMalloc(&data, given);
  if (result == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();  // not an error of the stream: the caller may ask for less
    std::size_t free = 0, total = 0;
    if (!stream->check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo")) return fail(stream->status());
    return fail(missing(std::string(what) + ": needs " + mebibytes(bytes) + " of gpu " +
                        std::to_string(stream->gpu()) + "'s memory, " + std::to_string(free >> 20) + " MiB of " +
                        std::to_string(total >> 20) + " MiB are free"));
  }
  if (!stream->check(result, "cudaMalloc")) return fail(stream->status());
  auto buffer = std::make_unique<CudaBuffer>(stream, data, bytes);
  // Waited for, because other streams of the GPU may use the memory too.
  if (!stream->check(cudaMemsetAsync(data, 0, given, stream->handle()), "cudaMemsetAsync") ||
      !stream->check(cudaStreamSynchronize(stream->handle()), "cudaStreamSynchronize"))
    return fail(stream->status());
  return buffer;
}

Expected<std::unique_ptr<StagedBuffer>> allocate_staged(const std::shared_ptr<Stream>& stream, std::size_t bytes,
                                                        const char* what) {
  return allocate_two_sides<CudaStagedBuffer, StagedBuffer>(stream, bytes, what);
}

Expected<std::unique_ptr<ReadbackBuffer>> allocate_readback(const std::shared_ptr<Stream>& stream, std::size_t bytes,
                                                            const char* what) {
  return allocate_two_sides<CudaReadbackBuffer, ReadbackBuffer>(stream, bytes, what);
}

std::size_t free_device_bytes(Stream& stream) {
  stream.use();
  std::size_t free = 0, total = 0;
  return stream.check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo") ? free : 0;
}

}  // namespace herd::cuda
