#include "runtime/tokenizer/token_map.h"

#include <algorithm>
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
  slots_.resize(std::bit_ceil(std::max<std::size_t>(tokens_max * 2, 2)));
  mask_ = slots_.size() - 1;
}

// Where the text stands, or the empty place where it would.
std::size_t TokenMap::place_of(std::string_view text, std::uint64_t hash) const {
  std::size_t i = hash & mask_;
  const auto part = static_cast<std::uint32_t>(hash >> 32);
  while (slots_[i].id != kNone && (slots_[i].hash != part || slots_[i].text != text)) i = (i + 1) & mask_;
  return i;
}

TokenId TokenMap::insert(std::string_view text, TokenId id) {
  const std::uint64_t hash = hash_text(text);
  Slot& slot = slots_[place_of(text, hash)];
  if (slot.id != kNone) return slot.id;
  slot = {text, static_cast<std::uint32_t>(hash >> 32), id};
  return kNone;
}

TokenId TokenMap::find(std::string_view text) const { return slots_[place_of(text, hash_text(text))].id; }

}  // namespace herd::tokenizer
