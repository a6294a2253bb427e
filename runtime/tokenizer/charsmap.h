#pragma once
// SentencePiece's `precompiled_charsmap`: which strings of a text are replaced before it is cut into pieces (NFKC and
// white space, as a rule). A double array of darts-clone (Yata 2008) whose values are places in a list of texts.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"

namespace herd::tokenizer {

// Immutable. Any bytes make a map that can be asked: what its array says is followed within its bounds only, for at most
// kReplacedBytesMax bytes of the text.
class Charsmap {
 public:
  struct Match {
    std::size_t size = 0;   // bytes of the text that are replaced; 0: the text begins with nothing that is
    std::string_view text;  // by what, valid UTF-8, may be empty; valid as long as the map
  };

  Charsmap() = default;  // replaces nothing
  // `blob`: size of the array in bytes (u32, little-endian), the array, texts that end in a zero byte. kBadInput when
  // these do not fit into one another, or a text is not UTF-8 or longer than kReplacementBytesMax.
  [[nodiscard]] static Expected<Charsmap> parse(std::string_view blob);

  [[nodiscard]] bool empty() const { return units_.empty(); }
  [[nodiscard]] std::size_t text_bytes_max() const { return text_bytes_max_; }  // of the texts that it replaces by
  // Of the strings that `text` begins with: the longest, as SentencePiece takes it, …
  [[nodiscard]] Match longest_prefix(std::string_view text) const;
  // … or the shortest, as HF tokenizers does.
  [[nodiscard]] Match shortest_prefix(std::string_view text) const;

  static constexpr std::size_t kReplacementBytesMax = 256;  // NFKC's longest has 33
  static constexpr std::size_t kReplacedBytesMax = 256;     // a map whose array goes around in a circle has no longest string

 private:
  // use(size, place in texts_), the shortest string first, until it returns false.
  template <class Use>
  void for_each_prefix(std::string_view text, Use use) const;
  [[nodiscard]] Match match(std::size_t size, std::uint32_t place) const;

  std::vector<std::uint32_t> units_;
  std::string texts_;
  std::size_t text_bytes_max_ = 0;
};

}  // namespace herd::tokenizer
