#pragma once
// Tables of a vocabulary are megabytes that are touched once, all of them, and then read here and there: on pages of 2 MiB the
// first touch costs a small part of what it costs on pages of 4 KiB, and so does finding the page again.

#include <cstddef>
#include <new>
#include <vector>

namespace herd::tokenizer {

inline constexpr std::size_t kLargeTableBytes = std::size_t{1} << 20;  // from here on it is worth while

// Asks the system for large pages under [begin, begin + bytes), before the first touch; memory beside it may get them too.
// Where the system has none the memory stays as it is.
void advise_large_pages(const void* begin, std::size_t bytes);

// At least kLargeTableBytes, on large pages where the system has them. std::bad_alloc as operator new.
[[nodiscard]] void* allocate_large(std::size_t bytes);
void free_large(void* memory);

// Allocator of tables.
template <class T>
struct LargePages {
  using value_type = T;

  LargePages() = default;
  template <class Other>
  LargePages(const LargePages<Other>&) {}  // NOLINT(google-explicit-constructor): as allocators convert

  [[nodiscard]] T* allocate(std::size_t count) {
    const bool large = count >= kLargeTableBytes / sizeof(T);
    return static_cast<T*>(large ? allocate_large(count * sizeof(T)) : ::operator new(count * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t count) {
    if (count >= kLargeTableBytes / sizeof(T)) return free_large(memory);
    ::operator delete(memory);
  }
  template <class Other>
  bool operator==(const LargePages<Other>&) const {
    return true;
  }
};

template <class T>
using Table = std::vector<T, LargePages<T>>;

}  // namespace herd::tokenizer
