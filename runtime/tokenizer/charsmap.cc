#include "runtime/tokenizer/charsmap.h"

#include <algorithm>

#include "runtime/text/utf8.h"

namespace herd::tokenizer {
namespace {

// One unit of the double array (darts-clone 0.32, DoubleArrayUnit): a leaf holds a value, any other unit a label, the
// distance to its children, and whether one of these is a leaf.
constexpr std::uint32_t kLeaf = 1U << 31;
bool has_leaf(std::uint32_t unit) { return ((unit >> 8) & 1) != 0; }
std::uint32_t value(std::uint32_t unit) { return unit & ~kLeaf; }
std::uint32_t label(std::uint32_t unit) { return unit & (kLeaf | 0xFF); }
std::uint32_t offset(std::uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) number |= std::uint32_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return number;
}

}  // namespace

Expected<Charsmap> Charsmap::parse(std::string_view blob) {
  if (blob.size() < 4) return fail(bad_input("map of characters: shorter than its header"));
  const std::size_t array_bytes = little_endian(blob);
  blob.remove_prefix(4);
  if (array_bytes % 4 != 0 || array_bytes == 0 || array_bytes >= blob.size()) {
    return fail(bad_input("map of characters: an array of " + std::to_string(array_bytes) + " bytes in " +
                          std::to_string(blob.size())));
  }
  Charsmap map;
  map.texts_ = blob.substr(array_bytes);
  if (map.texts_.back() != '\0') return fail(bad_input("map of characters: its last text has no end"));
  if (!text::is_valid_utf8(map.texts_)) return fail(bad_input("map of characters: not UTF-8"));
  for (std::size_t begin = 0; begin < map.texts_.size();) {
    const std::size_t end = map.texts_.find('\0', begin);
    if (end - begin > kReplacementBytesMax) return fail(bad_input("map of characters: a text longer than any character's"));
    map.text_bytes_max_ = std::max(map.text_bytes_max_, end - begin);
    begin = end + 1;
  }
  map.units_.reserve(array_bytes / 4);
  for (std::size_t i = 0; i < array_bytes; i += 4) map.units_.push_back(little_endian(blob.substr(i, 4)));
  return map;
}

template <class Use>
void Charsmap::for_each_prefix(std::string_view text, Use use) const {
  if (units_.empty()) return;
  std::uint32_t place = offset(units_[0]);
  for (std::size_t i = 0; i < std::min(text.size(), kReplacedBytesMax); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    place ^= byte;
    if (place >= units_.size() || label(units_[place]) != byte) return;
    const std::uint32_t unit = units_[place];
    place ^= offset(unit);
    if (place >= units_.size()) return;
    if (has_leaf(unit) && !use(i + 1, value(units_[place]))) return;
  }
}

Charsmap::Match Charsmap::match(std::size_t size, std::uint32_t place) const {
  // A place outside the texts, or in the middle of a character: the map is damaged there and replaces nothing.
  if (place >= texts_.size() || (static_cast<unsigned char>(texts_[place]) & 0xC0) == 0x80) return {};
  return {size, std::string_view(texts_.data() + place)};
}

Charsmap::Match Charsmap::longest_prefix(std::string_view text) const {
  Match longest;
  for_each_prefix(text, [&](std::size_t size, std::uint32_t place) {
    longest = match(size, place);
    return true;
  });
  return longest;
}

Charsmap::Match Charsmap::shortest_prefix(std::string_view text) const {
  Match shortest;
  for_each_prefix(text, [&](std::size_t size, std::uint32_t place) {
    shortest = match(size, place);
    return false;
  });
  return shortest;
}

}  // namespace herd::tokenizer
