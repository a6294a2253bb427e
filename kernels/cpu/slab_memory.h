#pragma once
// SlabMemory: a CPU device's memory, cut from slabs that begin at a huge page's border and ask for huge pages, so that
// small buffers lie in them as well as large ones. A page of 4 KiB costs an entry of the TLB as one of 2 MiB does: weights
// in small pages are read a quarter slower.

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>

#include "kernels/cpu/slab_map.h"
#include "kernels/device.h"

namespace herd {

inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// How large a slab is mapped for a buffer of `bytes`, where `free` bytes are left, free >= bytes: whole huge pages, with room
// for other buffers beside a small one; where memory is short, what the buffer needs. Pure; `page` is a page's size.
[[nodiscard]] std::size_t slab_bytes(std::size_t bytes, std::size_t free, std::size_t page);

// Lives as long as one of its buffers. Thread-safe.
class SlabMemory : public std::enable_shared_from_this<SlabMemory> {
 public:
  [[nodiscard]] static std::shared_ptr<SlabMemory> make();

  // kAddressSpace: for what a step cannot do without. It is tried whatever seems to be free, since the system may still
  // have it.
  enum class Ask { kWhatIsFree, kAddressSpace };
  // 64-byte aligned, zero-filled, committed when first touched. kMissing when there is not that much memory.
  Expected<std::unique_ptr<DeviceBuffer>> allocate(std::size_t bytes, const char* what, Ask ask = Ask::kWhatIsFree);

 private:
  friend class SlabBuffer;
  struct Slab {
    Slab(void* memory, std::size_t mapped_bytes) : data(memory), mapped(mapped_bytes), map(mapped_bytes) {}
    void* data;
    std::size_t mapped;
    SlabMap map;
  };
  using Slabs = std::list<Slab>;

  SlabMemory() = default;
  Expected<std::unique_ptr<DeviceBuffer>> from_new_slab(std::size_t bytes, const char* what, Ask ask);
  // With the lock held; null when it has no room.
  std::unique_ptr<DeviceBuffer> cut(Slabs::iterator slab, std::size_t bytes);
  void give_back(Slabs::iterator slab, std::size_t offset, std::size_t bytes);

  std::mutex mutex_;
  Slabs slabs_;
};

}  // namespace herd
