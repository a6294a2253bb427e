#pragma once
// What SentencePiece does to a text before it cuts it into pieces (Kudo and Richardson 2018, section 3.2): characters are
// replaced, spaces are removed, added and spelled U+2581. All of it at once, because each step looks at what the others
// leave alone.

#include <string>
#include <string_view>
#include <vector>

#include "kernels/status.h"
#include "runtime/tokenizer/charsmap.h"
#include "runtime/tokenizer/piece_trie.h"

namespace herd::tokenizer {

inline constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581, how pieces spell a space

// Value. The names in brackets are those of a model file.
struct SentencePieceRules {
  std::string charsmap = {};          // its bytes; empty: characters stay as they are (precompiled_charsmap)
  bool dummy_prefix = true;           // a space is put before a text that is not empty (add_dummy_prefix) …
  bool prefix_every_stretch = true;   // … and before what follows a token that was cut out of it
  bool remove_extra_spaces = false;   // at both ends, and all but one of a run (remove_extra_whitespaces)
  bool escape_spaces = true;          // (escape_whitespaces)
  bool space_as_suffix = false;       // the space is put behind the text instead (treat_whitespace_as_suffix)
  bool operator==(const SentencePieceRules&) const = default;
};

// Immutable.
class SentencePieceNormalizer {
 public:
  SentencePieceNormalizer() = default;
  // `kept`: where the text holds one of these, its characters are not replaced. kBadInput: the map of characters.
  [[nodiscard]] static Expected<SentencePieceNormalizer> build(const SentencePieceRules& rules,
                                                               std::vector<PieceTrie::Entry> kept);

  // Appends what becomes of `text`, valid UTF-8. `begins_text`: nothing stands before it.
  void normalize(std::string_view text, bool begins_text, std::string& out) const;

 private:
  // What the front of `text` becomes, and how many bytes of it that takes.
  [[nodiscard]] Charsmap::Match front(std::string_view text) const;
  void append_spelled(std::string_view text, std::string& out) const;
  [[nodiscard]] std::string_view space() const { return rules_.escape_spaces ? kSpaceSymbol : " "; }

  SentencePieceRules rules_;  // without the map's bytes
  Charsmap charsmap_;
  PieceTrie kept_;
};

}  // namespace herd::tokenizer
