#pragma once
// Text of a token -> its id: a hash table of views, built once and then only asked.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "runtime/ids.h"
#include "runtime/tokenizer/large_pages.h"
#include "runtime/tokenizer/table_seed.h"

namespace herd::tokenizer {

// The end of a text, at most 16 bytes of it, in two words: with its length the whole of a text that is no longer.
struct TextEnd {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  bool operator==(const TextEnd&) const = default;
};
[[nodiscard]] TextEnd end_of(std::string_view text);

// 64 bits in which every bit of the text counts. Whoever does not know the seed cannot find texts that fall together.
class TextHash {
 public:
  explicit TextHash(std::uint64_t seed);
  [[nodiscard]] std::uint64_t operator()(std::string_view text, const TextEnd& end) const;

 private:
  std::uint64_t start_;
  std::uint64_t hide_;
};

// The texts belong to somebody else and must outlive the map.
class TokenMap {
 public:
  static constexpr TokenId kNone = -1;

  TokenMap() : TokenMap(0) {}
  // `tokens_max`: how many insert() may add.
  explicit TokenMap(std::size_t tokens_max, std::uint64_t seed = table_seed());

  // The id that `text` had before, kNone when it is new. It keeps that one.
  TokenId insert(std::string_view text, TokenId id);
  [[nodiscard]] TokenId find(std::string_view text) const;  // kNone: not there
  // As find(), and at once where `text` is the one put in as number `place`, or right after it. `place` becomes its number.
  [[nodiscard]] TokenId find_near(std::string_view text, std::size_t& place) const;
  // As find() of many: memory is fetched for a group of them at a time, several times as fast as one after the other.
  void find_all(std::span<const std::string_view> texts, std::span<TokenId> ids) const;

 private:
  struct Entry {  // two to a cache line; the text itself is looked at only where it is longer than its end
    const char* text = nullptr;
    std::uint32_t size = 0;
    TokenId id = kNone;
    TextEnd end;
    [[nodiscard]] bool is(std::string_view other, const TextEnd& other_end) const {
      return size == other.size() && end == other_end && (size <= 16 || std::memcmp(text, other.data(), size) == 0);
    }
  };
  static constexpr std::uint32_t kEmpty = static_cast<std::uint32_t>(-1);
  struct Slot {  // small, so that most of the table stays in a cache
    std::uint32_t hash = 0;
    std::uint32_t entry = kEmpty;
  };

  [[nodiscard]] std::size_t place_of(std::string_view text, const TextEnd& end, std::uint64_t hash) const;
  [[nodiscard]] TokenId id_at(std::size_t place) const {
    return slots_[place].entry == kEmpty ? kNone : entries_[slots_[place].entry].id;
  }

  TextHash hash_;
  Table<Slot> slots_;  // a power of two, at most three quarters full; linear probing
  Table<Entry> entries_;
  std::uint64_t mask_ = 0;
};

}  // namespace herd::tokenizer
