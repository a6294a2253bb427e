#pragma once
// Text of a token -> its id: a hash table of views, built once and then only asked.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/ids.h"

namespace herd::tokenizer {

// The texts belong to somebody else and must outlive the map.
class TokenMap {
 public:
  static constexpr TokenId kNone = -1;

  TokenMap() : TokenMap(0) {}
  explicit TokenMap(std::size_t tokens_max);  // how many insert() may add

  // The id that `text` had before, kNone when it is new. It keeps that one.
  TokenId insert(std::string_view text, TokenId id);
  [[nodiscard]] TokenId find(std::string_view text) const;  // kNone: not there

 private:
  struct Slot {
    std::string_view text;
    std::uint32_t hash = 0;
    TokenId id = kNone;
  };

  [[nodiscard]] std::size_t place_of(std::string_view text, std::uint64_t hash) const;

  std::vector<Slot> slots_;  // a power of two, at most half full; linear probing
  std::uint64_t mask_ = 0;
};

// 64 bits in which every bit of the text counts.
[[nodiscard]] std::uint64_t hash_text(std::string_view text);

}  // namespace herd::tokenizer
