#include "runtime/kv/kv_storage.h"

namespace herd::kv {

Expected<std::unique_ptr<KvStorage>> KvStorage::make(Device& device, const KvLayout& layout, int layers,
                                                     std::int64_t blocks) {
  std::unique_ptr<KvStorage> storage(new KvStorage);
  for (int layer = 0; layer < layers; ++layer) {
    auto buffer = device.allocate(static_cast<std::size_t>(layout.bytes_per_block() * blocks), "KV cache");
    if (!buffer) return fail(buffer.error());
    storage->views_.push_back({(*buffer)->data(), layout, blocks});
    storage->memory_.push_back(std::move(*buffer));
  }
  return storage;
}

}  // namespace herd::kv
