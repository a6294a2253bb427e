#include "runtime/tokenizer/token_map.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "kernels/check.h"
#include "kernels/splitmix64.h"

namespace herd::tokenizer {

namespace {

__extension__ using Uint128 = unsigned __int128;

// Both halves of the product of two words, in one.
std::uint64_t folded(std::uint64_t a, std::uint64_t b) {
  const Uint128 product = static_cast<Uint128>(a) * b;
  return static_cast<std::uint64_t>(product >> 64) ^ static_cast<std::uint64_t>(product);
}

template <class Word>
std::uint64_t word_at(const char* at) {
  Word word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

}  // namespace

// In words that overlap where the size is no multiple of theirs.
TextEnd end_of(std::string_view text) {
  const char* begin = text.data();
  const char* end = begin + text.size();
  if (text.size() > 16) return {word_at<std::uint64_t>(end - 16), word_at<std::uint64_t>(end - 8)};
  if (text.size() >= 8) return {word_at<std::uint64_t>(begin), word_at<std::uint64_t>(end - 8)};
  if (text.size() >= 4) return {word_at<std::uint32_t>(begin), word_at<std::uint32_t>(end - 4)};
  if (text.empty()) return {};
  return {word_at<std::uint8_t>(begin) | word_at<std::uint8_t>(begin + text.size() / 2) << 8, word_at<std::uint8_t>(end - 1)};
}

TextHash::TextHash(std::uint64_t seed) : start_(splitmix64_finish(seed)), hide_(splitmix64_finish(seed + kSplitMix64Step)) {}

// As wyhash (Wang Yi): products of two words, one of which the seed hides and the other of which holds all that came before.
std::uint64_t TextHash::operator()(std::string_view text, const TextEnd& end) const {
  std::uint64_t hash = start_ ^ (text.size() * kSplitMix64Step);
  for (; text.size() > 16; text.remove_prefix(16)) {
    hash = folded(word_at<std::uint64_t>(text.data()) ^ hide_, word_at<std::uint64_t>(text.data() + 8) ^ hash);
  }
  return folded(folded(end.first ^ hide_, end.second ^ hash), kSplitMix64Step);
}

TokenMap::TokenMap(std::size_t tokens_max, std::uint64_t seed)
    : hash_(seed), slots_(std::bit_ceil(std::max<std::size_t>(tokens_max + tokens_max / 3 + 1, 2))), mask_(slots_.size() - 1) {
  entries_.reserve(tokens_max);
}

// Where the text stands, or the empty place where it would.
std::size_t TokenMap::place_of(std::string_view text, const TextEnd& end, std::uint64_t hash) const {
  std::size_t i = hash & mask_;
  const auto part = static_cast<std::uint32_t>(hash >> 32);
  while (slots_[i].entry != kEmpty && (slots_[i].hash != part || !entries_[slots_[i].entry].is(text, end))) i = (i + 1) & mask_;
  return i;
}

TokenId TokenMap::insert(std::string_view text, TokenId id) {
  HERD_CHECK(text.size() <= std::numeric_limits<std::uint32_t>::max(), "token longer than 4 GiB");
  const TextEnd end = end_of(text);
  const std::uint64_t hash = hash_(text, end);
  const std::size_t place = place_of(text, end, hash);
  if (const TokenId known = id_at(place); known != kNone) return known;
  slots_[place] = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(entries_.size())};
  entries_.push_back({text.data(), static_cast<std::uint32_t>(text.size()), id, end});
  return kNone;
}

TokenId TokenMap::find(std::string_view text) const {
  const TextEnd end = end_of(text);
  return id_at(place_of(text, end, hash_(text, end)));
}

TokenId TokenMap::find_near(std::string_view text, std::size_t& place) const {
  const TextEnd end = end_of(text);
  for (const std::size_t guess : {place, place + 1}) {
    if (guess >= entries_.size() || !entries_[guess].is(text, end)) continue;
    place = guess;
    return entries_[guess].id;
  }
  const Slot& slot = slots_[place_of(text, end, hash_(text, end))];
  if (slot.entry == kEmpty) return kNone;
  place = slot.entry;
  return entries_[place].id;
}

void TokenMap::find_all(std::span<const std::string_view> texts, std::span<TokenId> ids) const {
  constexpr std::size_t kGroup = 32;
  std::array<TextEnd, kGroup> ends;
  std::array<std::uint64_t, kGroup> hashes;
  for (std::size_t begin = 0; begin < texts.size(); begin += kGroup) {
    const std::size_t size = std::min(kGroup, texts.size() - begin);
    for (std::size_t i = 0; i < size; ++i) {
      ends[i] = end_of(texts[begin + i]);
      hashes[i] = hash_(texts[begin + i], ends[i]);
      __builtin_prefetch(&slots_[hashes[i] & mask_]);
    }
    for (std::size_t i = 0; i < size; ++i) {
      const Slot& slot = slots_[hashes[i] & mask_];
      if (slot.entry != kEmpty) __builtin_prefetch(&entries_[slot.entry]);
    }
    for (std::size_t i = 0; i < size; ++i) ids[begin + i] = id_at(place_of(texts[begin + i], ends[i], hashes[i]));
  }
}

}  // namespace herd::tokenizer
