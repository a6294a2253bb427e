#pragma once
// The memory behind the block ids of one rank. The layout inside a block is drawn in kernels/tensor_view.h
// (KvLayout); only attention kernels compute addresses there.

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/device.h"
#include "runtime/ids.h"

namespace herd::kv {

// Resource. One pool a layer, each of `blocks` blocks; the same block id is valid on every layer and rank.
class KvStorage {
 public:
  // kMissing when the device has not that much memory.
  static Expected<std::unique_ptr<KvStorage>> make(Device& device, const KvLayout& layout, int layers,
                                                   std::int64_t blocks);

  [[nodiscard]] const KvView& layer(int index) const { return views_[static_cast<std::size_t>(index)]; }
  [[nodiscard]] int layers() const { return static_cast<int>(views_.size()); }
  [[nodiscard]] std::int64_t blocks() const { return views_.front().blocks; }
  [[nodiscard]] std::int32_t block_size() const { return views_.front().layout.block_size; }

  // Where a block of the pool lies on one layer, and how long it is there and over all layers.
  [[nodiscard]] std::byte* block(int layer, BlockId id) const {
    return static_cast<std::byte*>(this->layer(layer).data) + id.value * layer_block_bytes();
  }
  [[nodiscard]] std::size_t layer_block_bytes() const {
    return static_cast<std::size_t>(views_.front().layout.bytes_per_block());
  }
  [[nodiscard]] std::size_t block_bytes() const { return layer_block_bytes() * views_.size(); }

  // Bytes one block costs over all layers.
  static constexpr std::int64_t bytes_per_block(const KvLayout& layout, int layers) {
    return layout.bytes_per_block() * layers;
  }

 private:
  KvStorage() = default;
  std::vector<std::unique_ptr<DeviceBuffer>> memory_;
  std::vector<KvView> views_;
};

}  // namespace herd::kv
