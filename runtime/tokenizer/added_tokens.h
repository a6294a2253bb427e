#pragma once
// Tokens that are found in the text before it is split and merged: control tokens such as <|eot_id|>, and the
// tokens users added to a vocabulary. Leftmost match, the longest one on ties, as HF's AddedVocabulary.

#include <bitset>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/ids.h"
#include "runtime/text/marked_text.h"

namespace herd::tokenizer {

struct AddedToken {
  TokenId id = 0;
  std::string content;      // not empty
  bool special = true;      // control token: matched only where the caller allows it, dropped by skip_special
  bool strip_left = false;  // the match takes the white space before it too
  bool strip_right = false;
  bool normalized = false;  // searched for in normalized text, after the tokens that are not; its text is normalized too
  bool single_word = false;  // matches only where no word character stands beside it
  bool operator==(const AddedToken&) const = default;
};

// Tokens that files beside the tokenizer's own declare, in the order in which they join it. One whose text is not among its
// added tokens takes the id that the vocabulary has for the text, else the next one; `id` is what the file says, -1 where
// it says none.
struct DeclaredAddedTokens {
  std::vector<AddedToken> tokens;  // each text once, none empty
  bool restate = false;  // those with an id also say how the tokenizer's own added tokens of the same text are found
};

inline constexpr std::size_t kAddedTokenBytesMax = 1024;  // bounds the work at one place of the text

// Which control tokens of a text count.
struct SpecialRule {
  bool parse = false;  // any at all. Where not, one that is spelled out hides the added tokens in it and stays text
  std::span<const text::ByteRange> foreign = {};  // ascending, disjoint: no control token may hold any of these bytes
};

// A piece of a text: an added token, or what stands between two of them. Parts are in the order of their tokens; a token
// may lie in the white space that the one before it took.
struct TextPart {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::optional<TokenId> token;
  bool operator==(const TextPart&) const = default;
};

// Immutable.
class AddedTokenMatcher {
 public:
  AddedTokenMatcher() = default;
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);  // of equal contents the first one counts

  // The parts of `text`, valid UTF-8.
  [[nodiscard]] std::vector<TextPart> cut(std::string_view text, const SpecialRule& rule) const;
  [[nodiscard]] bool empty() const { return tokens_.empty(); }

 private:
  struct Match {
    std::size_t begin = 0;  // of the content itself
    std::size_t end = 0;
    const AddedToken* token = nullptr;
  };

  // The first match that begins at or after `from`; `foreign` loses what lies before it.
  [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from,
                                          std::span<const text::ByteRange>& foreign) const;
  // A control token counts when it has at most `special_size` bytes.
  [[nodiscard]] const AddedToken* longest_at_front(std::string_view text, std::size_t special_size) const;

  std::vector<AddedToken> tokens_;  // sorted by content, bytewise
  std::bitset<256> first_byte_;
};

}  // namespace herd::tokenizer
