#include "runtime/tokenizer/token_map.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "kernels/splitmix64.h"

namespace herd::tokenizer {

std::uint64_t hash_text(std::string_view text) {
  std::uint64_t hash = text.size() * kSplitMix64Step;
  while (text.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    hash = std::rotl(hash ^ word, 29) * kSplitMix64Step;
    text.remove_prefix(8);
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, text.data(), text.size());
  return splitmix64_finish(hash ^ rest);
}

TokenMap::TokenMap(std::size_t tokens_max) {
  slots_.resize(std::bit_ceil(std::max<std::size_t>(tokens_max + tokens_max / 3 + 1, 2)));
  entries_.reserve(tokens_max);
  mask_ = slots_.size() - 1;
}

// Where the text stands, or the empty place where it would.
std::size_t TokenMap::place_of(std::string_view text, std::uint64_t hash) const {
  std::size_t i = hash & mask_;
  const auto part = static_cast<std::uint32_t>(hash >> 32);
  while (slots_[i].entry != kEmpty && (slots_[i].hash != part || entries_[slots_[i].entry].text != text)) i = (i + 1) & mask_;
  return i;
}

TokenId TokenMap::insert(std::string_view text, TokenId id) {
  const std::uint64_t hash = hash_text(text);
  const std::size_t place = place_of(text, hash);
  if (const TokenId known = id_at(place); known != kNone) return known;
  slots_[place] = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(entries_.size())};
  entries_.push_back({text, id});
  return kNone;
}

TokenId TokenMap::find(std::string_view text) const { return id_at(place_of(text, hash_text(text))); }

TokenId TokenMap::find_near(std::string_view text, std::size_t& place) const {
  for (const std::size_t guess : {place, place - 1}) {
    if (guess >= entries_.size() || entries_[guess].text != text) continue;
    place = guess;
    return entries_[guess].id;
  }
  const Slot& slot = slots_[place_of(text, hash_text(text))];
  if (slot.entry == kEmpty) return kNone;
  place = slot.entry;
  return entries_[place].id;
}

void TokenMap::find_all(std::span<const std::string_view> texts, std::span<TokenId> ids) const {
  constexpr std::size_t kGroup = 32;
  std::array<std::uint64_t, kGroup> hashes;
  const auto entry_of = [&](std::uint64_t hash) -> const Entry* {
    const Slot& slot = slots_[hash & mask_];
    return slot.entry == kEmpty ? nullptr : &entries_[slot.entry];
  };
  for (std::size_t begin = 0; begin < texts.size(); begin += kGroup) {
    const std::size_t size = std::min(kGroup, texts.size() - begin);
    for (std::size_t i = 0; i < size; ++i) {
      hashes[i] = hash_text(texts[begin + i]);
      __builtin_prefetch(&slots_[hashes[i] & mask_]);
    }
    for (std::size_t i = 0; i < size; ++i) {
      if (const Entry* entry = entry_of(hashes[i])) __builtin_prefetch(entry);
    }
    for (std::size_t i = 0; i < size; ++i) {
      if (const Entry* entry = entry_of(hashes[i])) __builtin_prefetch(entry->text.data());
    }
    for (std::size_t i = 0; i < size; ++i) ids[begin + i] = id_at(place_of(texts[begin + i], hashes[i]));
  }
}

}  // namespace herd::tokenizer
