#include "kernels/cpu/slab_memory.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

#include "kernels/cpu/cpu_info.h"
#include "kernels/process_limits.h"

namespace herd {
namespace {

// A hundredth of a small model's weights; one huge page of it is wasted at the most, as untouched ones take no memory.
constexpr std::size_t kSlabBytes = std::size_t{32} << 20;
// Buffers up to so many bytes share slabs; a larger one has one of its own, which wastes less than a huge page.
constexpr std::size_t kSharedBytes = std::size_t{4} << 20;
// A slab is more than its buffer only where so many of them would fit.
constexpr std::size_t kSlabsToSpare = 8;

std::string mebibytes(std::uint64_t bytes) { return std::to_string((bytes + (1U << 20) - 1) >> 20) + " MiB"; }

std::size_t whole(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

void* map(std::size_t bytes) {
  return ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

// From a huge page's border where address space allows; MAP_FAILED as mmap gives it. Huge pages are a wish: where the system
// has none to give, small ones work too.
void* map_for_huge_pages(std::size_t bytes) {
  if (bytes < kHugePageBytes) return map(bytes);
  void* const wide = map(bytes + kHugePageBytes);
  if (wide == MAP_FAILED) {
    void* const narrow = map(bytes);
    if (narrow != MAP_FAILED) ::madvise(narrow, bytes, MADV_HUGEPAGE);
    return narrow;
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(wide);
  const std::uintptr_t border = whole(begin, kHugePageBytes);
  if (border > begin) ::munmap(wide, border - begin);
  void* const data = reinterpret_cast<void*>(border);
  ::munmap(reinterpret_cast<void*>(border + bytes), begin + kHugePageBytes - border);
  ::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

}  // namespace

// A place in a slab; the memory lives with it.
class SlabBuffer final : public DeviceBuffer {
 public:
  SlabBuffer(std::shared_ptr<SlabMemory> memory, SlabMemory::Slabs::iterator slab, std::size_t offset, std::size_t bytes)
      : memory_(std::move(memory)), slab_(slab), offset_(offset), bytes_(bytes) {}
  ~SlabBuffer() override { memory_->give_back(slab_, offset_, bytes_); }
  SlabBuffer(const SlabBuffer&) = delete;
  SlabBuffer& operator=(const SlabBuffer&) = delete;

  void* data() const override { return static_cast<std::byte*>(slab_->data) + offset_; }
  std::size_t bytes() const override { return bytes_; }

 private:
  const std::shared_ptr<SlabMemory> memory_;
  const SlabMemory::Slabs::iterator slab_;
  const std::size_t offset_;
  const std::size_t bytes_;
};

std::size_t slab_bytes(std::size_t bytes, std::size_t free, std::size_t page) {
  const std::size_t roomy = bytes <= kSharedBytes ? kSlabBytes : whole(bytes, kHugePageBytes);
  if (free / kSlabsToSpare >= kSlabBytes && roomy <= free) return roomy;
  return std::max(page, whole(bytes, page));
}

std::shared_ptr<SlabMemory> SlabMemory::make() { return std::shared_ptr<SlabMemory>(new SlabMemory); }

Expected<std::unique_ptr<DeviceBuffer>> SlabMemory::allocate(std::size_t bytes, const char* what, Ask ask) {
  const std::scoped_lock lock(mutex_);
  if (bytes <= kSlabBytes) {
    for (auto slab = slabs_.begin(); slab != slabs_.end(); ++slab)
      if (auto buffer = cut(slab, bytes)) return buffer;
  }
  return from_new_slab(bytes, what, ask);
}

Expected<std::unique_ptr<DeviceBuffer>> SlabMemory::from_new_slab(std::size_t bytes, const char* what, Ask ask) {
  const std::size_t free = ask == Ask::kWhatIsFree ? available_memory_bytes() : bytes;
  if (bytes > free) {
    return fail(
        missing(std::string(what) + ": needs " + mebibytes(bytes) + " of memory, " + mebibytes(free) + " are free"));
  }
  const std::size_t mapped = slab_bytes(bytes, free, static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  void* const data = map_for_huge_pages(mapped);
  if (data == MAP_FAILED)
    return fail(missing(std::string(what) + ": cannot map " + mebibytes(mapped) + ": " + system_error_text(errno)));
  return cut(slabs_.emplace(slabs_.end(), data, mapped), bytes);
}

std::unique_ptr<DeviceBuffer> SlabMemory::cut(Slabs::iterator slab, std::size_t bytes) {
  const auto place = slab->map.take(bytes);
  if (!place) return nullptr;
  auto buffer = std::make_unique<SlabBuffer>(shared_from_this(), slab, place->offset, bytes);
  std::memset(buffer->data(), 0, std::min(bytes, place->used_before));
  return buffer;
}

void SlabMemory::give_back(Slabs::iterator slab, std::size_t offset, std::size_t bytes) {
  const std::scoped_lock lock(mutex_);
  slab->map.give_back(offset, bytes);
  if (!slab->map.empty()) return;
  ::munmap(slab->data, slab->mapped);
  slabs_.erase(slab);
}

}  // namespace herd
