#pragma once
// SlabMap: which bytes of one piece of memory are taken. Pure.

#include <cstddef>
#include <map>
#include <optional>

namespace herd {

// Places begin at multiples of it, so that no two share a cache line.
inline constexpr std::size_t kSlabAlignment = 64;

// First fit from the low end; freed neighbours become one.
class SlabMap {
 public:
  struct Place {
    std::size_t offset = 0;
    std::size_t used_before = 0;  // so many of its first bytes were taken before; the rest never were
  };

  explicit SlabMap(std::size_t bytes);

  // None when no gap is large enough. 0 bytes take a place of their own, too.
  [[nodiscard]] std::optional<Place> take(std::size_t bytes);
  // What take(bytes) gave.
  void give_back(std::size_t offset, std::size_t bytes);
  [[nodiscard]] bool empty() const { return taken_ == 0; }

 private:
  std::map<std::size_t, std::size_t> gaps_;  // offset → bytes
  std::size_t taken_ = 0;                    // places
  std::size_t used_ = 0;                     // bytes from here on were never taken
};

}  // namespace herd
