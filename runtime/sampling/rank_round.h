#pragma once
// RankRound: one all-gather for many rows. All ranks reserve the same parts in the same order, each fills its own, and
// then reads those of all.

#include <cstddef>
#include <type_traits>
#include <vector>

#include "kernels/collective.h"

namespace herd::sampling {

class RankRound {
 public:
  // Room for `count` values of T with every rank. Returns where it lies, for mine() and of().
  template <class T>
  std::size_t reserve(std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= kAlignment);
    const std::size_t at = bytes_;
    bytes_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }

  [[nodiscard]] std::size_t bytes() const { return bytes_; }  // reserved so far, of one rank

  // Nothing is reserved any more; this rank may fill its parts, which are all zeros.
  void open(const Collective& tp);
  template <class T>
  [[nodiscard]] T* mine(std::size_t at) {
    return reinterpret_cast<T*>(all_.data() + rank_ * bytes_ + at);
  }

  // Collective where there are several ranks.
  void gather(Collective& tp, CollectiveName name);
  template <class T>
  [[nodiscard]] const T* of(int rank, std::size_t at) const {
    return reinterpret_cast<const T*>(all_.data() + static_cast<std::size_t>(rank) * bytes_ + at);
  }

 private:
  static constexpr std::size_t kAlignment = 8;

  std::size_t bytes_ = 0;  // of one rank
  std::size_t rank_ = 0;
  std::vector<std::byte> all_;  // in rank order
};

}  // namespace herd::sampling
