#pragma once
// Text of a token -> its id: a hash table of views, built once and then only asked.

#include <cstddef>
#include <cstdint>
#include <span>
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
  // As find(), and at once where `text` is the one put in as number `place`, or right before it. `place` becomes its number.
  [[nodiscard]] TokenId find_near(std::string_view text, std::size_t& place) const;
  // As find() of many: memory is fetched for a group of them at a time, several times as fast as one after the other.
  void find_all(std::span<const std::string_view> texts, std::span<TokenId> ids) const;

 private:
  struct Entry {
    std::string_view text;
    TokenId id = kNone;
  };
  static constexpr std::uint32_t kEmpty = static_cast<std::uint32_t>(-1);
  struct Slot {  // small, so that most of the table stays in a cache
    std::uint32_t hash = 0;
    std::uint32_t entry = kEmpty;
  };

  [[nodiscard]] std::size_t place_of(std::string_view text, std::uint64_t hash) const;
  [[nodiscard]] TokenId id_at(std::size_t place) const {
    return slots_[place].entry == kEmpty ? kNone : entries_[slots_[place].entry].id;
  }

  std::vector<Slot> slots_;  // a power of two, at most three quarters full; linear probing
  std::vector<Entry> entries_;
  std::uint64_t mask_ = 0;
};

// 64 bits in which every bit of the text counts.
[[nodiscard]] std::uint64_t hash_text(std::string_view text);

}  // namespace herd::tokenizer
