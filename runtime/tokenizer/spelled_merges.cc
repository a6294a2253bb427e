#include "runtime/tokenizer/spelled_merges.h"

#include <algorithm>
#include <array>
#include <string>

#include "runtime/tokenizer/two_halves.h"

namespace herd::tokenizer {
namespace {

constexpr std::size_t kMergesAtOnce = 64;  // whose tokens are looked up together

// Merges [begin, end); `place_of` says where in `found` a rank stands.
template <class PlaceOf>
void find_part(std::span<const SpelledMerge> merges, std::size_t begin, std::size_t end, const TokenMap& tokens,
               const PlaceOf& place_of, std::span<Merge> found) {
  std::array<std::string_view, 2 * kMergesAtOnce> texts;  // left and right of each
  std::array<TokenId, 2 * kMergesAtOnce> ids;
  std::string joined;
  std::size_t last = 0;  // number of the token built last: as a rule the vocabulary lists tokens in the order of their merges
  for (; begin < end; begin += kMergesAtOnce) {
    const std::size_t count = std::min(end - begin, kMergesAtOnce);
    for (std::size_t i = 0; i < count; ++i) {
      texts[2 * i] = merges[begin + i].left;
      texts[2 * i + 1] = merges[begin + i].right;
    }
    tokens.find_all(std::span(texts).first(2 * count), ids);
    for (std::size_t i = 0; i < count; ++i) {
      joined.assign(texts[2 * i]).append(texts[2 * i + 1]);
      const std::size_t rank = begin + i;
      found[place_of(rank)] = {static_cast<std::uint32_t>(rank), ids[2 * i], ids[2 * i + 1], tokens.find_near(joined, last)};
    }
  }
}

}  // namespace

Table<Merge> find_merges(std::span<const SpelledMerge> merges, const TokenMap& tokens, MergeOrder order) {
  Table<Merge> found(merges.size());
  const std::size_t size = merges.size();
  const auto place_of = [&](std::size_t rank) { return order == MergeOrder::kRising ? rank : size - 1 - rank; };
  in_two_halves(size, [&](std::size_t, std::size_t begin, std::size_t end) {
    find_part(merges, begin, end, tokens, place_of, found);
  });
  return found;
}

}  // namespace herd::tokenizer
