#pragma once
// AlignedMemory: 64-byte aligned memory for a few elements of a trial.

#include <cstdint>
#include <vector>

namespace herd {

template <class T>
class AlignedMemory {
 public:
  explicit AlignedMemory(std::int64_t count) : lines_(static_cast<std::size_t>(count) * sizeof(T) / sizeof(Line) + 1) {}
  T* data() { return reinterpret_cast<T*>(lines_.data()); }

 private:
  struct alignas(64) Line {
    unsigned char bytes[64];
  };
  std::vector<Line> lines_;
};

}  // namespace herd
