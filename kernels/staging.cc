#include "kernels/staging.h"

#include <utility>

#include "kernels/check.h"
#include "kernels/device.h"

namespace herd {
namespace {

// Operations of such a device run when they are enqueued, so what was written is taken already.
class SharedBuffer final : public StagedBuffer {
 public:
  explicit SharedBuffer(std::unique_ptr<DeviceBuffer> memory) : memory_(std::move(memory)) {}
  void* host() override { return memory_->data(); }
  void* device() const override { return memory_->data(); }
  void upload(std::size_t) override {}

 private:
  const std::unique_ptr<DeviceBuffer> memory_;
};

}  // namespace

Expected<std::unique_ptr<StagedBuffer>> allocate_staged(Device& device, std::size_t bytes, const char* what) {
  if (Staging* const staging = device.staging(); staging != nullptr) return staging->allocate_staged(bytes, what);
  HERD_CHECK(device.host_memory(), "a device with memory of its own stages what it is given");
  auto memory = device.allocate(bytes, what);
  if (!memory) return fail(memory.error());
  return std::make_unique<SharedBuffer>(std::move(*memory));
}

}  // namespace herd
