#pragma once
// Character -> number, for all of Unicode: two array look-ups, and memory only for the 256-character pages in use.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace herd::tokenizer {

class CharacterSymbols {
 public:
  static constexpr std::int32_t kNone = -1;

  CharacterSymbols() : page_of_(kPages, 0), numbers_(kPageSize, kNone) {}  // page 0 is the empty one

  void set(char32_t character, std::int32_t number) {
    std::uint16_t& page = page_of_[character / kPageSize];
    if (page == 0) {
      page = static_cast<std::uint16_t>(numbers_.size() / kPageSize);
      numbers_.resize(numbers_.size() + kPageSize, kNone);
    }
    numbers_[page * kPageSize + character % kPageSize] = number;
  }
  [[nodiscard]] std::int32_t find(char32_t character) const {
    return numbers_[page_of_[character / kPageSize] * kPageSize + character % kPageSize];
  }

 private:
  static constexpr std::size_t kPageSize = 256;
  static constexpr std::size_t kPages = 0x110000 / kPageSize;

  std::vector<std::uint16_t> page_of_;  // by page of characters
  std::vector<std::int32_t> numbers_;
};

}  // namespace herd::tokenizer
