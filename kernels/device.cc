#include "kernels/device.h"

#include <cstring>
#include <utility>

#include "kernels/check.h"

// What Device and Ops do where host and device memory are the same and operations run when they are enqueued.
namespace herd {
namespace {

class HostBuffer final : public StagedBuffer, public ReadbackBuffer {
 public:
  explicit HostBuffer(std::unique_ptr<DeviceBuffer> memory) : memory_(std::move(memory)) {}
  void* host() override { return memory_->data(); }
  void* device() const override { return memory_->data(); }
  void upload(std::size_t) override {}
  const void* read_back(std::size_t) override { return memory_->data(); }

 private:
  std::unique_ptr<DeviceBuffer> memory_;
};

Expected<std::unique_ptr<HostBuffer>> host_buffer(Device& device, std::size_t bytes, const char* what) {
  HERD_CHECK(device.host_memory(), "a device with memory of its own has staged buffers of its own");
  auto memory = device.allocate(bytes, what);
  if (!memory) return fail(memory.error());
  return std::make_unique<HostBuffer>(std::move(*memory));
}

}  // namespace

void Device::upload(void* device, const void* host, std::size_t bytes) { std::memcpy(device, host, bytes); }
void Device::download(void* host, const void* device, std::size_t bytes) { std::memcpy(host, device, bytes); }

Expected<std::unique_ptr<StagedBuffer>> Device::allocate_staged(std::size_t bytes, const char* what) {
  return host_buffer(*this, bytes, what);
}
Expected<std::unique_ptr<ReadbackBuffer>> Device::allocate_readback(std::size_t bytes, const char* what) {
  return host_buffer(*this, bytes, what);
}

void Device::run_step(std::uint64_t, const std::function<void()>& body) { body(); }

void Ops::resolve_tokens(std::int32_t*, std::int64_t, const SampledRow*) {
  HERD_CHECK(false, "this backend does not sample rows");
}
void Ops::join_columns(const float*, std::int64_t, std::int64_t, int, const std::int32_t*, const TensorView&) {
  HERD_CHECK(false, "this backend does not sample rows");
}
void Ops::sample_rows(const TensorView&, const SampleBatch&) {
  HERD_CHECK(false, "this backend does not sample rows");
}

void Ops::add_rms_norm(const TensorView& residual, const float* const* partials, int count, std::int64_t partial_stride,
                       const float* bias, const float* weight, float eps, const TensorView& out) {
  add_partials(residual, partials, count, partial_stride, bias);
  rms_norm(residual, weight, eps, out);
}

void Ops::rope_write_kv(const TensorView& q, const TensorView& k, const TensorView& v, const std::int32_t* positions,
                        const float* table, const std::int64_t* slots, const KvView& kv) {
  const std::int32_t dim = kv.layout.head_dim;
  rope(q, static_cast<std::int32_t>(q.cols / dim), dim, positions, table);
  rope(k, static_cast<std::int32_t>(k.cols / dim), dim, positions, table);
  write_kv(k, v, slots, kv);
}

}  // namespace herd
